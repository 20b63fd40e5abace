"""Inserting a row unless one with the same unique values is there, and telling of it."""

from functools import cache
from typing import Any

from sqlalchemy import Select, Table, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from . import guess
from .database import execute
from .events.sealing import BEFORE, LogState, Seen, Told, placed
from .scope import this_engine
from .shapes import Shape, parsed
from .transactions import EVENTS, event_of, execute_whole, record, recorded


def insert_once(shape: Shape[Any], row: dict[str, Any], name: str, **told: Any) -> str | None:
    """The new row, encoded, of which an event of this name tells; None if the row is there.

    Whoever comes second waits until the first one's transaction ends. On PostgreSQL row and event are one statement,
    and where the transaction has nothing else to do, one trip.
    """
    dialect = this_engine().dialect.name
    if dialect == "postgresql":
        return _insert_telling(shape, row, event_of(name, **told))
    if not execute(_quiet(shape, dialect), row).rowcount:
        return None
    body = shape.of(row["id"])
    record(name, parsed(body), **told)
    return body


def _insert_telling(shape: Shape[Any], row: dict[str, Any], event: dict[str, Any]) -> str | None:
    guessed = guess.guessed()
    statement = _telling(shape, tuple(row), bool(guessed))
    given = {f"event_{column}": value for column, value in event.items()}
    made: Any = execute_whole(statement, row | given | guessed, BEFORE).one()
    if made.body is None:
        return None
    recorded(_seen(made, event))
    return str(made.body)


def _seen(made: Any, event: dict[str, Any]) -> Seen | None:
    """The event in its place, if it has one, as who gives places would tell of it."""
    if made.position is None:
        return None
    told = event | {"position": made.position, "data": made.body}
    log = LogState(made.position, made.swept, made.rights, waiting=False)
    return Seen(log, made.position - 1, [Told(*[told[field] for field in Told._fields])])


@cache
def _telling(shape: Shape[Any], columns: tuple[str, ...], guarded: bool) -> Select[Any]:
    row = _given(shape.table, columns)
    made = (
        postgresql.insert(shape.table)
        .from_select(columns, row.where(guess.holds()) if guarded else row, include_defaults=False)
        .on_conflict_do_nothing()
        .returning(shape.body)
        .cte("made")
    )
    heads = placed(made)
    events: Any = EVENTS.table
    told = ("name", "about", "of", "audience", "created_at")
    row = _given(events, told, "event_").add_columns(made.c.body, heads[0]).select_from(made)
    event = insert(events).from_select([*told, "data", "position"], row, include_defaults=False).cte("event")
    return select(select(made.c.body).scalar_subquery().label("body"), *heads).add_cte(event)


def _given(table: Table, columns: tuple[str, ...], prefix: str = "") -> Select[Any]:
    return select(*[bindparam(f"{prefix}{name}", type_=table.c[name].type) for name in columns])


@cache
def _quiet(shape: Shape[Any], dialect: str) -> Any:
    if dialect == "sqlite":
        return sqlite.insert(shape.table).on_conflict_do_nothing()
    # It would pass over other faults, too: what is written has been validated.
    return insert(shape.table).prefix_with("IGNORE")
