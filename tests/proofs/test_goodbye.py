"""A process that is told to stop: nobody waits for it, no request is cut, and all are level at the next one."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from live import make_inside
from processes import Processes, Two
from servers import available
from slow import HalfSent
from sqlalchemy import select, text
from talk import until

from idyll.events import service as events
from idyll.events.models import Event
from idyll.extensions import db

from .crowd import Crowd

pytestmark = [
    pytest.mark.only_on("postgresql"),
    pytest.mark.skipif(not (available("redis") and available("nginx")), reason="needs Redis and nginx"),
]
SOCKETS = 200
TABS = 8
IN_FLIGHT = 20
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def two(tmp_path_factory, worker_id, clients) -> Iterator[Two]:
    inside = make_inside(f"idyll_goodbye_{worker_id}", tmp_path_factory.mktemp("goodbye"))
    processes = Processes.start(inside, redis=True, standby=True, CHAT_FLOOD_LIMIT="1000", SOCKETS_PER_ADDRESS="1000")
    yield Two(processes, clients)
    clients.close()
    processes.stop()


@contextmanager
def rows_held(two):
    """All tasks are locked: whoever changes one waits. Gives a look at how many do."""
    with two.inside.app_context(), db.engine.connect() as holder, db.engine.connect() as watcher:
        # In a transaction it would see the same again and again.
        watcher.execution_options(isolation_level="AUTOCOMMIT")
        holder.execute(text("SELECT id FROM tasks FOR UPDATE"))
        yield lambda: watcher.execute(text(WAITING)).scalar()
        holder.rollback()


def in_the_log(two):
    with two.inside.app_context():
        found = select(Event.position, Event.of).where(Event.name == "new_message").order_by(Event.position)
        return [(events.event_id(position), message) for position, message in db.session.execute(found)]


def test_who_is_told_to_stop_tells_everybody_and_cuts_nothing(two, measured):
    owner, people = two.people.owner(), [two.people.editor() for _ in range(SOCKETS // TABS)]
    film = {"name": "Film", "deadline": "2031-01-01"}
    tasks = [two.a.api.post("/api/tasks", owner, film).json["id"] for _ in range(IN_FLIGHT // 2)]
    crowd = Crowd()
    for n in range(SOCKETS):
        outbox = [f"before-{n}"] if n < 5 else []
        crowd.add(two.front, people[n // TABS], outbox, transports=["polling" if n % 2 else "websocket"])
    crowd.gather()
    assert crowd.run(lambda: all(one.level and len(one.shown) == 5 for one in crowd.members), 60)

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        with rows_held(two) as waiting:
            half = [
                HalfSent(two.a.app.port, person.token, f"Half {n}") for n, person in enumerate(people[: IN_FLIGHT // 2])
            ]
            change = [pool.submit(two.a.api.put, f"/api/tasks/{key}", owner, {"name": "Short film"}) for key in tasks]
            until(lambda: waiting() == len(tasks))
            told_to_stop = time.monotonic()
            two.a.app.process.terminate()
            assert crowd.run(lambda: all(one.left_at for one in crowd.members), 5)
            assert not any(one.done() for one in change)
            time.sleep(max(0.0, told_to_stop + 2 - time.monotonic()))
        answered = [one.result().status_code for one in change] + [one.finish() for one in half]
    assert answered == [200] * len(change) + [201] * len(half)
    assert two.a.app.process.wait(20) == 0
    gone = time.monotonic() - told_to_stop

    for n in range(5):
        assert two.b.api.post("/api/chat/messages", people[n], {"message": f"After {n}"}).status_code == 201
    assert crowd.run(lambda: all(one.level and len(one.shown) == 20 for one in crowd.members), 30)
    level = time.monotonic() - told_to_stop
    told = in_the_log(two)
    for one in crowd.members:
        assert [(key, message["id"]) for key, message in one.shown.items()] == told

    last = max(one.left_at[0] for one in crowd.members) - told_to_stop
    measured("the last of 200 clients was told after, s", round(last, 2))
    measured("requests in flight that were answered", len(answered))
    measured("the process was gone after, s", round(gone, 1))
    measured("all were level at the next one after, s", round(level, 1))
    measured("asked again since the server was busy", crowd.busy)
    assert last <= 3
    assert gone <= 12
