"""Money: what may be asked for, by whom, for which task, and who sees it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import Api, Someone
from flask import Flask
from sqlalchemy import text
from test_tasks import LINK, NOBODY, handed_out

from idyll.database import execute
from idyll.extensions import db
from idyll.transactions import transaction

pytestmark = pytest.mark.database

MORE = {"paid": {"reference": "UTR 4711"}, "rejected": {"reason": "Counted twice"}}
# How a payout gets where it is.
WAYS = {"pending": [], "approved": ["approved"], "paid": ["approved", "paid"], "rejected": ["rejected"]}


def requested(api: Api, by: Someone, **fields: Any) -> dict[str, Any]:
    made = api.post("/api/payouts", by, {"projectName": "Wedding film", "amount": 1500.5, **fields})
    assert made.status_code == 201, made.json
    return made.json


def earned(api: Api, owner: Someone, editor: Someone) -> str:
    """The id of an approved task."""
    return str(handed_out(api, owner, editor, status="completed", approvalStatus="approved")["id"])


def url(payout: dict[str, Any]) -> str:
    return f"/api/payouts/{payout['id']}"


def move(api: Api, by: Someone, payout: dict[str, Any], *statuses: str) -> dict[str, Any]:
    for status in statuses:
        moved = api.put(url(payout), by, {"status": status, **MORE.get(status, {})})
        assert moved.status_code == 200, moved.json
        payout = moved.json
    return payout


def at(api: Api, owner: Someone, editor: Someone, status: str) -> dict[str, Any]:
    """A payout in that state."""
    payout = requested(api, editor)
    if status == "cancelled":
        assert api.delete(url(payout), editor).status_code == 204
        return dict(api.get(url(payout), editor).json)
    return move(api, owner, payout, *WAYS[status])


# -- asking ----------------------------------------------------------------------------------------------------------


def test_an_editor_asks_for_its_own_money(api: Api, app: Flask, owner: Someone, editor: Someone) -> None:
    task_id = earned(api, owner, editor)
    asked = {
        "projectName": "Wedding film",
        "amount": 1500.5,
        "currency": "EUR",
        "editedLink": LINK,
        "paymentMethod": "UPI",
        "taskId": task_id,
        "note": "Two\nlines",
    }
    made = api.post("/api/payouts", editor, asked).json
    stamps = {name: made.pop(name) for name in ("id", "requestedAt", "updatedAt")}
    assert stamps["requestedAt"] == stamps["updatedAt"]
    nothing_yet = dict.fromkeys(("reason", "reference", "decidedBy", "decidedAt", "paidAt"))
    assert made == asked | nothing_yet | {
        "editorId": editor.id,
        "editor": {"id": editor.id, "displayName": "Asha Editor"},
        "status": "pending",
        "version": 1,
    }
    assert api.get(f"/api/payouts/{stamps['id']}", editor).json == made | stamps
    with app.app_context():
        assert db.session.execute(text("SELECT amount_minor FROM payouts")).scalar() == 150050


def test_the_least_request_is_in_the_agencys_currency(api: Api, app: Flask, editor: Someone) -> None:
    made = requested(api, editor)
    assert made["currency"] == app.config["DEFAULT_CURRENCY"] == "INR"
    assert [made[name] for name in ("taskId", "editedLink", "paymentMethod", "note")] == [None] * 4


@pytest.mark.parametrize("amount", [0.01, 0.07, 0.29, 1, 1.1, 19.99, 1e2, 4503.59, 9_999_999.99, 10_000_000])
def test_an_amount_comes_back_as_it_was_sent(api: Api, editor: Someone, amount: float) -> None:
    made = requested(api, editor, amount=amount)
    assert made["amount"] == amount
    assert api.get(url(made), editor).json["amount"] == amount
    assert api.put(url(made), editor, {"amount": amount, "note": "x"}).json["amount"] == amount


@pytest.mark.parametrize(
    "amount",
    [0, 0.0, -0.0, -1, 0.001, 1.005, 1e-9, 10_000_000.01, 1e9, 1e300, 2**70, "1", "1.00", "", True, None, [1], {}],
)
def test_an_amount_that_is_no_money_is_refused(api: Api, editor: Someone, amount: Any) -> None:
    made = requested(api, editor)
    for answer in (
        api.post("/api/payouts", editor, {"projectName": "Film", "amount": amount}),
        api.put(url(made), editor, {"note": "changed", "amount": amount}),
    ):
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["amount"])
    assert api.get("/api/payouts", editor).json["data"] == [made]


READ_ONLY = ("id", "editor", "decidedBy", "requestedAt", "decidedAt", "paidAt", "version", "updatedAt")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("projectName", value) for value in ("", "  ", "x" * 201, "a\nb", None, 7)],
        *[("currency", value) for value in ("inr", "RUPEE", "IN1", " INR", "ZZZ", 356)],
        *[("editedLink", value) for value in ("drive.example.com", "javascript:alert(1)", "https://u:p@example.com/")],
        *[("paymentMethod", value) for value in ("x" * 101, "a\nb", 7)],
        *[("note", value) for value in ("x" * 2001, "a\x00b", ["x"])],
        *[("taskId", value) for value in ("T001", NOBODY, 7)],
        *[(field, "x") for field in (*READ_ONLY, "amountMinor", "foo")],
    ],
)
def test_what_is_not_valid_is_named_and_nothing_is_written(api: Api, editor: Someone, field: str, value: Any) -> None:
    made = requested(api, editor)
    for answer in (
        api.post("/api/payouts", editor, {"projectName": "Film", "amount": 1, field: value}),
        api.put(url(made), editor, {"note": "changed", field: value}),
    ):
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    assert api.get("/api/payouts", editor).json["data"] == [made]


@pytest.mark.parametrize("field", ["projectName", "amount"])
def test_a_request_needs_a_project_and_an_amount(api: Api, editor: Someone, field: str) -> None:
    body = {"projectName": "Film", "amount": 1}
    del body[field]
    refused = api.post("/api/payouts", editor, body)
    assert (refused.status_code, list(refused.json["errors"])) == (422, [field])


def test_a_request_cannot_begin_decided(api: Api, owner: Someone, editor: Someone) -> None:
    for field, value in (("status", "paid"), ("reason", "x"), ("reference", "x")):
        for who in (editor, owner):
            refused = api.post("/api/payouts", who, {"projectName": "Film", "amount": 1, field: value})
            assert (refused.status_code, list(refused.json["errors"])) == (422, [field])


def test_a_manager_may_ask_for_any_member_and_else_for_itself(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, other_editor: Someone, pending: Someone
) -> None:
    for member in (editor, moderator, owner):
        made = requested(api, moderator, editorId=member.id)
        assert (made["editorId"], made["editor"]["id"]) == (member.id, member.id)
    assert requested(api, moderator)["editorId"] == moderator.id
    for key in (pending.id, NOBODY, "asha"):
        refused = api.post("/api/payouts", owner, {"projectName": "Film", "amount": 1, "editorId": key})
        assert (refused.status_code, list(refused.json["errors"])) == (422, ["editorId"])
    refused = api.post("/api/payouts", editor, {"projectName": "Film", "amount": 1, "editorId": other_editor.id})
    assert (refused.status_code, list(refused.json["errors"])) == (403, ["editorId"])
    assert requested(api, editor, editorId=editor.id)["editorId"] == editor.id


# -- for a task ------------------------------------------------------------------------------------------------------


def test_the_task_must_be_the_editors_own(api: Api, owner: Someone, editor: Someone, other_editor: Someone) -> None:
    theirs, nobodys, gone = earned(api, owner, other_editor), earned(api, owner, None), earned(api, owner, editor)
    assert api.delete(f"/api/tasks/{gone}", owner).status_code == 204
    made = requested(api, editor)
    for task_id in (theirs, nobodys, gone):
        for answer in (
            api.post("/api/payouts", editor, {"projectName": "Film", "amount": 1, "taskId": task_id}),
            api.post("/api/payouts", owner, {"projectName": "Film", "amount": 1, "taskId": task_id}),
            api.put(url(made), editor, {"taskId": task_id}),
        ):
            assert (answer.status_code, list(answer.json["errors"])) == (422, ["taskId"])
    assert requested(api, owner, editorId=other_editor.id, taskId=theirs)["taskId"] == theirs


@pytest.mark.parametrize("approval", ["reviewing", "need-changes"])
def test_the_task_must_be_approved(api: Api, owner: Someone, editor: Someone, approval: str) -> None:
    task = handed_out(api, owner, editor, status="completed", approvalStatus=approval)
    refused = api.post("/api/payouts", editor, {"projectName": "Film", "amount": 1, "taskId": task["id"]})
    assert (refused.status_code, refused.json["code"]) == (409, "task_not_approved")
    assert refused.json["current"] == approval
    assert api.get("/api/payouts", editor).json["data"] == []


@pytest.mark.parametrize("status", ["pending", "approved", "paid", "rejected", "cancelled"])
def test_a_task_has_one_live_payout_at_most(api: Api, owner: Someone, editor: Someone, status: str) -> None:
    task_id = earned(api, owner, editor)
    first = requested(api, editor, taskId=task_id)
    other = requested(api, editor)
    if status == "cancelled":
        assert api.delete(url(first), editor).status_code == 204
    else:
        move(api, owner, first, *WAYS[status])
    again = api.post("/api/payouts", editor, {"projectName": "Film", "amount": 1, "taskId": task_id})
    if status in ("rejected", "cancelled"):
        assert (again.status_code, again.json["taskId"]) == (201, task_id)
        first, status = again.json, "pending"
    for refused in (
        api.post("/api/payouts", editor, {"projectName": "Film", "amount": 1, "taskId": task_id}),
        api.post("/api/payouts", owner, {"projectName": "F", "amount": 1, "taskId": task_id, "editorId": editor.id}),
        api.put(url(other), editor, {"taskId": task_id}),
    ):
        assert (refused.status_code, refused.json["code"]) == (409, "already_requested")
        assert refused.json["current"] == status
    assert api.get(url(other), editor).json == other


def test_a_request_may_move_to_another_task_and_frees_the_first(api: Api, owner: Someone, editor: Someone) -> None:
    one, two = earned(api, owner, editor), earned(api, owner, editor)
    payout = requested(api, editor, taskId=one)
    assert api.put(url(payout), editor, {"taskId": two}).json["taskId"] == two
    assert requested(api, editor, taskId=one)["taskId"] == one
    assert api.put(url(payout), editor, {"taskId": two, "note": "same"}).json["version"] == 3
    assert api.put(url(payout), editor, {"taskId": None}).json["taskId"] is None
    assert requested(api, editor, taskId=two)["taskId"] == two


# -- who sees what ---------------------------------------------------------------------------------------------------


def listed(api: Api, by: Someone, path: str = "/api/payouts", **query: str) -> list[str]:
    found = api.get(path, by, query_string=query)
    assert found.status_code == 200, found.json
    return [payout["projectName"] for payout in found.json["data"]]


def test_people_see_their_own_money_and_managers_all(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, other_editor: Someone
) -> None:
    for name, who in (("a", editor), ("b", other_editor), ("c", moderator), ("d", editor)):
        requested(api, who, projectName=name)
    assert listed(api, owner) == listed(api, moderator) == ["d", "c", "b", "a"]
    assert listed(api, editor) == listed(api, editor, editorId=editor.id) == ["d", "a"]
    assert listed(api, editor, editorId=other_editor.id) == []
    assert listed(api, owner, editorId=other_editor.id) == ["b"]
    path = f"/api/payouts/user/{editor.id}"
    assert listed(api, owner, path) == listed(api, moderator, path) == listed(api, editor, path) == ["d", "a"]
    assert listed(api, owner, path, editorId=other_editor.id) == []
    for key in (editor.id, owner.id, NOBODY):
        assert api.get(f"/api/payouts/user/{key}", other_editor).status_code == 403
    assert api.get(f"/api/payouts/user/{NOBODY}", owner).status_code == 404
    [theirs] = api.get("/api/payouts", other_editor).json["data"]
    assert api.get(url(theirs), editor).status_code == 404
    assert api.put(url(theirs), editor, {"note": "x"}).status_code == 404
    assert api.get(url({"id": NOBODY}), owner).status_code == 404


def test_payouts_are_found_by_status(api: Api, owner: Someone, editor: Someone) -> None:
    for status in (*WAYS, "cancelled"):
        payout = at(api, owner, editor, status)
        found = api.get("/api/payouts", owner, query_string={"status": status}).json["data"]
        assert [one["id"] for one in found] == [payout["id"]]


def test_payouts_are_found_by_day_and_by_time(api: Api, app: Flask, owner: Someone, editor: Someone) -> None:
    """A day is one of the agency: in Kolkata the first begins at 18:30 UTC of the day before."""
    assert app.config["AGENCY_TIMEZONE"] == "Asia/Kolkata"
    kolkata = ZoneInfo("Asia/Kolkata")
    moments = {
        "before": datetime(2031, 4, 30, 23, 59, 59, 999_000, tzinfo=kolkata),
        "midnight": datetime(2031, 5, 1, tzinfo=kolkata),
        "evening": datetime(2031, 5, 1, 23, 59, 59, 999_000, tzinfo=kolkata),
        "next": datetime(2031, 5, 2, tzinfo=kolkata),
    }
    for name, moment in moments.items():
        key = requested(api, editor, projectName=name)["id"]
        stored = moment.astimezone(UTC)
        with app.app_context(), transaction():
            value = stored.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            if db.engine.dialect.name != "sqlite":
                value = value.replace("T", " ").removesuffix("Z")
            execute(text("UPDATE payouts SET requested_at = :at WHERE id = :id"), {"at": value, "id": key})
    day = {"from": "2031-05-01", "to": "2031-05-01"}
    assert listed(api, owner, **day) == listed(api, editor, f"/api/payouts/user/{editor.id}", **day)
    assert listed(api, owner, **day) == ["evening", "midnight"]
    assert listed(api, owner, **{"from": "2031-05-01"}) == ["next", "evening", "midnight"]
    assert listed(api, owner, to="2031-05-01") == ["evening", "midnight", "before"]
    assert listed(api, owner, **{"from": "2031-04-30T18:29:59.999Z", "to": "2031-04-30T18:30:00Z"}) == [
        "midnight",
        "before",
    ]
    assert listed(api, owner, **{"from": "2031-05-01T00:00:00.001+05:30"}) == ["next", "evening"]
    assert listed(api, owner, to=(moments["midnight"] - timedelta(milliseconds=1)).isoformat()) == ["before"]


@pytest.mark.parametrize(
    "query",
    [
        *[{name: value} for name in ("from", "to") for value in ("", "2031-02-30", "1.5.2031", "2031-05-01T10:00:00")],
        {"to": "9999-12-31T99:00:00Z"},
        {"status": "open"},
        {"editorId": "asha"},
        {"sort": "amount"},
        {"from_": "2031-05-01"},
    ],
)
def test_a_query_that_is_not_valid_is_named(api: Api, owner: Someone, query: dict[str, str]) -> None:
    refused = api.get("/api/payouts", owner, query_string=query)
    assert (refused.status_code, list(refused.json["errors"])) == (422, list(query))


def test_pages_show_every_payout_once_though_others_are_asked_for_meanwhile(api: Api, editor: Someone) -> None:
    before = [requested(api, editor)["id"] for _ in range(5)]
    pages = api.pages("/api/payouts", editor, limit=2)
    seen = [next(pages)["id"], next(pages)["id"]]
    requested(api, editor)
    assert [*seen, *(payout["id"] for payout in pages)] == before[::-1]
