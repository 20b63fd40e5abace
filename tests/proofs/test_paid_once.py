"""Thousands of equal requests for money and equal payments, at two processes killed meanwhile: each happens once."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from conftest import People, Someone, empty_tables
from flask import Flask
from live import environment, make_inside
from servers import RunningApp, start_app
from sqlalchemy import text

from idyll.audit import chain
from idyll.extensions import db
from idyll.ledger import service as books

from . import size

pytestmark = pytest.mark.only_on("postgresql", "mariadb")
THINGS = size(20, 100)
DUPLICATES = size(25, 50)  # of each thing: 500 and 500, or 5,000 and 5,000
KILLS = size(2, 12)  # in each half
AT_ONCE = 16
PATIENCE = 60


@dataclass
class Company:
    """Two processes, the people, and a look into their database."""

    inside: Flask
    apps: list[RunningApp]
    people: People
    sessions: threading.local = field(default_factory=threading.local)

    def call(self, at: int, method: str, path: str, by: Someone, **more: Any) -> requests.Response:
        """Asks the one process, and when it is just being killed the other one, until somebody answers."""
        session = self.sessions.__dict__.setdefault("session", requests.Session())
        headers = {"Authorization": f"Bearer {by.token}", **more.pop("headers", {})}
        deadline = time.monotonic() + PATIENCE
        for turn in itertools.count():
            url = self.apps[(at + turn) % len(self.apps)].url + path
            try:
                answer: requests.Response = session.request(method, url, headers=headers, timeout=30, **more)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                answered = False
            else:
                answered = answer.status_code != 503
            if answered:
                return answer
            assert time.monotonic() < deadline, f"nobody answers {method} {path}"
            time.sleep(0.05)
        raise AssertionError

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.inside.app_context(), db.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def all_at_once(self, calls: list[Callable[[], requests.Response]]) -> Counter[tuple[int, str | None]]:
        """Their outcomes. In between, processes are killed by turns; each comes back by itself."""
        done = itertools.count(1)
        dies_at = {(n + 1) * len(calls) // (KILLS + 1): self.apps[n % 2] for n in range(KILLS)}

        def run(call: Callable[[], requests.Response]) -> tuple[int, str | None]:
            answer = call()
            if app := dies_at.get(next(done)):
                app.kill_worker()
            return answer.status_code, answer.json().get("code")

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return Counter(pool.map(run, calls))


@pytest.fixture
def company(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Company]:
    inside = make_inside(f"idyll_paid_{worker_id}", tmp_path_factory.mktemp("paid"))
    apps = [start_app(environment(inside)) for _ in range(2)]
    with inside.app_context():
        empty_tables(while_running=True)
    yield Company(inside, apps, People(inside))
    for app in apps:
        app.stop()


def test_each_is_asked_for_once_and_paid_once_and_the_books_say_the_same(company: Company, measured: Any) -> None:
    owner, moderator, editor = company.people.owner(), company.people.moderator(), company.people.editor()
    film = {"name": "Film", "deadline": "2031-01-01", "assignedTo": editor.id}
    film |= {"status": "completed", "approvalStatus": "approved"}
    tasks = [company.call(0, "POST", "/api/tasks", owner, json=film).json()["id"] for _ in range(THINGS)]
    begun = time.monotonic()

    # The same request for each task: by its editor and by managers, at both, half of them with a key that repeats.
    def ask(task: str, i: int) -> requests.Response:
        by = (editor, owner, editor, moderator)[i % 4]
        body = {"projectName": "Film", "amount": 1500.5, "taskId": task, "editorId": editor.id}
        key = {"headers": {"Idempotency-Key": f"{task}-{by.id}"}} if i % 3 else {}
        return company.call(i, "POST", "/api/payouts", by, json=body, **key)

    asked = company.all_at_once([lambda t=task, i=i: ask(t, i) for task in tasks for i in range(DUPLICATES)])
    refusals = {(409, "already_requested"), (409, "idempotency_in_progress")}
    assert asked.keys() <= {(201, None), *refusals}, asked
    payouts = company.rows("SELECT id, task_id, status FROM payouts ORDER BY id")
    assert sorted(str(row[1]) for row in payouts) == sorted(tasks)

    paths = [f"/api/payouts/{row[0]}" for row in payouts]
    for path in paths:
        assert company.call(0, "PUT", path, moderator, json={"status": "approved"}).status_code == 200

    # The same payment, by two managers at both, and now and then somebody who rejects it instead.
    def pay(n: int, i: int) -> requests.Response:
        move = {"status": "paid", "reference": f"UTR {i}"}
        if (n + i) % 10 == 0:  # of every tenth payout it comes first
            move = {"status": "rejected", "reason": "Twice"}
        return company.call(i, "PUT", paths[n], (owner, moderator)[i // 2 % 2], json=move)

    paid = company.all_at_once([lambda n=n, i=i: pay(n, i) for n in range(THINGS) for i in range(DUPLICATES)])
    took = time.monotonic() - begun
    assert paid.keys() <= {(200, None), (409, "illegal_move")}, paid

    # One end each: one payment or none, one audit row and one event for each move, and the same sums everywhere.
    ends = dict(company.rows("SELECT status, count(*) FROM payouts GROUP BY status"))
    assert ends.keys() <= {"paid", "rejected"}
    assert sum(ends.values()) == THINGS
    payments = company.rows("SELECT count(*), sum(amount_minor) FROM payments")[0]
    assert payments == (ends["paid"], ends["paid"] * 150050)
    for action, count in (("requested", THINGS), ("approved", THINGS), *ends.items()):
        found = company.rows(f"SELECT count(*), count(DISTINCT object_id) FROM audit WHERE action = 'payout.{action}'")
        assert found == [(count, count)], action
    told = "SELECT count(*), count(DISTINCT of) FROM events WHERE name = "
    of = told.replace("of", "`of`", 1) if company.inside.config["SQLALCHEMY_DATABASE_URI"][:5] == "mysql" else told
    assert company.rows(f"{of}'payout_created'") == [(THINGS, THINGS)]
    assert company.rows(f"{of}'payout_updated'") == [(2 * THINGS, THINGS)]
    sums = company.call(0, "GET", "/api/stats/summary", owner).json()["payouts"]["byStatus"]
    assert {name: one for name, one in sums.items() if one["count"]} == {
        name: {"count": count, "sums": {"INR": count * 1500.5}} for name, count in ends.items()
    }
    with company.inside.app_context():
        assert list(books.faults()) == []

    # The chain was sealed by two processes while they were killed: each row once, in one line.
    time.sleep(1)
    unsealed = "SELECT count(*) FROM audit LEFT JOIN audit_seals ON audit_id = audit.id WHERE position IS NULL"
    assert company.rows(unsealed) == [(0,)]
    with company.inside.app_context():
        verdict = chain.verify()
    assert verdict.faults == []
    assert company.rows("SELECT count(*) FROM audit") == [(verdict.count,)]

    measured("requests for money, all answers", dict(asked))
    measured("payments, all answers", dict(paid))
    measured("payouts", ends)
    measured("processes killed", 2 * KILLS)
    measured("requests a second", round(2 * THINGS * DUPLICATES / took))
    measured("audit rows in the chain", verdict.count)
