"""The durable log: replaying what somebody missed and may still see, and taking out what nobody may see any more."""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from ..actor import Actor
from ..chat.models import Message
from ..chat.rooms import rooms_of
from ..clock import now
from ..counters import advance
from ..database import execute
from ..errors import Invalid
from ..meetings.models import Meeting
from ..payouts.models import Payout
from ..permissions import is_manager, is_member
from ..scope import this_app
from ..steps import turns
from ..tasks.models import Task
from ..transactions import transaction
from ..users.models import User
from .models import Event
from .sealing import BATCH, SWEPT, TABLE, seal, state

EVENT_ID = re.compile(r"e(0|[1-9]\d{0,17})-([0-9a-f]{8})\Z")
# What a change of its rows can take out of somebody's sight; a message's room never changes.
GUARDED = ("task", "payout", "meeting", "user")


def replay(since: str | None, limit: int, *, viewer: Actor) -> dict[str, Any]:
    """The answer of `GET /events` and of the socket's `sync`. Raises `Invalid` for a forged `since`."""
    found = state()
    if found.waiting:
        found = seal()
    last, swept = found.sealed, found.swept
    if since is None:
        return {"events": [], "lastEventId": event_id(last), "more": False}
    start = _position(since)
    # Ours by its signature, but of a log that was longer: the database was restored from a backup.
    if start < swept or start > last:
        return {"resync": True, "lastEventId": event_id(last)}
    mine = and_(Event.position > start, Event.position <= last, addressed_to(viewer), still_visible_to(viewer))
    columns = select(Event.position, Event.name, Event.data).where(mine)
    rows = execute(columns.order_by(Event.position).limit(limit + 1)).all()
    more = len(rows) > limit
    shown = [
        {
            "eventId": (key := event_id(row.position)),
            "event": row.name,
            "data": orjson.loads(row.data) | {"eventId": key},
        }
        for row in rows[:limit]
    ]
    return {"events": shown, "lastEventId": shown[-1]["eventId"] if more else event_id(last), "more": more}


def seen_by(viewer: Actor, positions: Sequence[int]) -> set[int]:
    """Which of some events REST would show somebody now."""
    found = select(Event.position).where(Event.position.in_(positions), still_visible_to(viewer))
    return set(execute(found).scalars())


# -- who may see what ----------------------------------------------------------------------------------------------


def rooms(viewer: Actor) -> list[str]:
    """The audiences somebody belongs to now."""
    own = [viewer.room]
    if is_member(viewer):
        own += ["members", *rooms_of(viewer)]
    if is_manager(viewer):
        own += ["managers", "editor:"]
    return own


def addressed_to(viewer: Actor) -> ColumnElement[bool]:
    # A manager may enter every editor's room: for those the beginning of the name is enough.
    return or_(*[Event.audience.like(f"%|{room}%" if room == "editor:" else f"%|{room}|%") for room in rooms(viewer)])


def still_visible_to(viewer: Actor) -> ColumnElement[bool]:
    """What REST would show now; parting words are told to whom they are addressed, though the thing is out of sight."""

    def seen(model: Any, about: str) -> ColumnElement[bool]:
        # Not EXISTS, for which PostgreSQL would hash the whole table to show a page of events.
        found = select(model.id).where(model.id == Event.of, model.visible_to(viewer)).correlate(Event)
        return and_(Event.about == about, found.scalar_subquery().is_not(None))

    return or_(
        Event.about.in_(("parting", "notification", "application")),
        seen(Task, "task"),
        seen(Payout, "payout"),
        seen(Meeting, "meeting"),
        seen(User, "user"),
        seen(Message, "message"),
    )


# -- what is taken out of it ------------------------------------------------------------------------------------------


def forget(about: str, of: Any) -> None:
    """Takes out what was told of a thing that is deleted now, in the transaction of its deletion.

    `of` is its id, or a SELECT of the ids of many.
    """
    things = Event.of == of if isinstance(of, str) else Event.of.in_(of)
    execute(delete(TABLE).where(Event.about == about, things))


def rewrite_of(about: str, of: str, change: Callable[[Any], Any]) -> None:
    """Shapes anew what was told of one thing."""
    _rewrite(and_(Event.about == about, Event.of == of), change)


def rewrite(mentioning: str, change: Callable[[Any], Any]) -> None:
    """Shapes anew every kept event whose payload mentions an id: `change` gets the payload and gives another."""
    _rewrite(Event.data.contains(mentioning), change)


def _rewrite(where: ColumnElement[bool], change: Callable[[Any], Any]) -> None:
    found = select(Event.id, Event.data).where(where).order_by(Event.id).with_for_update()
    for row in execute(found):
        anew = orjson.dumps(change(orjson.loads(row.data))).decode()
        execute(update(TABLE).where(Event.id == row.id).values(data=anew))


# The oldest have the lowest positions.
_FIRST = (
    select(TABLE.c.position, TABLE.c.created_at)
    .where(TABLE.c.position.is_not(None))
    .order_by(TABLE.c.position)
    .limit(BATCH)
)


def sweep() -> int:
    """Deletes events older than `EVENT_RETENTION_DAYS`, in small steps; gives how many."""
    seal()
    oldest = now() - timedelta(days=this_app().config["EVENT_RETENTION_DAYS"])
    total = 0
    for _ in turns():
        with transaction():
            places = [row.position for row in execute(_FIRST, {}) if row.created_at < oldest]
            if not places:
                break
            advance(SWEPT, 0, at_least=places[-1])
            total += execute(delete(TABLE).where(TABLE.c.position.in_(places))).rowcount
    return total


# -- ids -----------------------------------------------------------------------------------------------------------


def event_id(position: int) -> str:
    return f"e{position}-{_signature(position)}"


def _position(text: str) -> int:
    found = EVENT_ID.match(text)
    if not found or not hmac.compare_digest(found[2], _signature(int(found[1]))):
        raise Invalid(errors={"since": ["Not the id of an event."]})
    return int(found[1])


def _signature(position: int) -> str:
    secret = this_app().config["SECRET_KEY"].encode()
    return hmac.digest(secret, f"event|{position}".encode(), hashlib.sha256)[:4].hex()
