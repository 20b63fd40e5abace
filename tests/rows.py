"""Rows for every table, made from the models: all columns filled, or only those that must be."""

from datetime import UTC, date, datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Date, Integer, SmallInteger, Table, Text, select

from idyll.columns import ID, LONG_TEXT, Instant
from idyll.extensions import db
from idyll.ids import uuid7

# What breaks careless quoting, in every script and plane.
AWKWARD = 'Zoë\'s "cut" \\ 100 % {0} \\n \n\t नमस्ते 🎬 \u2028 </script>\u00a0é'
MOMENT = datetime(2026, 1, 5, 9, 30, 15, 7000, tzinfo=UTC)
WORDS = {
    ("users", "role"): "moderator",
    ("users", "status"): "approved",
    ("tasks", "status"): "in-progress",
    ("tasks", "priority"): "high",
    ("tasks", "approval_status"): "need-changes",
    ("tasks", "priority_rank"): 3,
    ("applications", "status"): "rejected",
    ("applications", "source"): "form",
    ("meetings", "local_time"): "15:00",
    ("meetings", "timezone"): "Asia/Kolkata",
    ("messages", "type"): "user",
    ("messages", "room"): "team",
    ("payouts", "status"): "approved",
    ("payouts", "amount_minor"): 1_000_000_000,
    ("payouts", "currency"): "INR",
    ("ledger", "taken_from"): "approved",
    ("ledger", "put_into"): "paid",
    ("ledger", "currency"): "INR",
    ("notifications", "type"): "info",
    ("users", "theme"): "light",
    ("users", "removed_at"): None,
    ("audit", "changes"): '{"name": ["old \\"one\\"", null], "number": [1, 2.5], "allTeam": [true, false]}',
    ("events", "name"): "task_deleted",
    ("events", "data"): '{"taskId": "x"}',
}


def fill(connection: Connection, *, optional: bool = True, **instead: dict[str, Any]) -> None:
    """One row in each table, those first that others refer to; `instead` has other values for some tables."""
    written: dict[str, dict[str, Any]] = {}
    for table in db.metadata.sorted_tables:
        if table.name == "counters":
            continue
        row = values(table, written, optional=optional) | instead.get(table.name, {})
        connection.execute(table.insert().values(**row))
        written[table.name] = row


def values(table: Table, others: dict[str, dict[str, Any]], *, optional: bool = True) -> dict[str, Any]:
    """A value for each column; foreign keys name the rows written before."""
    row = {}
    for column in table.columns:
        if column is table.autoincrement_column and not column.foreign_keys:
            continue
        if column.nullable and not optional:
            row[column.name] = None
        elif column.foreign_keys:
            target = next(iter(column.foreign_keys)).column
            # A number that the database counts up itself is not known here.
            row[column.name] = others[target.table.name].get(target.name)
        else:
            row[column.name] = WORDS.get((table.name, column.name), _plain(column))
    return row


def copy_last(connection: Connection, table: Table, times: int, **instead: Any) -> None:
    """More rows like the last one, each with keys of its own."""
    last = dict(connection.execute(select(table)).mappings().all()[-1])
    unique = {column.name for index in table.indexes if index.unique for column in index.columns}
    serial = {c.name for c in table.primary_key if isinstance(c.type, BigInteger | Integer)}
    fresh = [c for c in table.columns if (c.primary_key or c.unique or c.name in unique) and not c.foreign_keys]
    copies = [
        {name: value for name, value in last.items() if name not in serial}
        | {c.name: _plain(c) for c in fresh if c.name not in serial and last[c.name] is not None}
        | instead
        for _ in range(times)
    ]
    connection.execute(table.insert(), copies)


def _plain(column: Any) -> Any:
    kind = column.type
    if kind is ID:
        return uuid7()
    if isinstance(kind, Instant):
        return MOMENT
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Date):
        return date(2026, 2, 1)
    if isinstance(kind, Integer | BigInteger | SmallInteger):
        return 7
    if kind is LONG_TEXT or isinstance(kind, Text):
        return AWKWARD
    # Each different, since many must be; cut where the column ends.
    return (token_hex(4) + column.name + AWKWARD)[: min(kind.length, 250)]
