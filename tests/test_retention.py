"""What is old is deleted, by the command and by each server; whoever writes meanwhile doesn't notice."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest
from conftest import Api
from servers import ROOT
from sqlalchemy import func, insert, select, update
from talk import done, made, until

from idyll import clock, idempotency, steps, sweeping
from idyll.audit import chain
from idyll.auth.models import LoginAttempt, RefreshToken, Session
from idyll.database import answered, execute
from idyll.events import sealing
from idyll.events import service as events
from idyll.events.models import Event
from idyll.extensions import db
from idyll.idempotency import StoredAnswer
from idyll.ids import uuid7
from idyll.live import door
from idyll.transactions import transaction

pytestmark = pytest.mark.database

JOB = {"name": "T", "deadline": "2030-01-01"}


def days_ago(days):
    return clock.at(clock.now() - timedelta(days=days))


def mark(api, by):
    return made(api.get("/api/events", by))["lastEventId"]


def replay(api, by, since):
    return made(api.get("/api/events", by, query_string={"since": since, "limit": 500}))


def kept(app, what=Event):
    with app.app_context():
        return db.session.execute(select(func.count()).select_from(what)).scalar_one()


def fill(app, number):
    """Old events of things that are nobody's any more."""
    data, long_ago = f'{{"taskId": "{uuid7()}"}}', clock.now() - timedelta(days=30)
    row = {"name": "task_deleted", "data": data, "about": "parting", "audience": "|managers|", "created_at": long_ago}
    with app.app_context(), transaction():
        for start in range(0, number, 1000):
            execute(insert(Event.__table__), [row | {"of": uuid7()} for _ in range(min(1000, number - start))])
    with app.app_context():
        sealing.seal()


def put(app, what, rows):
    with app.app_context(), transaction():
        for start in range(0, len(rows), 1000):
            execute(insert(what.__table__), rows[start : start + 1000])


def fill_answers(app, number, whose):
    moment = clock.now() - timedelta(days=2)
    row = {"user_id": whose.id, "fingerprint": "0" * 64, "status": 201, "content_type": "text/plain", "body": "x"}
    row |= {"started_at": moment, "created_at": moment}
    put(app, StoredAnswer, [row | {"id": uuid7(), "key": f"old-{n}"} for n in range(number)])


def fill_sessions(app, number, whose):
    """With a token each, but for one that was in use for weeks."""
    began, over = clock.now() - timedelta(days=60), clock.now() - timedelta(days=20)
    row = {"user_id": whose.id, "created_at": began, "last_seen_at": began, "ended_at": over}
    row["expires_at"] = clock.now() + timedelta(days=1)
    ids = [uuid7() for _ in range(number)]
    put(app, Session, [row | {"id": key} for key in ids])
    tokens = [{"session_id": key, "created_at": began} for key in [*ids, *([ids[3]] * 700)]]
    put(app, RefreshToken, [row | {"digest": uuid7()} for row in tokens])


def fill_failures(app, number, whose):
    row = {"account": whose.id, "network": "203.0.113.7", "at": clock.now() - timedelta(hours=1)}
    put(app, LoginAttempt, [row | {"id": uuid7()} for _ in range(number)])


class Backlog(NamedTuple):
    what: type
    at: str
    fill: Callable[..., None]

    @property
    def delete(self) -> str:
        return f"DELETE FROM {self.what.__tablename__} "

    def left(self, app) -> int:
        """How many old ones there are."""
        old = getattr(self.what, self.at) < clock.now() - timedelta(minutes=30)
        with app.app_context():
            return execute(select(func.count()).select_from(self.what).where(old)).scalar_one()


BACKLOGS = {
    "Events": Backlog(Event, "created_at", lambda app, number, _: fill(app, number)),
    "Stored answers": Backlog(StoredAnswer, "created_at", fill_answers),
    "Sessions": Backlog(Session, "created_at", fill_sessions),
    "Failed log-ins": Backlog(LoginAttempt, "at", fill_failures),
}
each_backlog = pytest.mark.parametrize("name", BACKLOGS)


def by_command(app):
    swept = app.test_cli_runner().invoke(args=["sweep"])
    assert swept.exit_code == 0, swept.output


def by_the_server_itself(app):
    """What runs beside the requests, in the moment in which its hour is over."""
    before = kept(app)
    app.test_client().get("/api/health")  # nobody sweeps while nobody is there
    with sweeping_by_itself(app):
        until(lambda: kept(app) < before)


