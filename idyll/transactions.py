"""One change, one commit: `transaction()` is the only place that commits, and effects leave only after it.

Nested blocks join the outer one, so a route may wrap a service that wraps another. What a change owes to the world
is said with `record()`: the event is written in the transaction of its change and can neither be lost nor go out for
a change that was rolled back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import orjson
from blinker import Signal
from flask import g
from sqlalchemy import insert
from sqlalchemy.orm import Session

from .clock import now
from .counters import RIGHTS, advance
from .database import release, sqlite_writer
from .events.catalogue import CATALOGUE
from .events.models import Event
from .extensions import db

# Of the table and not of the entity, which would cost a detour through the ORM's bookkeeping.
EVENTS = insert(Event.__table__)
# Sent after every commit that others must hear of: the sockets of this process wake by it.
committed = Signal()


@dataclass
class _Open:
    events: list[dict[str, Any]] = field(default_factory=list)
    rights: bool = False


@contextmanager
def transaction() -> Iterator[Session]:
    """Commits at the end of the block, or rolls everything back when it raises."""
    session = db.session()
    if "transaction" in g:
        yield session
        return
    assert "guess" not in g, "rights are read before anything is written"
    release()
    alone = sqlite_writer if db.engine.dialect.name == "sqlite" else nullcontext()
    with alone:
        opened = g.transaction = _Open()
        try:
            yield session
            session.flush()
            if opened.events:
                session.connection().execute(EVENTS, opened.events)
            if opened.rights:
                # Last of all, so that whoever waits for this row holds nothing that its holder wants.
                advance(RIGHTS)
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            del g.transaction
    if opened.events or opened.rights:
        committed.send()


def rights_changed() -> None:
    """Says that somebody may do more or less from this commit on: every process looks again before its next event."""
    g.transaction.rights = True


def record(name: str, data: dict[str, Any], *, about: str, of: str, audience: Sequence[str]) -> None:
    """Appends an event to the durable log.

    `data` is the payload that clients get; `about` and `of` name the kind and the id of the thing, by which a replay
    asks whether its reader may still see it; `audience` are rooms: `user:<id>`, `managers`, `members`, or a chat room.
    """
    if name not in CATALOGUE or not CATALOGUE[name].kept:
        raise ValueError(f"The catalogue of events has no {name} that is kept.")
    opened: _Open = g.transaction
    opened.events.append(
        {
            "name": name,
            "data": orjson.dumps(data).decode(),
            "about": about,
            "of": of,
            "audience": " ".join(f"|{room}|" for room in audience),
            "created_at": now(),
        }
    )
