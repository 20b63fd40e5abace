"""The books: every sum of a page comes from them, they balance, and a word that payouts say otherwise is found."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Api, People, Someone
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from test_payouts import at, move, requested, url
from test_stats import NO_PAYOUTS, summary

from idyll.database import asked
from idyll.extensions import db
from idyll.ids import uuid7
from idyll.ledger import service as books
from idyll.ledger.models import Account

pytestmark = pytest.mark.database

Sql = Callable[..., Any]


@pytest.fixture
def sql(app: Flask) -> Sql:
    def run(statement: str, **values: Any) -> Any:
        with app.app_context(), db.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else found.rowcount

    return run


def moves(sql: Sql, payout: dict[str, Any]) -> list[tuple[Any, ...]]:
    wanted = "SELECT taken_from, put_into, amount_minor, currency FROM ledger WHERE payout_id = :key ORDER BY id"
    return list(sql(wanted, key=payout["id"]))


def faults(app: Flask) -> list[str]:
    with app.app_context():
        return list(books.faults())


ON_ITS_WAY = {
    "pending": [],
    "approved": [("pending", "approved")],
    "paid": [("pending", "approved"), ("approved", "paid")],
    "rejected": [("pending", "rejected")],
    "cancelled": [("pending", "cancelled")],
}


@pytest.mark.parametrize("status", ON_ITS_WAY)
def test_each_move_is_in_the_books_once(
    app: Flask, api: Api, sql: Sql, owner: Someone, editor: Someone, status: str
) -> None:
    payout = at(api, owner, editor, status)
    steps = [("asked", "pending"), *ON_ITS_WAY[status]]
    assert moves(sql, payout) == [(*step, 150050, "INR") for step in steps]
    who = sql("SELECT by_id, payment_id FROM ledger ORDER BY id DESC")[0]
    by = editor if status in ("pending", "cancelled") else owner
    assert [key and str(key) for key in who] == [by.id, payout["id"] if status == "paid" else None]
    assert faults(app) == []


def test_a_rejection_after_the_approval_takes_the_money_back(
    api: Api, app: Flask, sql: Sql, owner: Someone, editor: Someone
) -> None:
    payout = move(api, owner, at(api, owner, editor, "approved"), "rejected")
    assert moves(sql, payout)[-1] == ("approved", "rejected", 150050, "INR")
    assert summary(api, owner)["payouts"]["byStatus"]["approved"]["sums"] == {}
    assert faults(app) == []


def test_another_amount_or_currency_takes_the_old_one_back(api: Api, app: Flask, sql: Sql, editor: Someone) -> None:
    payout = requested(api, editor)
    for change in ({"amount": 12.5}, {"currency": "EUR"}, {"note": "x"}, {"amount": 12.5}):
        assert api.put(url(payout), editor, change).status_code == 200
    first = ("asked", "pending", 150050, "INR")
    second = ("asked", "pending", 1250, "INR")
    third = ("asked", "pending", 1250, "EUR")
    back = [("pending", "asked", *one[2:]) for one in (first, second)]
    assert moves(sql, payout) == [first, back[0], second, back[1], third]
    sums = summary(api, editor)["payouts"]["byStatus"]
    assert sums == NO_PAYOUTS | {"pending": {"count": 1, "sums": {"EUR": 12.5}}}
    assert faults(app) == []


def test_a_refused_move_leaves_no_posting(api: Api, sql: Sql, owner: Someone, editor: Someone) -> None:
    payout = at(api, owner, editor, "paid")
    before = moves(sql, payout)
    assert api.put(url(payout), owner, {"status": "rejected", "reason": "Late"}).status_code == 409
    assert api.post("/api/payouts", editor, {"projectName": "Film", "amount": 0}).status_code == 422
    assert moves(sql, payout) == before
    assert sql("SELECT count(*) FROM ledger") == [(len(before),)]


def test_what_goes_with_a_task_or_a_person_is_posted_too(
    api: Api, app: Flask, sql: Sql, owner: Someone, people: People
) -> None:
    goer = people.editor()
    for status in ON_ITS_WAY:
        at(api, owner, goer, status)
    assert api.delete(f"/api/users/{goer.id}", owner).status_code == 204
    assert faults(app) == []
    found = summary(api, owner, userId=None)["payouts"]["byStatus"]
    assert {status: one["count"] for status, one in found.items()} == {
        "pending": 0,
        "approved": 1,
        "paid": 1,
        "rejected": 1,
        "cancelled": 2,
    }
    assert found["cancelled"]["sums"] == {"INR": 3001}


def test_the_sums_of_the_pages_are_those_of_the_books(
    api: Api, app: Flask, sql: Sql, owner: Someone, editor: Someone, other_editor: Someone
) -> None:
    for who, amount, currency, status in (
        (editor, 0.1, "INR", "pending"),
        (editor, 0.2, "INR", "approved"),
        (editor, 7, "EUR", "paid"),
        (other_editor, 19.99, "INR", "paid"),
        (other_editor, 10_000_000, "INR", "paid"),
    ):
        payout = requested(api, who, amount=amount, currency=currency)
        move(api, owner, payout, *{"pending": [], "approved": ["approved"], "paid": ["approved", "paid"]}[status])
    by_rows = sql("SELECT status, currency, sum(amount_minor) FROM payouts GROUP BY status, currency")
    shown = summary(api, owner)["payouts"]["byStatus"]
    for status, currency, total in by_rows:
        assert shown[status]["sums"][currency] == int(total) / 100
    assert summary(api, editor)["payouts"]["byStatus"]["paid"]["sums"] == {"EUR": 7}
    with app.app_context():
        balances = books.all_balances()
    assert {code: sum(one.get(code, 0) for one in balances.values()) for code in ("INR", "EUR")} == {"INR": 0, "EUR": 0}
    assert balances[Account.PAID] == {"EUR": 700, "INR": 1_000_001_999}


POSTING = (
    "INSERT INTO ledger (payout_id, payment_id, editor_id, by_id, taken_from, put_into, amount_minor, currency, at)"
    " SELECT id, {payment}, editor_id, {by}, '{taken_from}', '{put_into}', {amount}, 'INR', requested_at FROM payouts"
)
PLAIN = {"payment": "NULL", "by": "NULL", "taken_from": "pending", "put_into": "approved", "amount": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"taken_from": "asked"},
        {"put_into": "paid"},
        {"taken_from": "paid", "put_into": "pending"},
        {"taken_from": "rejected", "put_into": "approved"},
        {"taken_from": "pending", "put_into": "pending"},
        {"amount": 0},
        {"amount": -1},
        {"by": "editor_id"},
        {"by": "editor_id", "put_into": "rejected"},
        {"by": "editor_id", "taken_from": "approved", "put_into": "paid"},
        {"payment": "id", "taken_from": "approved", "put_into": "paid"},
    ],
    ids=str,
)
def test_the_database_takes_no_posting_that_is_against_the_rules(
    api: Api, sql: Sql, owner: Someone, editor: Someone, wrong: dict[str, Any]
) -> None:
    """Illegal moves, decisions on one's own, payments that are none: whatever the code may do one day."""
    requested(api, editor)
    with pytest.raises(DBAPIError, match=r"(?i)constraint"):
        sql(POSTING.format(**PLAIN | wrong))
    assert sql(POSTING.format(**PLAIN)) == 1


