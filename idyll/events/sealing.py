"""Giving events their place in the log, and reading what has one."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    case,
    exists,
    func,
    select,
    true,
    update,
)

from ..counters import ADVANCE, RIGHTS, Counter
from ..database import ahead, execute
from ..scope import this_engine
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


class Seen(NamedTuple):
    """The log as somebody saw it, and all events that have a place `after` one and up to the last."""

    log: LogState
    after: int
    told: Sequence[Told] = ()


_COUNTERS = Counter.__table__
_LOCK = select(Counter.value).where(Counter.name == SEALED).with_for_update()
_HEADS = [select(Counter.value).where(Counter.name == name).scalar_subquery() for name in (SEALED, SWEPT, RIGHTS)]
_waiting = exists().where(TABLE.c.position.is_(None))
_heads = select(*[head.label(name) for head, name in zip(_HEADS, LogState._fields, strict=False)]).subquery()


def _unplaced(*columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).where(TABLE.c.position.is_(None)).order_by(TABLE.c.id).limit(BATCH)


# Whoever deletes or rewrites an event holds its row, and maybe others: waiting for it could deadlock.
_FREE = _unplaced(TABLE.c.id).with_for_update(skip_locked=True)


def _ready(free: FromClause, tell: bool) -> CTE:
    """Those of the line that get their place now, by rank, with what is told of them: the free ones, but for those that
    follow one of the same thing which is not."""
    names = Told._fields[1:] if tell else ("of",)
    line = _unplaced(*[TABLE.c[name] for name in ("id", *names)]).subquery("line")
    # Not joined: who plans for a few would go through all that are free for each of hundreds.
    is_free = case((line.c.id.in_(select(free.c.id)), 1), else_=0)
    all_before = func.min(is_free).over(partition_by=line.c.of, order_by=line.c.id)
    looked = select(*line.c, all_before.label("free")).subquery()
    rank = func.row_number().over(order_by=looked.c.id).label("rank")
    told = [looked.c[name] for name in names if tell]
    return select(rank, looked.c.id, *told).where(looked.c.free == 1).cte("ready")


def _beside_heads(ready: CTE) -> Select[Any]:
    """The heads of the log, each beside one of those that are ready, if any are."""
    return select(_heads, ready).select_from(_heads.outerjoin(ready, true())).order_by(ready.c.rank)


_held = select(TABLE.c.id).where(TABLE.c.id.in_(bindparam("free", expanding=True))).subquery("free")
_READY = {tell: _beside_heads(_ready(_held, tell)) for tell in (True, False)}
_PLACE = (
    update(TABLE)
    .where(TABLE.c.id.between(bindparam("first", type_=BigInteger()), bindparam("last", type_=BigInteger())))
    .values(position=TABLE.c.id + bindparam("shift", type_=BigInteger()))
)


def _at_once(tell: bool) -> Select[Any]:
    """All of it in one statement, where a change may be part of one."""
    ready = _ready(_FREE.cte("free"), tell)
    many = select(func.count()).select_from(ready).scalar_subquery()
    moved = update(_COUNTERS).where(_COUNTERS.c.name == SEALED, many > 0).values(value=_COUNTERS.c.value + many)
    placed = update(TABLE).where(TABLE.c.id == ready.c.id).values(position=_HEADS[0] + ready.c.rank)
    return _beside_heads(ready).add_cte(moved.cte("moved"), placed.cte("placed"))


_AT_ONCE = {tell: _at_once(tell) for tell in (True, False)}
# A plan is kept as it was made: one from when the table was analysed empty would read all of it for each event.
_PLAN = func.set_config("enable_seqscan", "off", True)
_LOCK_AND_PLAN = _LOCK.add_columns(_PLAN)


# -- an event that is written with its place, on PostgreSQL ----------------------------------------------------------

# Whoever waits for a row for longer than this does so without the log.
_PATIENCE = func.set_config("lock_timeout", "100ms", True)
_free = _LOCK.with_for_update(skip_locked=True).subquery("free")
_HOLD = select(func.set_config("idyll.log", "held", True)).select_from(_free).scalar_subquery()
# What goes before a statement whose event is `placed`, by whether it may hold the log: it does, if that is free.
BEFORE = {True: select(_PATIENCE, _PLAN, _HOLD), False: select(_PATIENCE, _PLAN)}
_first = case((func.current_setting("idyll.log", True) == "held", ~_waiting), else_=False)


def placed(one: CTE) -> list[ColumnElement[Any]]:
    """Takes the next place for the event of `one` row, if there is that row, the log is held, and nothing else waits.

    Gives the columns that say so: the place, or null, and how far the log was swept, and the count of changed rights.
    """
    there = exists().select_from(one)
    moved = (
        update(_COUNTERS)
        .where(_COUNTERS.c.name == SEALED, _first, there)
        .values(value=_COUNTERS.c.value + 1)
        .returning(_COUNTERS.c.value)
        .cte("moved")
    )
    return [select(moved.c.value).scalar_subquery().label("position"), _heads.c.swept, _heads.c.rights]


# -- places for what was committed without ---------------------------------------------------------------------------


def seal() -> LogState:
    """Gives committed events their position, in the order in which they were written; gives the log as it is then.

    One sealer at a time: the counter's row is locked. An event written later has a higher id, because whoever changes
    a thing second waited for its row; so positions tell every thing's changes in their true order.
    """
    # Whoever comes later is not waited for: under steady writing there would be no end.
    while (found := seal_some(tell=False).log).waiting:
        pass
    return found


def seal_some(*, tell: bool) -> Seen:
    """One batch of it: the log as it is then, `waiting` if there may be more, and the events that got their place.

    They are read where there is somebody to `tell`.
    """
    if this_engine().dialect.name == "postgresql":
        ahead(_LOCK_AND_PLAN, {})  # a statement sees what was committed before it begins
        rows = execute(_AT_ONCE[tell], {}).all()
    else:
        with transaction():
            execute(_LOCK, {})
            free = list(execute(_FREE, {}).scalars())
            rows = execute(_READY[tell], {"free": free}).all()
            _place(rows)
    sealed, swept, rights = rows[0][:3]
    count = rows[-1].rank or 0
    log = LogState(sealed + count, swept, rights, count == BATCH)
    if not tell:
        return Seen(log, log.sealed)
    return Seen(log, sealed, [Told(sealed + row.rank, *row[5:]) for row in rows] if count else [])


def _place(rows: Sequence[Any]) -> None:
    ids = [row.id for row in rows if row.rank is not None]
    for start, (first, last) in _runs(ids):
        owe(_PLACE, {"first": first, "last": last, "shift": rows[0].sealed + 1 + start - first})
    if ids:
        owe(ADVANCE, {"counter": SEALED, "step": len(ids)})


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Where each run of neighbouring ids begins in the list, and its first and last."""
    start = 0
    for i, key in enumerate(ids):
        if i + 1 == len(ids) or ids[i + 1] != key + 1:
            yield start, (ids[start], key)
            start = i + 1


_between = (
    select(*[TABLE.c[name] for name in Told._fields])
    .where(TABLE.c.position > bindparam("after", type_=BigInteger()), TABLE.c.position <= _HEADS[0])
    .order_by(TABLE.c.position)
    .limit(BATCH)
    .subquery("between")
)
_LOOK = (
    select(_heads, _waiting.label("waiting"), _between)
    .select_from(_heads.outerjoin(_between, true()))
    .order_by(_between.c.position)
)
NOWHERE = 2**62  # which no log reaches


def state() -> LogState:
    return look().log


def look(after: int = NOWHERE) -> Seen:
    """The log, and its next events after a position, in order: a batch at most."""
    return _seen(execute(_LOOK, {"after": after}).all(), after)


def _seen(rows: Sequence[Any], after: int) -> Seen:
    sealed, swept, rights, waiting = rows[0][:4]
    told = [Told(*row[4:]) for row in rows] if rows[0].position is not None else []
    if len(told) == BATCH:
        sealed, waiting = told[-1].position, True  # as far as it was read
    return Seen(LogState(sealed, swept, rights, bool(waiting)), after, told)
