"""Deleting many rows in small steps, each in a transaction of its own, so that others have their turn in between."""

from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, select, true

from .database import execute
from .scope import here
from .transactions import transaction

STEP = 500


def stop_when(enough: Callable[[], bool]) -> None:
    """Lets no step begin any more, in this context, once there is `enough`: what is left is the next one's."""
    here().enough = enough


def turns() -> Iterator[None]:
    """A turn for each step, with a pause after it; without end, unless somebody stops it."""
    enough = here().get("enough")
    while enough is None or not enough():
        began = monotonic()
        yield
        # As long as the step was: SQLite lets nobody in meanwhile, and whoever asks again at once is always first.
        sleep(monotonic() - began)


def some_at_a_time(table: Table, old: ColumnElement[bool], along: ColumnElement[Any]) -> Iterator[list[Any]]:
    """The keys of the rows that are `old`, for whoever deletes these rows before asking for the next.

    The way goes `along` an indexed column and never back: PostgreSQL would walk over all that was deleted before.
    """
    (key,) = table.primary_key
    further: ColumnElement[bool] = true()
    for _ in turns():
        rows = execute(select(key, along.label("place")).where(old, further).order_by(along).limit(STEP)).all()
        if not rows:
            return
        yield [row[0] for row in rows]
        further = along >= rows[-1].place


def delete_in_steps(table: Table, old: ColumnElement[bool], along: ColumnElement[Any]) -> int:
    """Deletes the rows that are `old`; gives how many."""
    return sum(delete_these(table, keys, old) for keys in some_at_a_time(table, old, along))


def delete_these(table: Table, keys: list[Any], old: ColumnElement[bool]) -> int:
    """Deletes the rows of some keys, if they still are `old`: one may have been taken into use again meanwhile."""
    (key,) = table.primary_key
    with transaction():
        return int(execute(delete(table).where(key.in_(keys), old)).rowcount)