@contextmanager
def sweeping_by_itself(app):
    hub = app.extensions["hub"]
    beside = threading.Thread(target=app.extensions["on_worker_start"].__self__._sweep)
    beside.start()
    try:
        yield
    finally:
        hub.closing = True
        beside.join()
        hub.closing = False


@pytest.fixture
def an_hour_later(monkeypatch):
    monkeypatch.setattr(door, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(door, "HELLO_SECONDS", 0.01)


@pytest.mark.parametrize("sweep", [by_command, by_the_server_itself])
def test_who_was_away_longer_than_events_are_kept_begins_anew(app, api, owner, an_hour_later, sweep):
    beginning = mark(api, owner)
    with days_ago(8):
        made(api.post("/api/tasks", owner, JOB))
        in_between = mark(api, owner)
        made(api.post("/api/tasks", owner, JOB))
        last_old = mark(api, owner)
    with days_ago(6):
        made(api.post("/api/tasks", owner, JOB | {"name": "Kept"}))
    sweep(app)
    last = mark(api, owner)
    for since in (beginning, in_between):
        assert replay(api, owner, since) == {"resync": True, "lastEventId": last}
    [found] = replay(api, owner, last_old)["events"]
    assert found["data"]["task"]["name"] == "Kept"
    assert replay(api, owner, last)["events"] == []
    assert kept(app) == 1


@pytest.mark.parametrize(("days", "gone"), [(1, True), (2, True), (4, False), (365, False)])
def test_how_long_events_are_kept_is_a_setting(app, api, owner, monkeypatch, days, gone):
    monkeypatch.setitem(app.config, "EVENT_RETENTION_DAYS", days)
    with days_ago(3):
        made(api.post("/api/tasks", owner, JOB))
    with app.app_context():
        assert sweeping.sweep()[0]["Events"] == int(gone)
    assert kept(app) == int(not gone)


@each_backlog
def test_a_backlog_goes_in_steps_of_which_none_is_large(app, api, owner, name):
    backlog, tokens = BACKLOGS[name], kept(app, RefreshToken)
    backlog.fill(app, 1200, owner)
    made(api.post("/api/tasks", owner, JOB, headers={"Idempotency-Key": "young"}))
    assert api.post("/api/auth/login", json={"login": owner.email, "password": "wrong"}).status_code == 401
    young = kept(app, backlog.what) - 1200
    assert young
    with app.app_context():
        engine, taken, of_tokens = db.engine, [], []

    def count(_, statement, changed):
        if statement.startswith(backlog.delete):
            taken.append(changed)
        elif statement.startswith("DELETE FROM refresh_tokens "):
            of_tokens.append(changed)

    with answered.connected_to(count, engine), app.app_context():
        assert sweeping.sweep()[0][name] == 1200
    assert taken == [500, 500, 200]
    assert max(of_tokens, default=0) <= 500
    assert kept(app, backlog.what) == young
    assert kept(app, RefreshToken) == tokens


@each_backlog
def test_between_two_steps_others_write_and_see_what_is_gone(app, owner, name, monkeypatch):
    backlog, left, written = BACKLOGS[name], [], []
    backlog.fill(app, 1200, owner)

    def write():
        written.append(Api(app).post("/api/tasks", owner, JOB).status_code)

    def meanwhile(_):
        left.append(backlog.left(app))
        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        writing.join(10)
        assert not writing.is_alive()

    monkeypatch.setattr(steps, "sleep", meanwhile)
    with app.app_context():
        assert sweeping.PARTS[name]() == 1200
    assert {700, 200, 0} <= {*left} <= {1200, 700, 200, 0}
    assert written == [201] * len(left)


def test_a_key_that_is_used_again_while_a_sweep_looks_at_it_is_kept(app, api, owner):
    with days_ago(2):
        made(api.post("/api/tasks", owner, JOB, headers={"Idempotency-Key": "one"}))
        made(api.post("/api/tasks", owner, JOB, headers={"Idempotency-Key": "other"}))
    with app.app_context():
        engine, again = db.engine, []

    def use(_, statement, **__):
        if statement.startswith("SELECT stored_answers.id") and not again:
            again.append(None)
            again[0] = made(Api(app).post("/api/tasks", owner, JOB, headers={"Idempotency-Key": "one"}))

    with answered.connected_to(use, engine), app.app_context():
        assert idempotency.sweep() == 1
    assert made(api.post("/api/tasks", owner, JOB, headers={"Idempotency-Key": "one"})) == again[0]


@each_backlog
def test_two_servers_that_sweep_at_once_delete_everything_once(app, owner, name):
    backlog = BACKLOGS[name]
    young = kept(app, backlog.what)
    backlog.fill(app, 3000, owner)

    def sweep(_):
        with app.app_context():
            return sweeping.PARTS[name]()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(sweep, range(2))) == 3000
    assert kept(app, backlog.what) == young