@pytest.mark.parametrize("batch", [1, books.BATCH])
@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE payouts SET amount_minor = amount_minor + 1 WHERE status = 'approved'", "ledger alone"),
        ("UPDATE payouts SET currency = 'EUR' WHERE status = 'approved'", "ledger alone"),
        ("UPDATE payouts SET status = 'pending' WHERE status = 'approved'", "ledger alone"),
        ("UPDATE payouts SET status = 'paid' WHERE status = 'approved'", "payments alone"),
        (POSTING.format(**PLAIN), "ledger alone"),
        (
            (
                "INSERT INTO payments (payout_id, amount_minor, currency, reference, paid_at)"
                " SELECT id, 1, 'INR', 'x', requested_at FROM payouts WHERE status = 'approved'"
            ),
            "payments alone",
        ),
        (
            (
                "INSERT INTO ledger (payout_id, editor_id, taken_from, put_into, amount_minor, currency, at)"
                " SELECT id, editor_id, 'approved', 'paid', 1, 'INR', requested_at FROM payouts"
            ),
            "no payment",
        ),
        (
            (
                "INSERT INTO ledger"
                " (payout_id, payment_id, editor_id, taken_from, put_into, amount_minor, currency, at)"
                " SELECT id, id, editor_id, 'approved', 'paid', 1, 'INR', requested_at FROM payouts"
                " WHERE status = 'paid'"
            ),
            "2 postings pay it",
        ),
        (
            (
                "INSERT INTO payouts"
                " (id, editor_id, project_name, amount_minor, currency, status, requested_at, version, updated_at)"
                " SELECT '{key}', editor_id, 'x', 1, 'INR', 'pending', requested_at, 1, updated_at"
                " FROM payouts WHERE status = 'approved'"
            ),
            "ledger alone",
        ),
    ],
)
def test_a_hand_that_went_round_the_application_is_found(
    api: Api,
    app: Flask,
    sql: Sql,
    owner: Someone,
    editor: Someone,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    word: str,
    batch: int,
) -> None:
    monkeypatch.setattr(books, "BATCH", batch)
    for status in ("approved", "paid"):
        at(api, owner, editor, status)
    sound = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert (sound.exit_code, sound.output.splitlines()) == (
        0,
        ["ok", "approved  1500.50 INR", "asked     -3001.00 INR", "paid      1500.50 INR", "pending   0"],
    )
    assert sql(statement.replace("{key}", uuid7()))
    found = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert found.exit_code == 1
    assert word in found.output
    assert "ok" not in found.output


def test_large_books_are_compared_in_batches_each_of_them_once(
    api: Api, app: Flask, sql: Sql, owner: Someone, editor: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        at(api, owner, editor, "approved")
    sql("UPDATE payouts SET amount_minor = amount_minor + 1")
    with app.app_context():
        at_once, sums = list(books.faults()), books.all_balances()
        for batch in (1, 2, 3, 5):
            monkeypatch.setattr(books, "BATCH", batch)
            asked_for: list[str] = []
            with asked.connected_to(lambda _, statement, into=asked_for, **__: into.append(statement)):
                assert (list(books.faults()), books.all_balances()) == (at_once, sums)
            compared = [statement for statement in asked_for if "UNION ALL" in statement]
            assert len(compared) == 2 * -(-5 // batch)
        monkeypatch.setattr(books, "SHOWN", 3)
        assert len(list(books.faults())) == 3


@pytest.mark.only_on("postgresql")
def test_comparing_large_books_is_not_cut_off(
    api: Api, app: Flask, owner: Someone, editor: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(api, owner, editor, "paid")
    limits: list[Any] = []
    slowly = books.execute

    def looking(statement: Any, parameters: Any = None) -> Any:
        found = slowly(statement, parameters)
        limits.append(slowly(text("SHOW statement_timeout")).scalar())
        return found

    monkeypatch.setattr(books, "execute", looking)
    assert faults(app) == []
    assert set(limits) == {"0"}
    monkeypatch.undo()
    with app.app_context():
        assert slowly(text("SHOW statement_timeout")).scalar() == "10s"
