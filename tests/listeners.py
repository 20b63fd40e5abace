"""Everybody of an agency at a socket: what each heard, exactly; and how to hold back what they are to hear."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conftest import Someone
from flask import Flask
from live import Live
from sqlalchemy import select
from talk import done, made, until

from idyll.counters import Counter
from idyll.events.catalogue import CATALOGUE
from idyll.events.sealing import SEALED
from idyll.extensions import db

KEPT = {event.name for event in CATALOGUE.values() if event.kept}
LAST = "That was all"  # and how often it was said


class Listeners:
    """`people` by name, with the owner under `owner`; each joins `team` and the further rooms that are named."""

    def __init__(self, live: Live, people: dict[str, Someone], rooms: dict[str, list[str]] | None = None) -> None:
        self.live, self.people, self.times = live, people, 0
        # An event gets its place after its commit: who comes in between would hear it too.
        self.mark: str = made(live.api.get("/api/events", people["owner"]))["lastEventId"]
        self.ears = {name: live.connect(who) for name, who in people.items()}
        for name, client in self.ears.items():
            for room in ["team", *(rooms or {}).get(name, [])] if name != "pending" else []:
                done(client, "join_room", {"room": room})

    def settle(self) -> None:
        """Until all who still listen heard a last word: by then they heard whatever comes before it."""
        self.times += 1
        last = f"{LAST} {self.times}"
        if self.ears.get("pending") and self.ears["pending"].is_connected:
            pending = self.people["pending"]
            made(self.live.api.put(f"/api/users/{pending.id}", pending, {"contact": last}))
        made(
            self.live.api.post("/api/notifications", self.people["owner"], {"title": last, "message": "-", "to": "all"})
        )
        for name, client in self.ears.items():
            word = "user_updated" if name == "pending" else "new_notification"
            until(lambda c=client, w=word: not c.is_connected or any(last in str(e.data) for e in c.events(w)))

    def heard(self, name: str) -> list[dict[str, Any]]:
        """What one heard so far, as a replay would say it."""
        return [
            {"eventId": event.data["eventId"], "event": event.name, "data": event.data}
            for event in self.ears[name].events()
            if event.name in KEPT and LAST not in str(event.data)
        ]

    def missed(self, name: str) -> list[dict[str, Any]]:
        """What one would be told who was away all the time: by REST and by the socket alike."""
        query = {"since": self.mark, "limit": 500}
        replayed = made(self.live.api.get("/api/events", self.people[name], query_string=query))
        assert done(self.ears[name], "sync", query) == replayed
        return [event for event in replayed["events"] if LAST not in str(event["data"])]


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


@contextmanager
def nothing_told(inside: Flask) -> Iterator[None]:
    """Whatever is committed meanwhile gets its place in the log, and is told, only at the end."""
    with inside.app_context():
        engine = db.engine
    with engine.connect() as connection, connection.begin():
        connection.execute(select(Counter).where(Counter.name == SEALED).with_for_update())
        yield
