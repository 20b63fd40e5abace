"""The durable log: giving events their place, and replaying what somebody missed and may still see."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
from flask import current_app
from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, delete, exists, or_, select, true, update

from ..actor import Actor
from ..chat.models import Message
from ..chat.rooms import rooms_of
from ..clock import now
from ..counters import ADVANCE, RIGHTS, Counter, advance
from ..database import ahead, execute
from ..errors import Invalid
from ..extensions import db
from ..meetings.models import Meeting
from ..payouts.models import Payout
from ..permissions import is_manager, is_member
from ..tasks.models import Task
from ..transactions import owe, transaction
from ..users.models import User
from .models import Event

EVENT_ID = re.compile(r"e(0|[1-9]\d{0,17})-([0-9a-f]{8})\Z")
SEALED, SWEPT = "events_sealed", "events_swept"
TABLE = Event.__table__
BATCH = 500
# What a change of its rows can take out of somebody's sight; a message's room never changes.
GUARDED = ("task", "payout", "meeting", "user")


class LogState(NamedTuple):
    """One look at the log: the last position given, the last one swept, the count of changed rights, and whether
    events wait for their position."""

    sealed: int
    swept: int
    rights: int
    waiting: bool


class Told(NamedTuple):
    """An event in its place."""

    position: int
    name: str
    data: str
    about: str
    of: str
    audience: str


_LOCK = select(Counter.value).where(Counter.name == SEALED).with_for_update()
_HEADS = [select(Counter.value).where(Counter.name == name).scalar_subquery() for name in (SEALED, SWEPT, RIGHTS)]
_heads = select(*[head.label(name) for head, name in zip(_HEADS, LogState._fields, strict=False)]).subquery()
_IN_LINE = (
    select(TABLE.c.id, *[TABLE.c[name] for name in Told._fields[1:]])
    .where(TABLE.c.position.is_(None))
    .order_by(TABLE.c.id)
    .limit(BATCH)
)
_FREE = select(TABLE.c.id).where(TABLE.c.position.is_(None)).order_by(TABLE.c.id).limit(BATCH)
_FREE = _FREE.with_for_update(skip_locked=True)
_line, _free = _IN_LINE.subquery(), _FREE.subquery()
_WAITING = select(_heads, _line).select_from(_heads.outerjoin(_line, true())).order_by(_line.c.id)
# Both in one trip, where the database locks the rows of a subquery.
_BOTH = (
    select(_heads, _line, _free.c.id.label("free"))
    .select_from(_heads.outerjoin(_line, true()).outerjoin(_free, _line.c.id == _free.c.id))
    .order_by(_line.c.id)
)
_PLACE = (
    update(TABLE)
    .where(TABLE.c.id.between(bindparam("first", type_=BigInteger()), bindparam("last", type_=BigInteger())))
    .values(position=TABLE.c.id + bindparam("shift", type_=BigInteger()))
)


def seal() -> None:
    """Gives committed events their position, in the order in which they were written.

    One sealer at a time: the counter's row is locked. An event written later has a higher id, because whoever changes
    a thing second waited for its row; so positions tell every thing's changes in their true order.
    """
    # Whoever comes later is not waited for: under steady writing there would be no end.
    while seal_some()[0].waiting:
        pass


def seal_some() -> tuple[LogState, list[Told]]:
    """One batch of it: the log as it is then, `waiting` if there may be more, and the events that got their place."""
    with transaction():
        ahead(_LOCK, {})
        rows, free = _waiting_rows()
        sealed, swept, rights = rows[0][:3]
        found = _in_order(rows, free)
        for start, (first, last) in _runs([row.id for row in found]):
            owe(_PLACE, {"first": first, "last": last, "shift": sealed + 1 + start - first})
        if found:
            owe(ADVANCE, {"counter": SEALED, "step": len(found)})
    placed = [Told(sealed + 1 + i, row.name, row.data, row.about, row.of, row.audience) for i, row in enumerate(found)]
    return LogState(sealed + len(found), swept, rights, len(found) == BATCH), placed


def _waiting_rows() -> tuple[Sequence[Any], set[int]]:
    """The log's counters beside those without a position, and which of them nobody holds."""
    # Whoever deletes or rewrites an event holds its row, and maybe others: waiting for it could deadlock.
    if db.engine.dialect.name == "postgresql":
        rows = execute(_BOTH, {}).all()
        return rows, {row.free for row in rows if row.free is not None}
    rows = execute(_WAITING, {}).all()
    return rows, set(execute(_FREE, {}).scalars())


def _in_order(rows: Iterable[Any], free: set[int]) -> list[Any]:
    """The free ones, but for those that follow one of the same thing which is not."""
    found, late = [], set()
    for row in rows:
        if row.id in free and row.of not in late:
            found.append(row)
        else:
            late.add(row.of)
    return found


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Where each run of neighbouring ids begins in the list, and its first and last."""
    start = 0
    for i, key in enumerate(ids):
        if i + 1 == len(ids) or ids[i + 1] != key + 1:
            yield start, (ids[start], key)
            start = i + 1


def _waiting() -> ColumnElement[bool]:
    return exists().where(Event.position.is_(None))


def replay(since: str | None, limit: int, *, viewer: Actor) -> dict[str, Any]:
    """The answer of `GET /events` and of the socket's `sync`. Raises `Invalid` for a forged `since`."""
    found = state()
    if found.waiting:
        seal()
        found = state()
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


_STATE = select(*_HEADS, _waiting())
_BETWEEN = (
    select(*[TABLE.c[name] for name in Told._fields])
    .where(
        TABLE.c.position > bindparam("after", type_=BigInteger()),
        TABLE.c.position <= bindparam("upto", type_=BigInteger()),
    )
    .order_by(TABLE.c.position)
    .limit(BATCH)
)


def state() -> LogState:
    row: Any = execute(_STATE, {}).one()
    return LogState(int(row[0]), int(row[1]), int(row[2]), bool(row[3]))


def between(after: int, upto: int) -> Sequence[Told]:
    """The log's next events after one position and up to another, in order; a batch at most."""
    found: Sequence[Told] = execute(_BETWEEN, {"after": after, "upto": upto}).all()
    return found


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
    oldest = now() - timedelta(days=current_app.config["EVENT_RETENTION_DAYS"])
    total = 0
    while True:
        began = time.monotonic()
        with transaction():
            places = [row.position for row in execute(_FIRST, {}) if row.created_at < oldest]
            if not places:
                return total
            advance(SWEPT, 0, at_least=places[-1])
            total += execute(delete(TABLE).where(TABLE.c.position.in_(places))).rowcount
        # As long as the step was: SQLite lets nobody in meanwhile, and whoever asks again at once is always first.
        time.sleep(time.monotonic() - began)


# -- ids -----------------------------------------------------------------------------------------------------------


def event_id(position: int) -> str:
    return f"e{position}-{_signature(position)}"


def _position(text: str) -> int:
    found = EVENT_ID.match(text)
    if not found or not hmac.compare_digest(found[2], _signature(int(found[1]))):
        raise Invalid(errors={"since": ["Not the id of an event."]})
    return int(found[1])


def _signature(position: int) -> str:
    secret = current_app.config["SECRET_KEY"].encode()
    return hmac.digest(secret, f"event|{position}".encode(), hashlib.sha256)[:4].hex()
