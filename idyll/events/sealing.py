"""Giving events their place in the log, and reading what has one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, exists, select, true, update

from ..counters import ADVANCE, RIGHTS, Counter
from ..database import ahead, execute
from ..extensions import db
from ..transactions import owe, transaction
from .models import Event

SEALED, SWEPT = "events_sealed", "events_swept"
TABLE = Event.__table__
BATCH = 500


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


def _unplaced(*columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).where(TABLE.c.position.is_(None)).order_by(TABLE.c.id).limit(BATCH)


_line = _unplaced(TABLE.c.id, *[TABLE.c[name] for name in Told._fields[1:]]).subquery()
_FREE = _unplaced(TABLE.c.id).with_for_update(skip_locked=True)
_free = _FREE.subquery()
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


def seal() -> LogState:
    """Gives committed events their position, in the order in which they were written; gives the log as it is then.

    One sealer at a time: the counter's row is locked. An event written later has a higher id, because whoever changes
    a thing second waited for its row; so positions tell every thing's changes in their true order.
    """
    # Whoever comes later is not waited for: under steady writing there would be no end.
    while (found := seal_some()[0]).waiting:
        pass
    return found


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


_STATE = select(*_HEADS, exists().where(TABLE.c.position.is_(None)))
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
