"""Paid payouts, payments and the audit: no statement through the application's own connection changes them."""

from typing import Any

import pytest
from conftest import Api, Someone
from flask import Flask
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from test_payouts import move, requested
from test_tasks import handed_out

from idyll.extensions import db

pytestmark = pytest.mark.database

FROZEN = ("payouts", "payments", "audit")
PAID = "id = (SELECT payout_id FROM payments)"
WAITING = "status = 'pending'"

EVERYWHERE = (
    f"UPDATE payouts SET amount_minor = 1 WHERE {PAID}",
    f"UPDATE payouts SET status = 'pending' WHERE {PAID}",
    f"UPDATE payouts SET updated_at = updated_at WHERE {PAID}",
    "UPDATE payouts SET note = 'x'",
    f"DELETE FROM payouts WHERE {PAID}",
    "DELETE FROM payouts",
    "UPDATE payments SET amount_minor = 1",
    "UPDATE payments SET reference = 'another'",
    "DELETE FROM payments",
    "UPDATE audit SET action = 'nothing.happened'",
    "UPDATE audit SET actor_id = NULL WHERE action = 'payout.paid'",
    "DELETE FROM audit WHERE action = 'payout.paid'",
    "DELETE FROM audit",
)
SQLITE = (
    *[f"REPLACE INTO {table} SELECT * FROM {table}" for table in FROZEN],
    *[f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1" for table in ("payments", "audit")],
    f"INSERT OR REPLACE INTO payouts SELECT * FROM payouts WHERE {PAID}",
    f"INSERT INTO payouts SELECT * FROM payouts WHERE {PAID} ON CONFLICT (id) DO UPDATE SET amount_minor = 1",
    f"UPDATE OR REPLACE payouts SET amount_minor = 1 WHERE {PAID}",
    # These are about a row that may change, and would push the paid one out of its place.
    f"UPDATE OR REPLACE payouts SET id = (SELECT payout_id FROM payments) WHERE {WAITING}",
    f"UPDATE OR REPLACE payouts SET rowid = (SELECT rowid FROM payouts WHERE {PAID}) WHERE {WAITING}",
    f"UPDATE OR REPLACE payouts SET live_task_id = (SELECT live_task_id FROM payouts WHERE {PAID}) WHERE {WAITING}",
    *[f"UPDATE OR {word} payouts SET amount_minor = 1 WHERE {PAID}" for word in ("IGNORE", "FAIL", "ROLLBACK")],
    "UPDATE OR IGNORE audit SET action = 'x'",
    "UPDATE OR REPLACE audit SET id = (SELECT min(id) FROM audit)",
)
POSTGRESQL = (
    *[f"TRUNCATE {table}" for table in ("payments", "audit", "payouts, payments")],
    *[f"TRUNCATE {table} CASCADE" for table in ("payouts", "users", "tasks")],
    f"INSERT INTO payouts SELECT * FROM payouts WHERE {PAID} ON CONFLICT (id) DO UPDATE SET amount_minor = 1",
    "INSERT INTO payments SELECT * FROM payments ON CONFLICT (payout_id) DO UPDATE SET amount_minor = 1",
    "INSERT INTO audit SELECT * FROM audit ON CONFLICT (id) DO UPDATE SET action = 'x'",
    f"MERGE INTO payouts USING payments ON {PAID} WHEN MATCHED THEN UPDATE SET note = 'x'",
    f"MERGE INTO payouts USING payments ON {PAID} WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM audit RETURNING id) SELECT count(*) FROM gone",
)
MARIADB = (
    *[f"REPLACE INTO {table} SELECT * FROM {table}" for table in FROZEN],
    f"INSERT INTO payouts SELECT * FROM payouts WHERE {PAID} ON DUPLICATE KEY UPDATE amount_minor = 1",
    "INSERT INTO payments SELECT * FROM payments ON DUPLICATE KEY UPDATE amount_minor = 1",
    "INSERT INTO audit SELECT * FROM audit ON DUPLICATE KEY UPDATE action = 'x'",
    f"UPDATE IGNORE payouts SET amount_minor = 1 WHERE {PAID}",
    f"DELETE IGNORE FROM payouts WHERE {PAID}",
    "DELETE IGNORE FROM audit",
    "UPDATE payouts JOIN payments ON payout_id = id SET note = 'x'",
    "DELETE payouts, payments FROM payouts JOIN payments ON payout_id = id",
)


@pytest.fixture
def rows(app: Flask, api: Api, owner: Someone, editor: Someone) -> dict[str, list[Any]]:
    """Every frozen table's rows, after one payout was paid and another asked for."""
    task = handed_out(api, owner, editor, status="completed", approvalStatus="approved")
    move(api, owner, requested(api, editor, taskId=task["id"]), "approved", "paid")
    requested(api, editor)
    return contents(app)


def contents(app: Flask) -> dict[str, list[Any]]:
    with app.app_context(), db.engine.connect() as connection:
        found = {table: connection.execute(text(f"SELECT * FROM {table} ORDER BY 1")) for table in FROZEN}
        return {table: [tuple(row) for row in rows] for table, rows in found.items()}


def refused(app: Flask, statement: str, why: str = "is frozen") -> None:
    # The engine is the one the application speaks through, with its settings on every connection.
    refusal = pytest.raises(DBAPIError, match=f"(?i){why}")
    with app.app_context(), refusal, db.engine.begin() as connection:
        connection.execute(text(statement))


def check(app: Flask, rows: dict[str, list[Any]], statement: str, why: str = "is frozen") -> None:
    assert {table: len(found) for table, found in rows.items() if table != "audit"} == {"payouts": 2, "payments": 1}
    refused(app, statement, why)
    assert contents(app) == rows


@pytest.mark.parametrize("statement", EVERYWHERE)
def test_what_is_paid_or_noted_stays_as_it_is(app: Flask, rows: dict[str, list[Any]], statement: str) -> None:
    check(app, rows, statement)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("statement", SQLITE)
def test_no_replace_slips_past_the_triggers(app: Flask, rows: dict[str, list[Any]], statement: str) -> None:
    check(app, rows, statement)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("statement", POSTGRESQL)
def test_neither_truncate_nor_upsert_nor_merge_changes_them(
    app: Flask, rows: dict[str, list[Any]], statement: str
) -> None:
    check(app, rows, statement)


@pytest.mark.only_on("mariadb")
@pytest.mark.parametrize("statement", MARIADB)
def test_neither_replace_nor_ignore_changes_them(app: Flask, rows: dict[str, list[Any]], statement: str) -> None:
    check(app, rows, statement)


@pytest.mark.only_on("mariadb")
def test_a_foreign_key_keeps_payouts_from_truncate(app: Flask, rows: dict[str, list[Any]]) -> None:
    check(app, rows, "TRUNCATE TABLE payouts", "foreign key constraint")


def test_a_person_or_task_that_money_hangs_on_is_not_deleted_under_it(app: Flask, rows: dict[str, list[Any]]) -> None:
    for table in ("users", "tasks"):
        refused(app, f"DELETE FROM {table}", "foreign key constraint")
    assert contents(app) == rows


def test_no_foreign_key_cascades_into_them(app: Flask) -> None:
    with app.app_context():
        found = [key for table in FROZEN for key in inspect(db.engine).get_foreign_keys(table)]
    assert {key["referred_table"] for key in found} == {"users", "tasks", "payouts"}
    harmless = (None, "NO ACTION", "RESTRICT")
    assert all(key["options"].get(rule) in harmless for key in found for rule in ("ondelete", "onupdate"))


def test_what_is_not_paid_may_change_but_not_go(app: Flask, rows: dict[str, list[Any]]) -> None:
    with app.app_context(), db.engine.begin() as connection:
        assert connection.execute(text(f"UPDATE payouts SET note = 'x' WHERE {WAITING}")).rowcount == 1
    after = contents(app)
    assert after | {"payouts": rows["payouts"]} == rows
    assert [row for row in after["payouts"] if "pending" not in row] == [
        row for row in rows["payouts"] if "pending" not in row
    ]
    # The books tell of it.
    refused(app, f"DELETE FROM payouts WHERE {WAITING}", "foreign key constraint")
    assert contents(app) == after
