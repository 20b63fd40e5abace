"""Thousands of messages over two processes, with broken connections, a killed worker and an absent Redis."""

import time
from collections.abc import Iterator

import pytest
from live import make_inside
from processes import Processes, Two
from servers import available
from sqlalchemy import func, select

from idyll.chat.models import Message
from idyll.events import service as events
from idyll.events.models import Event
from idyll.extensions import db

from . import size
from .crowd import Crowd, FrontEnd

pytestmark = [
    pytest.mark.only_on("postgresql"),
    pytest.mark.skipif(not (available("redis") and available("nginx")), reason="needs Redis and nginx"),
]
CLIENTS = 50
MESSAGES = size(1_000, 10_000)
DROPS = 20
AWAY_SECONDS = size(3, 10)


@pytest.fixture(scope="module")
def processes(tmp_path_factory, worker_id) -> Iterator[Processes]:
    inside = make_inside(f"idyll_lost_{worker_id}", tmp_path_factory.mktemp("lost"))
    processes = Processes.start(inside, redis=True, CHAT_FLOOD_LIMIT="1000000")
    yield processes
    processes.stop()


@pytest.fixture
def two(processes, clients) -> Iterator[Two]:
    yield Two(processes, clients)
    clients.close()


class Misfortunes:
    """Each happens once so many messages are acknowledged."""

    def __init__(self, two: Two, crowd: Crowd, *, redis_stops: bool) -> None:
        self.two, self.crowd = two, crowd
        self.drops = [(n + 1) * MESSAGES // (DROPS + 1) for n in range(DROPS)]
        self.dropped: list[FrontEnd] = []
        self.killed = 0
        self.redis_stops = redis_stops
        self.stopped_at: float | None = None
        self.away = 0.0

    def look(self) -> None:
        done = self.crowd.acknowledged
        while len(self.dropped) < DROPS and done >= self.drops[len(self.dropped)]:
            one = next(member for member in self.crowd.members if member.level and member not in self.dropped)
            one.client.drop()
            self.dropped.append(one)
        if not self.killed and done >= MESSAGES // 2:
            self.killed = self.two.a.app.kill_worker()
        if self.redis_stops and self.stopped_at is None and done >= MESSAGES * 2 // 5:
            self.two.redis.stop()
            self.stopped_at = time.monotonic()
            self.crowd.may_send = self.spread
        if self.stopped_at and not self.away and time.monotonic() >= self.stopped_at + AWAY_SECONDS:
            self.two.redis.start()
            self.away = time.monotonic() - self.stopped_at

    def spread(self) -> bool:
        """So that messages are sent for as long as Redis is away: a fifth of them."""
        if self.away or self.stopped_at is None:
            return True
        passed = (time.monotonic() - self.stopped_at) / AWAY_SECONDS
        return self.crowd.acknowledged < MESSAGES * (2 + passed) / 5


@pytest.mark.parametrize("redis_stops", [False, True], ids=["Redis stays", "Redis stops"])
def test_no_message_is_lost_or_shown_twice_or_out_of_order(two, redis_stops, measured):
    crowd = Crowd()
    people = [two.people.editor() for _ in range(CLIENTS)]
    for n, person in enumerate(people):
        crowd.add(two.front, person, [f"{n}-{i}" for i in range(MESSAGES // CLIENTS)])
    crowd.gather()
    misfortunes = Misfortunes(two, crowd, redis_stops=redis_stops)
    begun = time.monotonic()
    assert crowd.run(lambda: crowd.acknowledged == MESSAGES, size(120, 900), misfortunes.look), crowd.acknowledged
    measured("messages a second", round(MESSAGES / (time.monotonic() - begun)))
    # No word more is needed from anybody: what is still on its way comes by itself.
    crowd.run(lambda: all(len(member.shown) >= MESSAGES for member in crowd.members), 20)

    with two.inside.app_context():
        log = db.session.execute(select(Event.position, Event.of).order_by(Event.position)).all()
        told = [(events.event_id(position), message) for position, message in log]
        stored, distinct = db.session.execute(
            select(func.count(), func.count(func.distinct(Message.client_id))).select_from(Message)
        ).one()
    assert (stored, distinct, len(told)) == (MESSAGES, MESSAGES, MESSAGES)
    for member in crowd.members:
        assert [(event_id, message["id"]) for event_id, message in member.shown.items()] == told, member.client.label

    returns = sum(member.visits - 1 for member in crowd.members)
    measured("shown", sum(len(member.shown) for member in crowd.members))
    measured("came twice, shown once", sum(member.repeated for member in crowd.members))
    measured("replayed by sync", sum(member.replayed for member in crowd.members))
    measured("sent again for want of an acknowledgement", sum(member.resent for member in crowd.members))
    measured("connections that broke", returns)
    measured("asked again since the server was busy", crowd.busy)
    assert (len(misfortunes.dropped), misfortunes.killed > 0) == (DROPS, True)
    # By turns, every second one of those who weren't away was at the killed process.
    assert returns >= DROPS + CLIENTS // 5
    assert misfortunes.away >= AWAY_SECONDS * redis_stops
