"""Statements that PostgreSQL parses and plans once a connection: `PREPARE` at the first use, and `EXECUTE`."""

import logging
from itertools import count
from typing import Any

from sqlalchemy.pool import PoolProxiedConnection

from .running import Fixed
from .scope import this_app

log = logging.getLogger(__name__)
# A pooler between us handed the connection's statements to somebody else: 26000 not there, 42P05 there already.
UNPREPARED = frozenset(("26000", "42P05"))
_names = count(1)


def prepares() -> bool:
    """Whether connections last, as far as is known."""
    return bool(this_app().extensions["prepares"])


def by_name(plan: Fixed, text: str, connection: PoolProxiedConnection) -> str:
    """`EXECUTE`, and before it `PREPARE` where this connection sees the statement for the first time."""
    if plan.expands:
        return text
    prepared = plan.prepared
    names = connection.info.setdefault("names", {})
    name = names.get(prepared)
    if name is not None:
        return f"EXECUTE {name}{prepared.arguments}"
    name = names[prepared] = f"idyll_{next(_names)}"
    connection.info.setdefault("unsure", []).append(prepared)
    return f"PREPARE {name}{prepared.types} AS {prepared.text}; EXECUTE {name}{prepared.arguments}"


def keep_names(connection: PoolProxiedConnection) -> None:
    """What was to be prepared in a trip is."""
    connection.info.pop("unsure", None)


def forget_names(connection: PoolProxiedConnection, error: BaseException) -> None:
    """Nobody knows how far a trip came that failed: what it was to prepare gets another name next time."""
    names = connection.info.get("names", {})
    for prepared in connection.info.pop("unsure", ()):
        names.pop(prepared, None)
    if is_unprepared(error):
        names.clear()
    if is_unprepared(error) and prepares():
        log.warning("prepared statements do not last here: a pooler in transaction mode? they are not used any more")
        this_app().extensions["prepares"] = False


def is_unprepared(error: Any) -> bool:
    return getattr(error, "pgcode", None) in UNPREPARED
