"""Lists as CSV: all rows of the filter, for managers, and no cell that a spreadsheet takes for a formula."""

import csv
import io
from typing import Any

import pytest
from conftest import Api, Someone
from flask import Flask
from sqlalchemy import text
from test_payouts import requested

from idyll.extensions import db
from idyll.pagination import CSV_BATCH, cell

pytestmark = pytest.mark.database

AS_CSV = {"headers": {"Accept": "text/csv"}}
ATTACKS = [
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(A1)",
    '=HYPERLINK("https://x.example")',
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20A1",
]


def lines(api: Api, path: str, by: Someone, **query: Any) -> list[dict[str, str]]:
    answer = api.get(path, by, query_string=query, **AS_CSV)
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


def formulas(rows: list[dict[str, str]]) -> list[str]:
    return [text for row in rows for text in row.values() if text[:1] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20" and text]


def test_no_cell_of_any_list_is_a_formula(api: Api, owner: Someone, editor: Someone) -> None:
    for attack in ATTACKS:
        assert api.put(f"/api/users/{editor.id}", editor, {"displayName": attack}).status_code == 200
        task = {"name": attack, "description": attack, "deadline": "2031-01-01", "assignedTo": editor.id}
        assert api.post("/api/tasks", owner, task).status_code == 201
        payout = requested(api, editor, projectName=attack, paymentMethod=attack, note=attack)
        rejected = {"status": "rejected", "reason": attack}
        assert api.put(f"/api/payouts/{payout['id']}", owner, rejected).status_code == 200
    tasks, payouts, audit = (lines(api, f"/api/{name}", owner) for name in ("tasks", "payouts", "audit"))
    assert formulas(tasks + payouts + audit) == []
    quoted = [f"'{attack}" for attack in reversed(ATTACKS)]
    for rows, names in (
        (tasks, ("name", "description")),
        (payouts, ("projectName", "paymentMethod", "note", "reason")),
    ):
        for name in names:
            assert [row[name] for row in rows] == quoted
    assert {row["editor"] for row in payouts} == {quoted[0]}


@pytest.mark.parametrize("word", ATTACKS)
@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r\n", '; "', ";' "])
def test_a_spreadsheet_with_another_separator_finds_no_formula_either(word: str, separator: str) -> None:
    assert cell(f"a{separator}{word}") == f"a{separator}'{word}"
    assert cell(f"a{separator}b{word}") == f"a{separator}b{word}"


@pytest.mark.parametrize("blank", "\t\r\n")
def test_blanks_hide_no_formula(blank: str) -> None:
    assert cell(f"{blank}=1") == f"'{blank}'=1"
    assert cell(f"{blank}1") == f"'{blank}1"


@pytest.mark.parametrize("word", ATTACKS)
def test_whatever_stands_in_a_cell(word: str) -> None:
    assert cell(word) == f"'{word}"
    assert cell({"displayName": word}) == f"'{word}"
    assert [cell(value) for value in (-1.5, "a=1", None, True, [word])][:4] == ["-1.5", "a=1", "", "true"]
    assert cell([word])[0] == "["


def test_an_export_ends_where_its_reader_loses_their_rights(
    app: Flask, api: Api, owner: Someone, moderator: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idyll.pagination.CSV_BATCH", 2)
    for n in range(5):
        requested(api, owner, projectName=f"Film {n}")
    headers = {"Authorization": f"Bearer {moderator.token}", "Accept": "text/csv"}
    pages = app.test_client().get("/api/payouts", headers=headers).iter_encoded()
    assert b"Film 4" in next(pages)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE users SET role = 'editor' WHERE id = :id"), {"id": moderator.id})
    with pytest.raises(ConnectionResetError):
        next(pages)


def test_it_has_every_row_of_the_filter_and_is_the_managers(api: Api, owner: Someone, editor: Someone) -> None:
    for n in range(4):
        requested(api, editor, amount=n + 1)
    requested(api, owner)
    assert [row["amount"] for row in lines(api, "/api/payouts", owner, editorId=editor.id, limit=1)] == list("4321")
    assert CSV_BATCH > 4
    for path in ("/api/payouts", "/api/audit"):
        [first, *_] = api.get(path, owner).json["data"]
        assert lines(api, path, owner)[0].keys() == first.keys()  # an amount is nothing without its currency
    for path in ("/api/payouts", "/api/tasks", "/api/audit"):
        assert api.get(path, editor, **AS_CSV).status_code == 403
