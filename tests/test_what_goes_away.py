"""What goes away: Redis in the middle, a process between its commit and its word, everybody; and what is said of it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from conftest import People, actor
from driver import NoAck
from flask import Flask
from live import Live, environment, make_inside
from processes import Processes, Two
from proxies import OwnRedis
from servers import ROOT, RunningApp, available, start_app, web_command
from sockets import Client
from sqlalchemy import create_engine, make_url, text

from idyll.chat import service as chat
from idyll.extensions import db
from idyll.transactions import transaction

pytestmark = [
    pytest.mark.only_on("postgresql"),
    pytest.mark.skipif(not (available("redis") and available("nginx")), reason="needs Redis and nginx"),
]
SOON = 3  # seconds; one is promised
LAST_QUERY = "SELECT max(query_start) FROM pg_stat_activity WHERE datname = :name"


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Flask:
    return make_inside(f"idyll_away_{worker_id}", tmp_path_factory.mktemp("away"))


@pytest.fixture(scope="module")
def processes(inside) -> Iterator[Processes]:
    processes = Processes.start(inside, redis=True)
    yield processes
    processes.stop()


@pytest.fixture
def two(processes, clients) -> Iterator[Two]:
    processes.redis.start()
    two = Two(processes, clients)
    eventually(lambda: {ready(live)[1] for live in (two.a, two.b)} == {"ok"})
    yield two
    clients.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Flask:
    """An agency where nobody else runs."""
    return make_inside(f"idyll_alone_{worker_id}", tmp_path_factory.mktemp("alone"))


@pytest.fixture
def start(clients) -> Iterator[Callable[..., Live]]:
    """One more process of an agency, until the end of the test; `made_of` is one of tests/apps."""
    started: list[RunningApp] = []

    def start(inside: Flask, made_of: str = "wsgi", **env: str) -> Live:
        command = web_command().replace("wsgi:app", f"--pythonpath {ROOT / 'tests' / 'apps'} {made_of}:app")
        started.append(start_app(environment(inside, **env), command=command))
        return Live(inside, started[-1], started[-1].url, clients, People(inside))

    yield start
    clients.close()
    for app in started:
        app.stop()


def eventually(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ready(live: Live) -> tuple[int, str, dict[str, str]]:
    answer = live.api.get("/readyz")
    return answer.status_code, answer.json["status"], answer.json["checks"]


def doctor(inside: Flask, **env: str) -> str:
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    settings = {**os.environ, **environment(inside, **env)}
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False).stdout


def present(client: Client) -> set[str]:
    return {one["id"] for one in client.emit("join_room", {})["members"]}


# -- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goes_away", [OwnRedis.stop, OwnRedis.fall_silent])
def test_while_redis_is_away_everything_is_told_through_the_log_and_rights_still_bite(two, goes_away):
    owner, editor, gone = two.people.owner(), two.people.editor(), two.people.editor()
    a, b, doomed = two.a.connect(editor), two.b.connect(owner), two.b.connect(gone)
    for client in (a, b, doomed):
        client.emit("join_room", {})
    goes_away(two.redis)
    for n, client in enumerate((a, b)):
        assert client.emit("send_message", {"message": f"Anybody there? {n}"})["id"]
        for ear in (a, b):
            ear.wait("new_message", lambda told, n=n: told["message"].endswith(str(n)), timeout=SOON)
    task = two.b.api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01", "assignedTo": editor.id}).json
    assert a.wait("task_created", timeout=SOON)["task"]["id"] == task["id"]
    assert two.a.api.delete(f"/api/users/{gone.id}", owner).status_code == 204
    doomed.wait("token_expired", timeout=SOON)
    doomed.disconnected(SOON)
    for live in (two.a, two.b):
        status, word, checks = ready(live)
        assert (status, word, checks["redis"], checks["database"]) == (200, "degraded", "away", "ok")
    assert "limits hold for each instance alone" in doctor(two.inside, REDIS_URL=two.redis.url)
    for ear in (a, b):
        told = [event.data["eventId"] for event in ear.events("new_message")]
        assert len(told) == len(set(told)) == 2


def test_who_is_here_heals_when_redis_is_back(two):
    owner, leaving, coming = two.people.owner(), two.people.editor(), two.people.editor()
    ear, tab, late = two.b.connect(owner), two.a.connect(leaving), two.a.connect(coming)
    for client in (ear, tab):
        client.emit("join_room", {})
    # The test before may have stopped Redis: who is here comes with the next heartbeat then.
    ear.wait("user_joined", lambda told: told["user"]["id"] == leaving.id, timeout=30)
    two.redis.stop()
    ear.forget()
    tab.disconnect()
    assert coming.id in present(late)
    ear.silent()
    two.redis.start()
    ear.wait("user_left", lambda told: told["user"]["id"] == leaving.id, timeout=30)
    ear.wait("user_joined", lambda told: told["user"]["id"] == coming.id, timeout=30)
    assert present(ear) == present(late) == {owner.id, coming.id}


# -- processes -------------------------------------------------------------------------------------------------------


def test_what_a_process_committed_before_it_was_killed_is_told_by_the_other(two, start):
    one, other = two.people.editor(), two.people.editor()
    dying = start(two.inside, "dies_after_commit", REDIS_URL=two.redis.url)
    ears = [live.connect(other) for live in (two.a, two.b)]
    for ear in ears:
        ear.emit("join_room", {})
    answer = dying.connect(one).send("send_message", {"message": "Last words", "clientId": "last"}, timeout=2)
    (told, again) = [ear.wait("new_message", timeout=SOON) for ear in ears]
    assert told == again
    assert (told["message"], told["senderId"]) == ("Last words", one.id)
    with pytest.raises(NoAck):
        answer.result(10)
    # Not knowing what became of it, its client says it again.
    stored = two.a.connect(one).emit("send_message", {"message": "Last words", "clientId": "last"})
    assert stored["id"] == told["id"]
    for ear in ears:
        ear.silent("new_message")


def test_what_no_process_was_told_of_is_found_in_the_log(two):
    """As when a change is made on the command line, or by a process that is gone."""
    one, other = two.people.editor(), two.people.editor()
    ears = [live.connect(other) for live in (two.a, two.b)]
    for ear in ears:
        ear.emit("join_room", {})
    with two.inside.app_context(), transaction():
        chat.send("From nowhere", room="team", client_id=None, by=actor(one))
    assert [ear.wait("new_message", timeout=SOON)["message"] for ear in ears] == ["From nowhere"] * 2


def test_a_second_process_without_redis_is_reported_until_it_goes(alone, start):
    first = start(alone)
    assert ready(first)[:2] == (200, "ok")
    second = start(alone)
    for live in (first, second):
        eventually(lambda live=live: "instances" in ready(live)[2])
        status, word, checks = ready(live)
        assert (status, word, checks["instances"]) == (200, "degraded", "several without REDIS_URL")
    assert re.search("warning +instances +2 run without REDIS_URL", doctor(alone))
    second.app.stop()
    assert ready(first)[:2] == (200, "ok")
    assert re.search("ok +instances +1 runs", doctor(alone))


def test_with_redis_several_processes_are_as_it_should_be(two):
    status, word, checks = ready(two.a)
    assert (status, word, checks["redis"]) == (200, "ok", "ok")
    assert "instances" not in checks
    assert re.search("ok +instances +[2-9] run", doctor(two.inside, REDIS_URL=two.redis.url))


def test_a_database_that_sleeps_when_nobody_asks_may_sleep(alone, start):
    live = start(alone, "sleeps_soon")
    address = make_url(alone.config["SQLALCHEMY_DATABASE_URI"])
    watcher = create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT")

    def last_query() -> datetime:
        with alone.app_context():
            db.engine.dispose()
        with watcher.connect() as connection:
            return connection.execute(text(LAST_QUERY), {"name": address.database}).scalar()

    def asks(seconds: float = 1.5) -> bool:
        before = last_query()
        time.sleep(seconds)
        return last_query() != before

    eventually(lambda: not asks())
    live.api.get("/healthz")
    assert not asks()
    client = live.connect(live.people.editor())
    time.sleep(3)  # beyond what the request that opened it keeps awake
    assert asks()
    client.disconnect()
    eventually(lambda: not asks())
    live.api.get("/api/tasks")
    assert asks()
    eventually(lambda: not asks())
    watcher.dispose()


def test_rights_end_in_time_though_every_connection_waits_for_a_lock(two):
    owner, editor = two.people.owner(), two.people.editor()
    task = two.a.api.post("/api/tasks", owner, json={"name": "Film", "deadline": "2031-01-01"}).json["id"]
    client = two.a.connect(editor)
    with ThreadPoolExecutor(20) as pool:
        with two.inside.app_context(), db.engine.begin() as held:
            held.execute(text("SELECT id FROM tasks FOR UPDATE"))
            edits = [pool.submit(two.a.api.put, f"/api/tasks/{task}", owner, {"name": f"Cut {n}"}) for n in range(20)]
            time.sleep(1)  # until all connections of the pool wait
            assert two.b.api.post("/api/auth/logout", editor).status_code == 204
            client.wait("token_expired", timeout=SOON)
        assert {edit.result().status_code for edit in edits} <= {200, 503}
