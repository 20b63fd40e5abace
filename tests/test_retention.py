"""Old events are deleted, by the command and by each server; whoever writes meanwhile doesn't notice."""

import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from conftest import Api
from servers import ROOT
from sqlalchemy import func, insert, select, update
from talk import done, made, until

from idyll import clock, sweeping
from idyll.database import answered, execute
from idyll.events import sealing
from idyll.events import service as events
from idyll.events.models import Event
from idyll.extensions import db
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


def kept(app):
    with app.app_context():
        return db.session.execute(select(func.count()).select_from(Event)).scalar_one()


def fill(app, number):
    """Old events of things that are nobody's any more."""
    data, long_ago = f'{{"taskId": "{uuid7()}"}}', clock.now() - timedelta(days=30)
    row = {"name": "task_deleted", "data": data, "about": "parting", "audience": "|managers|", "created_at": long_ago}
    with app.app_context(), transaction():
        for _ in range(0, number, 1000):
            execute(insert(Event.__table__), [row | {"of": uuid7()} for _ in range(1000)])
    with app.app_context():
        sealing.seal()


def by_command(app):
    swept = app.test_cli_runner().invoke(args=["sweep"])
    assert swept.exit_code == 0, swept.output


def by_the_server_itself(app):
    """What runs beside the requests, in the moment in which its hour is over."""
    hub, before = app.extensions["hub"], kept(app)
    app.test_client().get("/api/health")  # nobody sweeps while nobody is there
    beating = threading.Thread(target=app.extensions["on_worker_start"].__self__._beat)
    beating.start()
    try:
        until(lambda: kept(app) < before)
    finally:
        hub.closing = True
        beating.join()
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
        assert sweeping.sweep()["Events"] == int(gone)
    assert kept(app) == int(not gone)


def test_no_step_of_a_sweep_is_large(app):
    fill(app, 2000)
    with app.app_context():
        engine, steps = db.engine, []

    def count(_, statement, changed):
        if statement.startswith("DELETE FROM events"):
            steps.append(changed)

    with answered.connected_to(count, engine), app.app_context():
        events.sweep()
    assert steps == [500] * 4


def test_two_servers_that_sweep_at_once_delete_everything_once(app):
    fill(app, 3000)

    def sweep(_):
        with app.app_context():
            return events.sweep()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(sweep, range(2))) == 3000
    assert kept(app) == 0


def test_who_listens_goes_on_listening(live):
    owner, editor = live.people.owner(), live.people.editor()
    tab = live.connect(editor)
    before = done(tab, "sync", {})["lastEventId"]
    made(live.api.post("/api/tasks", owner, JOB | {"assignedTo": editor.id}))
    old = tab.wait("task_created")
    with live.inside.app_context():
        with transaction():
            execute(update(Event.__table__).values(created_at=clock.now() - timedelta(days=8)))
        assert sweeping.sweep()["Events"] == 2
    begun_anew = done(tab, "sync", {"since": before})
    assert begun_anew == {"resync": True, "lastEventId": begun_anew["lastEventId"]}
    made(live.api.post("/api/tasks", owner, JOB | {"assignedTo": editor.id}))
    new = tab.wait("task_created")
    assert new["task"]["id"] != old["task"]["id"]
    missed = done(tab, "sync", {"since": begun_anew["lastEventId"]})["events"]
    assert [event["event"] for event in missed] == ["task_created", "new_notification"]
    assert missed[0]["data"] == new


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
    env = {**os.environ, "DATABASE_URL": database_url}
    command = [sys.executable, "-W", "ignore", "-c", GREENLETS]
    told = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True, timeout=60).stdout
    swept, turns = map(int, told.split())
    assert swept == 5_000
    assert turns >= 10