def test_who_listens_goes_on_listening(live):
    owner, editor = live.people.owner(), live.people.editor()
    tab = live.connect(editor)
    before = done(tab, "sync", {})["lastEventId"]
    made(live.api.post("/api/tasks", owner, JOB | {"assignedTo": editor.id}))
    old = tab.wait("task_created")
    with live.inside.app_context():
        with transaction():
            execute(update(Event.__table__).values(created_at=clock.now() - timedelta(days=8)))
        assert sweeping.sweep()[0]["Events"] == 2
    begun_anew = done(tab, "sync", {"since": before})
    assert begun_anew == {"resync": True, "lastEventId": begun_anew["lastEventId"]}
    made(live.api.post("/api/tasks", owner, JOB | {"assignedTo": editor.id}))
    new = tab.wait("task_created")
    assert new["task"]["id"] != old["task"]["id"]
    missed = done(tab, "sync", {"since": begun_anew["lastEventId"]})["events"]
    assert [event["event"] for event in missed] == ["task_created", "new_notification"]
    assert missed[0]["data"] == new


# -- when something fails, and when the server stops -------------------------------------------------------------------


def fail():
    raise RuntimeError


def gone_but(name, app, owner, sweep, monkeypatch):
    """What a sweep leaves of each backlog when one part of it fails."""
    for backlog in BACKLOGS.values():
        backlog.fill(app, 10, owner)
    target, key = (chain, "seal") if name == "Seals of the audit" else (sweeping.PARTS, name)
    (monkeypatch.setitem if target is sweeping.PARTS else monkeypatch.setattr)(target, key, fail)
    sweep(app)
    return [other for other, backlog in BACKLOGS.items() if backlog.left(app)]


@pytest.mark.parametrize("name", ["Seals of the audit", *BACKLOGS])
def test_a_part_that_fails_keeps_no_other_from_its_turn(app, owner, name, monkeypatch, an_hour_later, caplog):
    """In the server, whose heart knows nothing of it."""

    def by_itself(app):
        app.test_client().get("/api/health")
        with sweeping_by_itself(app):
            until(lambda: sum(name in record.getMessage() for record in caplog.records) >= 2)

    left = gone_but(name, app, owner, by_itself, monkeypatch)
    assert left == [other for other in BACKLOGS if other == name]
    assert {record.getMessage() for record in caplog.records} == {f"the sweep failed at: {name} (RuntimeError)"}
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@pytest.mark.parametrize("name", ["Seals of the audit", *BACKLOGS])
def test_the_command_fails_with_its_part_when_the_others_had_their_turn(app, owner, name, monkeypatch, caplog):
    ended = []

    def by_command(app):
        ended.append(app.test_cli_runner().invoke(args=["sweep"]))

    left = gone_but(name, app, owner, by_command, monkeypatch)
    assert left == [other for other in BACKLOGS if other == name]
    assert ended[0].exit_code == 1
    assert isinstance(ended[0].exception, RuntimeError)
    assert [line.partition(" deleted")[0] for line in ended[0].output.splitlines()] == [
        other for other in BACKLOGS if other != name
    ]
    assert [record.getMessage() for record in caplog.records] == [f"the sweep failed at: {name} (RuntimeError)"]


@each_backlog
def test_a_server_that_stops_leaves_the_rest_to_the_next_one(app, owner, name, monkeypatch, an_hour_later):
    backlog, hub = BACKLOGS[name], app.extensions["hub"]
    backlog.fill(app, 1200, owner)
    app.test_client().get("/api/health")
    with app.app_context():
        engine = db.engine

    def close(_, statement, **__):
        if statement.startswith(backlog.delete):
            hub.closing = True

    with answered.connected_to(close, engine), sweeping_by_itself(app):
        until(lambda: hub.closing)
    assert backlog.left(app) == 700


# -- beside the writers ----------------------------------------------------------------------------------------------


