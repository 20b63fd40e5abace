"""Inserting a row unless one with the same unique values is there: one statement, whatever runs at the same time."""

from functools import cache
from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects import postgresql, sqlite

from .database import execute
from .extensions import db
from .shapes import Shape


def insert_once(shape: Shape[Any], row: dict[str, Any]) -> str | None:
    """The new row, encoded; None if it is there. Who comes second waits until the first one's transaction ends."""
    dialect = db.engine.dialect.name
    made = execute(_statement(shape, dialect), row)
    if dialect == "postgresql":
        body: str | None = made.scalar_one_or_none()
        return body
    return shape.of(row["id"]) if made.rowcount else None


@cache
def _statement(shape: Shape[Any], dialect: str) -> Any:
    if dialect == "postgresql":
        return postgresql.insert(shape.table).on_conflict_do_nothing().returning(shape.body)
    if dialect == "sqlite":
        return sqlite.insert(shape.table).on_conflict_do_nothing()
    # It would pass over other faults, too: what is written has been validated.
    return insert(shape.table).prefix_with("IGNORE")
