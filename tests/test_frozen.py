"""Paid payouts, payments, the books, the audit: no statement through the application's own connection changes them."""

from typing import Any

import pytest
from conftest import Api, People, Someone, actor
from flask import Flask
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from test_payouts import move, requested
from test_tasks import handed_out

from idyll.audit import chain
from idyll.database import asked, execute
from idyll.errors import Conflict
from idyll.extensions import db
from idyll.payouts import service as payouts
from idyll.transactions import transaction

pytestmark = pytest.mark.database

FROZEN = ("payouts", "payments", "ledger", "audit", "audit_seals")
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
    "UPDATE ledger SET amount_minor = 1",
    "UPDATE ledger SET put_into = 'cancelled' WHERE put_into = 'approved'",
    "DELETE FROM ledger WHERE put_into = 'paid'",
    "DELETE FROM ledger",
    "UPDATE audit_seals SET digest = 'x' WHERE position = 1",
    "UPDATE audit_seals SET position = position + 100",
    "DELETE FROM audit_seals WHERE position > 1",
    "DELETE FROM audit_seals",
)
SQLITE = (
    *[f"REPLACE INTO {table} SELECT * FROM {table}" for table in FROZEN],
    *[f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1" for table in FROZEN[1:]],
    # A row with other values, which has the key of one that is there.
    "REPLACE INTO audit_seals SELECT 1, audit_id, 'x' FROM audit_seals WHERE position = 2",
    "REPLACE INTO audit_seals SELECT 1000, audit_id, 'x' FROM audit_seals WHERE position = 2",
    f"INSERT OR REPLACE INTO payouts SELECT * FROM payouts WHERE {PAID}",
    f"INSERT INTO payouts SELECT * FROM payouts WHERE {PAID} ON CONFLICT (id) DO UPDATE SET amount_minor = 1",
    f"UPDATE OR REPLACE payouts SET amount_minor = 1 WHERE {PAID}",
    # These are about a row that may change, and would push the paid one out of its place.
    f"UPDATE OR REPLACE payouts SET id = (SELECT payout_id FROM payments) WHERE {WAITING}",
    f"UPDATE OR REPLACE payouts SET rowid = (SELECT rowid FROM payouts WHERE {PAID}) WHERE {WAITING}",
    f"UPDATE OR REPLACE payouts SET live_task_id = (SELECT live_task_id FROM payouts WHERE {PAID}) WHERE {WAITING}",
    *[f"UPDATE OR {word} payouts SET amount_minor = 1 WHERE {PAID}" for word in ("IGNORE", "FAIL", "ROLLBACK")],
    "UPDATE OR IGNORE audit SET action = 'x'",
    "UPDATE OR REPLACE ledger SET id = (SELECT min(id) FROM ledger)",
    "UPDATE OR REPLACE audit_seals SET position = 1",
    "UPDATE OR REPLACE audit SET id = (SELECT min(id) FROM audit)",
)
POSTGRESQL = (
    *[f"TRUNCATE {table} CASCADE" for table in (*FROZEN, "users", "tasks")],
    f"TRUNCATE {', '.join(FROZEN)}, anchors",
    "TRUNCATE ledger, anchors",
    "TRUNCATE audit, audit_seals, anchors",
    f"INSERT INTO payouts SELECT * FROM payouts WHERE {PAID} ON CONFLICT (id) DO UPDATE SET amount_minor = 1",
    "INSERT INTO payments SELECT * FROM payments ON CONFLICT (payout_id) DO UPDATE SET amount_minor = 1",
    "INSERT INTO audit SELECT * FROM audit ON CONFLICT (id) DO UPDATE SET action = 'x'",
    f"MERGE INTO payouts USING payments ON {PAID} WHEN MATCHED THEN UPDATE SET note = 'x'",
    f"MERGE INTO payouts USING payments ON {PAID} WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM audit RETURNING id) SELECT count(*) FROM gone",
    "INSERT INTO audit_seals SELECT * FROM audit_seals ON CONFLICT (position) DO UPDATE SET digest = 'x'",
    "INSERT INTO ledger SELECT * FROM ledger ON CONFLICT (id) DO UPDATE SET amount_minor = 1",
)
MARIADB = (
    *[f"REPLACE INTO {table} SELECT * FROM {table}" for table in FROZEN],
    f"INSERT INTO payouts SELECT * FROM payouts WHERE {PAID} ON DUPLICATE KEY UPDATE amount_minor = 1",
    "INSERT INTO payments SELECT * FROM payments ON DUPLICATE KEY UPDATE amount_minor = 1",
    "INSERT INTO audit SELECT * FROM audit ON DUPLICATE KEY UPDATE action = 'x'",
    "INSERT INTO ledger SELECT * FROM ledger ON DUPLICATE KEY UPDATE amount_minor = 1",
    "INSERT INTO audit_seals SELECT * FROM audit_seals ON DUPLICATE KEY UPDATE digest = 'x'",
    f"UPDATE IGNORE payouts SET amount_minor = 1 WHERE {PAID}",
    f"DELETE IGNORE FROM payouts WHERE {PAID}",
    *[f"DELETE IGNORE FROM {table}" for table in FROZEN[1:]],
    "UPDATE payouts JOIN payments ON payout_id = id SET note = 'x'",
    "DELETE payouts, payments FROM payouts JOIN payments ON payout_id = id",
)

# Of a payout that nobody paid, and with the id of a person where that of the thing itself belongs.
POSTED = "INSERT INTO ledger (at, amount_minor, currency, editor_id, payout_id, payment_id, taken_from, put_into)"
POSTED_AS = "SELECT requested_at, amount_minor, currency, editor_id"
OF_NOTHING = {
    "a payment of no payout": "INSERT INTO payments (paid_at, amount_minor, currency, payout_id, reference) "
    f"{POSTED_AS}, 'x'",
    "a posting of no payout": f"{POSTED} {POSTED_AS}, editor_id, NULL, 'asked', 'pending'",
    "a posting of no payment": f"{POSTED} {POSTED_AS}, id, id, 'approved', 'paid'",
    "a seal of nothing noted": "INSERT INTO audit_seals (position, audit_id, digest) SELECT 1000, editor_id, 'x'",
}


@pytest.fixture
def rows(app: Flask, api: Api, owner: Someone, editor: Someone) -> dict[str, list[Any]]:
    """Every frozen table's rows, after one payout was paid and another asked for."""
    task = handed_out(api, owner, editor, status="completed", approvalStatus="approved")
    move(api, owner, requested(api, editor, taskId=task["id"]), "approved", "paid")
    requested(api, editor)
    with app.app_context():
        chain.seal()
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
    counts = {table: len(found) for table, found in rows.items()}
    assert counts | {"audit": 0, "audit_seals": 0} == {
        "payouts": 2,
        "payments": 1,
        "ledger": 4,
        "audit": 0,
        "audit_seals": 0,
    }
    assert counts["audit"] == counts["audit_seals"] > 2
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


@pytest.mark.only_on("mariadb", "postgresql")
@pytest.mark.parametrize("table", FROZEN)
def test_a_foreign_key_keeps_them_from_truncate(app: Flask, rows: dict[str, list[Any]], table: str) -> None:
    check(app, rows, f"TRUNCATE TABLE {table}", "foreign key constraint")


def test_a_person_or_task_that_money_hangs_on_is_not_deleted_under_it(app: Flask, rows: dict[str, list[Any]]) -> None:
    for table in ("users", "tasks"):
        refused(app, f"DELETE FROM {table}", "foreign key constraint")
    assert contents(app) == rows


@pytest.mark.parametrize("what", OF_NOTHING)
def test_nothing_is_written_into_the_books_of_what_is_not_there(
    app: Flask, rows: dict[str, list[Any]], what: str
) -> None:
    check(app, rows, f"{OF_NOTHING[what]} FROM payouts WHERE {WAITING}", "foreign key constraint")


def test_no_foreign_key_cascades_into_them(app: Flask) -> None:
    with app.app_context():
        found = [key for table in FROZEN for key in inspect(db.engine).get_foreign_keys(table)]
    assert {key["referred_table"] for key in found} == {"users", "tasks", "payouts", "payments", "audit"}
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


# -- where a host has no triggers ------------------------------------------------------------------------------------


def test_the_applications_own_statement_passes_over_a_row_that_was_paid_meanwhile(
    app: Flask, api: Api, owner: Someone, editor: Someone
) -> None:
    approved = move(api, owner, requested(api, editor), "approved")

    def decide_as_if_it_were_not() -> None:
        with transaction():
            payout = payouts.lock(approved["id"], viewer=actor(owner))
            execute(text("UPDATE payouts SET status = 'paid' WHERE id = :key"), {"key": approved["id"]})
            payouts.edit(payout, {"status": "rejected", "reason": "Too late"}, by=actor(owner))

    with app.app_context(), pytest.raises(Conflict) as refusal:
        decide_as_if_it_were_not()
    assert refusal.value.code == "frozen"
    assert api.get(f"/api/payouts/{approved['id']}", owner).json == approved


def test_every_statement_that_could_meet_a_frozen_row_is_guarded(
    app: Flask, api: Api, owner: Someone, editor: Someone, people: People
) -> None:
    """All that the application does to payouts; of the other frozen tables it changes nothing at all."""
    seen: list[str] = []
    goer = people.editor()
    with asked.connected_to(lambda _, statement, **__: seen.append(statement)):
        for by in (editor, goer):
            task = handed_out(api, owner, by, status="completed", approvalStatus="approved")
            waiting, paid = requested(api, by, taskId=task["id"], note="x"), requested(api, by)
            move(api, owner, paid, "approved", "paid")
            move(api, owner, requested(api, by), "rejected")
            api.put(f"/api/payouts/{waiting['id']}", by, {"amount": 2})
            gone = requested(api, by)
            assert api.delete(f"/api/payouts/{gone['id']}", by).status_code == 204
            assert api.delete(f"/api/tasks/{task['id']}", owner).status_code == 204
        assert api.delete(f"/api/users/{goer.id}", owner).status_code == 204
        assert app.test_cli_runner().invoke(args=["sweep"]).exit_code == 0
    changing = [s for s in seen if s.startswith(("UPDATE", "DELETE", "REPLACE"))]
    named = {table: [s for s in changing if s.split()[1 + s.startswith("DELETE")] == table] for table in FROZEN}
    guard = "payouts.status != "
    assert len(named["payouts"]) >= 10
    assert [s for s in named["payouts"] if guard not in s.partition("WHERE")[2]] == []
    assert {table: found for table, found in named.items() if table != "payouts" and found} == {}


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("table", FROZEN)
def test_each_table_keeps_itself_from_truncate(app: Flask, rows: dict[str, list[Any]], table: str) -> None:
    # Whatever refers to it would refuse, too, as long as that keeps its own trigger.
    check(app, rows, f"TRUNCATE {table} CASCADE", f"{table} is frozen")
