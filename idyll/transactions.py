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
from flask import g
from sqlalchemy import insert
from sqlalchemy.orm import Session

from .clock import now
from .database import release, sqlite_writer
from .events.models import Event
from .extensions import db


@dataclass
class _Open:
    events: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def transaction() -> Iterator[Session]:
    """Commits at the end of the block, or rolls everything back when it raises."""
    session = db.session()
    if "transaction" in g:
        yield session
        return
    release()
    alone = sqlite_writer if db.engine.dialect.name == "sqlite" else nullcontext()
    with alone:
        opened = g.transaction = _Open()
        try:
            yield session
            session.flush()
            if opened.events:
                session.execute(insert(Event), opened.events)
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            del g.transaction


def record(name: str, data: dict[str, Any], *, about: str, of: str, audience: Sequence[str]) -> None:
    """Appends an event to the durable log.

    `data` is the payload that clients get; `about` and `of` name the kind and the id of the thing, by which a replay
    asks whether its reader may still see it; `audience` are rooms: `user:<id>`, `managers`, `members`, or a chat room.
    """
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
