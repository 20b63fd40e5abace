"""The books: every sum of a page comes from them, they balance, and a word that payouts say otherwise is found."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from conftest import DATABASE, Api, People, Someone
from flask import Flask
from sqlalchemy import insert, inspect, text
from sqlalchemy.exc import DBAPIError
from test_payouts import at, move, requested, url
from test_stats import NO_PAYOUTS, summary

from idyll.database import asked
from idyll.extensions import db
from idyll.ids import uuid7
from idyll.ledger import service as books
from idyll.ledger.models import Account, Posting
from idyll.payouts.models import Payout

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


def compare_by(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """All at once without a number, else so many keys after the other, whatever the database."""
    monkeypatch.setattr(books, "IN_BATCHES", {DATABASE.replace("mariadb", "mysql")} if batch else set())
    monkeypatch.setattr(books, "BATCH", batch)


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
# Each database is made to compare in both ways: all at once (0), and so many payouts after the other.
each_way = pytest.mark.parametrize("batch", [0, 1, 3])
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


@each_way
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
    compare_by(monkeypatch, batch)
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


def statements_of_comparing(app: Flask) -> list[str]:
    asked_for: list[str] = []
    with asked.connected_to(lambda _, statement, into=asked_for, **__: into.append(statement)):
        faults(app)
    return asked_for


def test_batches_find_what_one_pass_finds_each_of_them_once(
    api: Api, app: Flask, sql: Sql, owner: Someone, editor: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        at(api, owner, editor, "approved")
    sql("UPDATE payouts SET amount_minor = amount_minor + 1")
    with app.app_context():
        compare_by(monkeypatch, 0)
        at_once, sums = list(books.faults()), books.all_balances()
        assert len(at_once) == 5
        for batch in (1, 2, 3, 5):
            compare_by(monkeypatch, batch)
            assert (list(books.faults()), books.all_balances()) == (at_once, sums)
            compared = [statement for statement in statements_of_comparing(app) if "UNION ALL" in statement]
            # The last one has at least the last payout.
            assert len(compared) == 2 * (1 + -(-4 // batch))
        monkeypatch.setattr(books, "SHOWN", 3)
        assert len(list(books.faults())) == 3


def test_the_ledger_is_read_in_batches_only_where_an_index_finds_the_postings_of_payouts(
    api: Api, app: Flask, editor: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one each batch reads the whole ledger, and the cost grows with its square."""
    with app.app_context():
        indexes = inspect(db.engine).get_indexes("ledger")
    indexed = any(index["column_names"][0] == "payout_id" for index in indexes)
    monkeypatch.setattr(books, "BATCH", 1)
    requested(api, editor)
    of_few = len(statements_of_comparing(app))
    for _ in range(3):
        requested(api, editor)
    assert (len(statements_of_comparing(app)) > of_few) == indexed


@pytest.mark.only_on("mariadb")
def test_twice_the_books_take_twice_the_steps(
    app: Flask, sql: Sql, editor: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the database, and not only of those who ask it: what finds the next batch must not begin at the first."""
    monkeypatch.setattr(books, "BATCH", 20)
    money = {"editor_id": editor.id, "amount_minor": 7, "currency": "INR"}

    def steps() -> int:
        return sum(int(count) for _, count in books.execute(text("SHOW SESSION STATUS LIKE 'Handler%'")))

    taken = []
    for _ in range(2):
        payouts = [{"id": uuid7(), "project_name": "Film", **money} for _ in range(400)]
        postings = [{"payout_id": one["id"], "taken_from": "asked", "put_into": "pending", **money} for one in payouts]
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(insert(Payout), payouts)
            connection.execute(insert(Posting), postings)
        sql("ANALYZE TABLE payouts, ledger")
        with app.app_context():
            before = steps()
            assert list(books.faults()) == []
            books.all_balances()
            taken.append(steps() - before)
    assert taken[1] < 2.5 * taken[0]


UNCHECKED = {
    "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"),
    "postgresql": ("SET session_replication_role = replica", "SET session_replication_role = origin"),
    "mariadb": ("SET FOREIGN_KEY_CHECKS = 0", "SET FOREIGN_KEY_CHECKS = 1"),
}[DATABASE]


@each_way
@pytest.mark.parametrize("where", ["before all", "among them", "after all"])
def test_a_posting_of_no_payout_is_found_wherever_its_place_is(
    api: Api, app: Flask, owner: Someone, editor: Someone, monkeypatch: pytest.MonkeyPatch, where: str, batch: int
) -> None:
    compare_by(monkeypatch, batch)
    first, *_ = [at(api, owner, editor, "paid")["id"] for _ in range(5)]
    after_first = f"{first[:-1]}{'f' if first[-1] != 'f' else '0'}"
    key = {"before all": str(UUID(int=0)), "among them": after_first, "after all": str(UUID(int=2**128 - 1))}[where]
    assert faults(app) == []
    row = {"payout_id": key, "editor_id": editor.id, "taken_from": "asked", "put_into": "pending"}
    row |= {"amount_minor": 7, "currency": "INR"}
    unchecked, checked = UNCHECKED
    with app.app_context(), db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(unchecked)
        connection.execute(insert(Posting), row)
        connection.exec_driver_sql(checked)
    assert faults(app) == [f"payout {key} of {editor.id}: -0.07 INR at pending is in one of payouts and ledger alone"]


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