@contextmanager
def in_the_midst_of_a_sweep(app):
    """Some events are deleted already, and nothing of it is committed yet."""
    with app.app_context():
        engine = db.engine
    there, on = threading.Event(), threading.Event()

    def hold(_, statement, **__):
        if statement.startswith("DELETE FROM events") and threading.current_thread() is sweeping_thread:
            there.set()
            on.wait(30)

    def sweep():
        with app.app_context():
            events.sweep()

    sweeping_thread = threading.Thread(target=sweep)
    answered.connect(hold, engine)
    try:
        sweeping_thread.start()
        assert there.wait(10)
        yield
        assert sweeping_thread.is_alive()
    finally:
        on.set()
        sweeping_thread.join()
        answered.disconnect(hold, engine)


@pytest.mark.only_on("postgresql", "mariadb")
def test_nobody_waits_for_what_a_sweep_holds(app, api, owner, moderator, editor):
    """With a lock in their way they would be refused after five seconds: the sweep goes on only after them."""
    said = made(api.post("/api/chat/messages", editor, {"message": "x"}))["id"]
    fill(app, 1000)
    since = mark(api, owner)
    with in_the_midst_of_a_sweep(app):
        task = made(api.post("/api/tasks", owner, JOB | {"assignedTo": editor.id}))["id"]
        made(api.put(f"/api/tasks/{task}", editor, {"status": "in-progress"}))
        made(api.put(f"/api/chat/messages/{said}", editor, {"message": "y"}))
        payout = made(api.post("/api/payouts", editor, {"projectName": "P", "amount": 1}))["id"]
        made(api.put(f"/api/payouts/{payout}", owner, {"status": "approved"}))
        made(api.post("/api/meetings", owner, {"title": "M", "date": "2030-01-01", "time": "10:00"}))
        made(api.put(f"/api/users/{moderator.id}", owner, {"role": "editor"}))
        made(api.delete(f"/api/tasks/{task}", owner))
        told = [event["event"] for event in replay(api, owner, since)["events"]]
    assert {"message_updated", "payout_created", "meeting_created", "user_updated", "task_deleted"} <= set(told)


def test_writers_go_on_beside_a_long_sweep(app, api, owner, monkeypatch):
    fill(app, 20_000)
    statuses, over = Counter(), threading.Event()

    def write():
        writer = Api(app)
        while not over.is_set():
            statuses[writer.post("/api/chat/messages", owner, {"message": "x"}).status_code] += 1

    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 10**6)
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(write) for _ in range(2)]
        until(lambda: statuses)
        before = statuses.total()
        try:
            with app.app_context():
                assert events.sweep() == 20_000
            beside = statuses.total() - before
        finally:
            over.set()
        for one in writing:
            one.result()
    assert statuses.keys() == {201}
    # Forty steps: between any two of them somebody else has their turn.
    assert beside >= 20
    assert kept(app) == statuses[201]


HEART = """
import eventlet
eventlet.monkey_patch()
from eventlet.event import Event
from idyll import sweeping
from idyll.live import door, instances
from wsgi import app

begun, end = Event(), Event()

def long():
    begun.send()
    end.wait()
    return 0

sweeping.PARTS = {"Long": long}
door.SWEEP_SECONDS, door.HELLO_SECONDS = 0.0, 0.01
beats, beat = [], instances.beat
instances.beat = lambda key: beats.append(beat(key))
app.test_client().get("/api/health")
app.extensions["on_worker_start"]()
with eventlet.Timeout(30):
    begun.wait()
    before = len(beats)
    while len(beats) < before + 3:
        eventlet.sleep(0.01)
    with app.app_context():
        print(instances.count())
app.extensions["on_worker_stop"]()
end.send()
"""


def in_a_server(script, url):
    env = {**os.environ, "DATABASE_URL": url}
    command = [sys.executable, "-W", "ignore", "-c", script]
    return subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_heart_goes_on_during_a_long_sweep(app, database_url):
    """Else the others would take this instance for one that died."""
    assert in_a_server(HEART, database_url).split() == ["1"]


GREENLETS = """
import eventlet
eventlet.monkey_patch()
from idyll.events import service
from wsgi import app

turns = 0

def others():
    global turns
    while True:
        turns += 1
        eventlet.sleep(0)

eventlet.spawn(others)
with app.app_context():
    print(service.sweep(), turns)
"""


@pytest.mark.only_on("sqlite")
def test_a_server_on_sqlite_goes_on_serving_while_it_sweeps(app, database_url):
    """Nothing that SQLite does lets another greenlet go on."""
    fill(app, 5_000)
    swept, turns = map(int, in_a_server(GREENLETS, database_url).split())
    assert swept == 5_000
    assert turns >= 10
