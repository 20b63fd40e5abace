"""`Idempotency-Key` over two processes, with duplicates at once and processes killed in the middle of them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests
from conftest import People, empty_tables
from flask import Flask
from live import environment, make_inside
from servers import RunningApp, start_app
from sqlalchemy import func, select, update

from idyll.clock import now
from idyll.extensions import db
from idyll.idempotency import StoredAnswer
from idyll.tasks.models import Task
from idyll.users.models import User

pytestmark = pytest.mark.only_on("postgresql", "mariadb")
TASK = {"name": "Wedding", "deadline": "2030-01-01"}
AT_ONCE = 24


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Flask:
    return make_inside(f"idyll_keys_{worker_id}", tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def processes(inside: Flask) -> Iterator[list[RunningApp]]:
    running = [start_app(environment(inside)) for _ in range(2)]
    yield running
    for one in running:
        one.stop()


@pytest.fixture
def people(inside, processes) -> People:
    with inside.app_context():
        empty_tables(while_running=True)
    return People(inside)


def send(app: RunningApp, by, key: str, body: dict | None = None) -> requests.Response | None:
    """The answer, or None where the process went before it gave one."""
    headers = {"Authorization": f"Bearer {by.token}", "Idempotency-Key": key}
    try:
        return requests.post(f"{app.url}/api/tasks", json=body or TASK, headers=headers, timeout=60)
    except requests.ConnectionError:
        return None


def until_answered(app: RunningApp, by, key: str, body: dict | None = None, seconds: float = 90) -> requests.Response:
    """Asks again, as a client does, while the process starts or the first run is still looked on as running."""
    deadline = time.monotonic() + seconds
    while True:
        answer = send(app, by, key, body)
        if answer is not None and answer.status_code not in (409, 503):
            return answer
        assert time.monotonic() < deadline, answer and answer.text
        time.sleep(0.2)


def count_of(inside: Flask, table: type) -> int:
    with inside.app_context():
        return int(db.session.execute(select(func.count()).select_from(table)).scalar_one())


def age(inside: Flask, by: timedelta) -> None:
    """Lets the time pass in which a run counts as running."""
    with inside.app_context():
        db.session.execute(update(StoredAnswer).where(StoredAnswer.status.is_(None)).values(started_at=now() - by))
        db.session.commit()


def test_of_many_duplicates_over_two_processes_one_has_an_effect(inside, processes, people):
    owner = people.owner()
    for n in range(5):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sent = [pool.submit(send, processes[i % 2], owner, f"key-{n}") for i in range(AT_ONCE)]
            answers = [one.result() for one in sent]
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"idempotency_in_progress"}
        assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 409)
        made = [answer for answer in answers if answer.status_code == 201]
        assert len({answer.json()["id"] for answer in made}) == 1
        assert sum("Idempotency-Replayed" not in answer.headers for answer in made) == 1
        assert count_of(inside, Task) == n + 1
        # Whoever was told to wait gets the same answer from either process.
        again = {until_answered(app, owner, f"key-{n}").json()["id"] for app in processes}
        assert again == {made[0].json()["id"]}


def test_a_process_killed_in_the_middle_leaves_no_effect_and_its_key_is_taken_over(inside, processes, people):
    owner, editor = people.owner(), people.editor()
    theirs = TASK | {"assignedTo": editor.id}
    with ThreadPoolExecutor(1) as pool, inside.app_context():
        # Whoever gives them a task waits until this is over.
        db.session.execute(select(User).where(User.id == editor.id).with_for_update())
        first = pool.submit(send, processes[0], owner, "killed", theirs)
        deadline = time.monotonic() + 10
        while not _claims(inside) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)
        worker = processes[0].kill_worker()
        assert first.result(30) is None
        db.session.rollback()
    assert count_of(inside, Task) == 0
    waiting = send(processes[1], owner, "killed", theirs)
    assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_in_progress")
    assert send(processes[1], owner, "killed", TASK).json()["code"] == "idempotency_key_reused"
    age(inside, timedelta(seconds=60))
    taken = until_answered(processes[1], owner, "killed", theirs)
    assert (taken.status_code, taken.headers.get("Idempotency-Replayed")) == (201, None)
    processes[0].worker_pid(other_than=worker)
    again = until_answered(processes[0], owner, "killed", theirs)
    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (taken.json()["id"], "true")
    assert count_of(inside, Task) == 1


def _claims(inside: Flask) -> int:
    with db.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(StoredAnswer)).scalar_one())


def test_kills_at_any_moment_make_each_task_once(inside, processes, people):
    """Clients that repeat what got no answer, while both processes are killed by turns."""
    owner = people.owner()
    keys = [f"at-any-{n}" for n in range(60)]
    with ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(send, processes[n % 2], owner, key) for n, key in enumerate(keys)]
        for n in range(3):
            time.sleep(0.05)
            worker = processes[n % 2].kill_worker()
            processes[n % 2].worker_pid(other_than=worker)
        for one in sent:
            one.result()
    age(inside, timedelta(seconds=60))
    ids = [until_answered(processes[n % 2], owner, key).json()["id"] for n, key in enumerate(keys)]
    assert len(set(ids)) == len(keys) == count_of(inside, Task)
    assert [until_answered(processes[0], owner, key).json()["id"] for key in keys] == ids


def test_the_contract_of_a_replay_holds_over_processes(inside, processes, people):
    owner, moderator = people.owner(), people.moderator()
    first = send(processes[0], owner, "told")
    again = send(processes[1], owner, "told")
    assert (again.status_code, again.json(), again.headers["Idempotency-Replayed"]) == (201, first.json(), "true")
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert send(processes[1], moderator, "told").json()["id"] != first.json()["id"]
    refused = send(processes[1], owner, "told", TASK | {"name": "Another"})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert refused.headers["Content-Type"] == "application/problem+json"
