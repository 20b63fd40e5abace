"""Inserting a row unless one with the same unique values is there: one statement, whatever runs at the same time."""

from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects import postgresql, sqlite

from .extensions import db


def insert_once(model: Any, **values: Any) -> bool:
    """Whether the row is new. Who comes second waits until the first one's transaction ends."""
    dialect = db.engine.dialect.name
    if dialect == "postgresql":
        statement: Any = postgresql.insert(model).on_conflict_do_nothing()
    elif dialect == "sqlite":
        statement = sqlite.insert(model).on_conflict_do_nothing()
    else:
        # It would pass over other faults, too: what is written has been validated.
        statement = insert(model).prefix_with("IGNORE")
    made: Any = db.session.execute(statement.values(**values))
    return bool(made.rowcount)
