"""Money: who decides on it, which moves there are, that it is paid once, and who is told."""

from typing import Any

import pytest
from conftest import Api, People, Someone
from flask import Flask
from sqlalchemy import text
from test_payouts import MORE, WAYS, at, move, requested, url
from test_tasks import LINK

from idyll.extensions import db

pytestmark = pytest.mark.database


def told(api: Api, by: Someone) -> list[dict[str, Any]]:
    found = api.get("/api/notifications", by).json["data"]
    return [one for one in found if one["type"] == "payout"]


# -- changing and deciding -------------------------------------------------------------------------------------------

ASKING = {"projectName": "Film", "amount": 2, "currency": "USD", "editedLink": LINK, "paymentMethod": "x", "note": "y"}


def test_the_editor_may_change_what_it_asked_for_while_it_waits(api: Api, editor: Someone) -> None:
    payout = requested(api, editor)
    changed = api.patch(url(payout), editor, ASKING).json
    assert changed == payout | ASKING | {"version": 2, "updatedAt": changed["updatedAt"]}
    assert changed["updatedAt"] > payout["updatedAt"]
    assert api.put(url(payout), editor, ASKING).json == changed
    cleared = api.put(url(payout), editor, {"editedLink": "", "paymentMethod": " ", "note": None}).json
    assert [cleared[name] for name in ("editedLink", "paymentMethod", "note")] == [None] * 3


@pytest.mark.parametrize("status", ["approved", "paid", "rejected", "cancelled"])
def test_what_is_decided_is_not_changed_or_taken_back(api: Api, owner: Someone, editor: Someone, status: str) -> None:
    payout = at(api, owner, editor, status)
    for field, value in ASKING.items():
        refused = api.put(url(payout), editor, {field: value})
        assert (refused.status_code, refused.json["current"]) == (409, status)
    if status != "cancelled":
        refused = api.delete(url(payout), editor)
        assert (refused.status_code, refused.json["current"]) == (409, status)
    assert api.get(url(payout), editor).json == payout


@pytest.mark.parametrize("field", [*ASKING, "taskId"])
def test_a_manager_decides_and_changes_nothing_else(api: Api, owner: Someone, editor: Someone, field: str) -> None:
    payout = requested(api, editor)
    refused = api.put(url(payout), owner, {"status": "approved", field: ASKING.get(field)})
    assert (refused.status_code, list(refused.json["errors"])) == (403, [field])
    assert api.get(url(payout), owner).json == payout


def test_editors_decide_nothing(api: Api, owner: Someone, editor: Someone) -> None:
    payout = requested(api, editor)
    for sent in ({"status": "approved"}, {"status": "rejected", "reason": "x"}, {"reference": "x"}):
        refused = api.put(url(payout), editor, {"note": "changed", **sent})
        assert (refused.status_code, sorted(refused.json["errors"])) == (403, sorted(sent))
    assert api.get(url(payout), editor).json == payout


def test_nobody_decides_on_their_own_money(api: Api, owner: Someone, moderator: Someone) -> None:
    for mine, another in ((owner, moderator), (moderator, owner)):
        payout = requested(api, another, editorId=mine.id)
        for status in ("approved", "rejected", "paid"):
            refused = api.put(url(payout), mine, {"status": status, **MORE.get(status, {})})
            assert refused.status_code == 403
            assert "status" in refused.json["errors"]
        move(api, another, payout, "approved")
        assert api.put(url(payout), mine, {"status": "paid", **MORE["paid"]}).status_code == 403
        assert move(api, another, payout, "paid")["status"] == "paid"


def test_the_way_to_paid_leaves_its_traces(
    api: Api, app: Flask, owner: Someone, moderator: Someone, editor: Someone
) -> None:
    payout = requested(api, editor, amount=0.29)
    approved = move(api, moderator, payout, "approved")
    assert (approved["decidedBy"], approved["paidAt"], approved["version"]) == (moderator.id, None, 2)
    assert payout["updatedAt"] < approved["decidedAt"] <= approved["updatedAt"]
    paid = move(api, owner, payout, "paid")
    assert paid == approved | {
        "status": "paid",
        "reference": "UTR 4711",
        "version": 3,
        "paidAt": paid["paidAt"],
        "updatedAt": paid["updatedAt"],
    }
    assert approved["updatedAt"] < paid["paidAt"] <= paid["updatedAt"]
    with app.app_context():
        [row] = db.session.execute(text("SELECT payout_id, amount_minor, currency, reference, paid_by FROM payments"))
    assert (str(row[0]), *row[1:4], str(row[4])) == (payout["id"], 29, "INR", "UTR 4711", owner.id)
    audit = api.get("/api/audit", owner, query_string={"objectId": payout["id"]}).json["data"]
    actions = [(entry["action"], entry["actor"]["id"]) for entry in audit]
    deciders = [("payout.paid", owner.id), ("payout.approved", moderator.id)]
    assert actions == [*deciders, ("payout.requested", editor.id)]
    assert audit[1]["changes"]["status"] == ["pending", "approved"]


LEGAL = {("pending", "approved"), ("pending", "rejected"), ("approved", "rejected"), ("approved", "paid")}


@pytest.mark.parametrize("before", [*WAYS, "cancelled"])
@pytest.mark.parametrize("after", ["approved", "paid", "rejected"])
def test_there_are_four_moves_and_no_other(api: Api, owner: Someone, editor: Someone, before: str, after: str) -> None:
    payout = at(api, owner, editor, before)
    answer = api.put(url(payout), owner, {"status": after, **MORE.get(after, {})})
    if (before, after) in LEGAL:
        assert (answer.status_code, answer.json["status"]) == (200, after)
        assert answer.json["reason"] == (MORE["rejected"]["reason"] if after == "rejected" else None)
        return
    assert (answer.status_code, answer.json["current"]) == (409, before)
    assert api.get(url(payout), owner).json == payout


@pytest.mark.parametrize("status", ["pending", "cancelled", "Paid", "", None])
def test_a_status_that_is_no_decision_is_not_valid(
    api: Api, owner: Someone, editor: Someone, status: str | None
) -> None:
    payout = requested(api, editor)
    refused = api.put(url(payout), owner, {"status": status})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["status"])


@pytest.mark.parametrize(
    ("before", "after", "needed"), [("approved", "paid", "reference"), ("pending", "rejected", "reason")]
)
def test_paid_needs_a_reference_and_rejected_a_reason(
    api: Api, owner: Someone, editor: Someone, before: str, after: str, needed: str
) -> None:
    payout = at(api, owner, editor, before)
    for value in ({}, {needed: None}, {needed: " "}, {needed: "x" * 1001}):
        refused = api.put(url(payout), owner, {"status": after, **value})
        assert (refused.status_code, list(refused.json["errors"])) == (422, [needed])
    assert api.get(url(payout), owner).json == payout


def test_a_lost_update_is_refused(api: Api, owner: Someone, editor: Someone) -> None:
    payout = requested(api, editor)
    seen = {"If-Match": api.get(url(payout), owner).headers["ETag"]}
    assert api.put(url(payout), editor, {"amount": 9_000_000}).status_code == 200
    assert api.put(url(payout), owner, {"status": "approved"}, headers=seen).status_code == 412
    assert api.delete(url(payout), editor, headers=seen).status_code == 412
    seen = {"If-Match": api.get(url(payout), owner).headers["ETag"]}
    assert api.put(url(payout), owner, {"status": "approved"}, headers=seen).status_code == 200


def test_a_request_is_taken_back_by_its_editor_alone(
    api: Api, owner: Someone, editor: Someone, other_editor: Someone
) -> None:
    payout = requested(api, editor)
    assert api.delete(url(payout), other_editor).status_code == 404
    assert api.delete(url(payout), owner).status_code == 403
    assert api.get(url(payout), editor).json == payout
    assert api.delete(url(payout), editor).get_data() == b""
    assert api.get(url(payout), editor).json["status"] == "cancelled"


def test_a_former_members_requests_are_cancelled_but_earned_money_stays_payable(
    api: Api, owner: Someone, people: People
) -> None:
    goer = people.editor()
    waiting, approved, paid = (at(api, owner, goer, status) for status in ("pending", "approved", "paid"))
    assert api.delete(f"/api/users/{goer.id}", owner).status_code == 204
    assert api.get(url(waiting), owner).json["status"] == "cancelled"
    assert move(api, owner, approved, "paid")["editor"] == {"id": goer.id, "displayName": "Former member"}
    kept = api.get(url(paid), owner).json
    assert kept == paid | {"editor": {"id": goer.id, "displayName": "Former member"}}


# -- who is told -----------------------------------------------------------------------------------------------------


def test_news_of_money_reach_whom_they_concern(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, other_editor: Someone
) -> None:
    payout = requested(api, editor)
    for manager in (owner, moderator):
        [news] = told(api, manager)
        assert (news["urgent"], news["entityType"], news["entityId"]) == (True, "payout", payout["id"])
    assert told(api, editor) == []
    for status in ("approved", "paid"):
        move(api, owner, payout, status)
        [news] = told(api, editor)
        assert status in news["title"]
        assert news["entityId"] == payout["id"]
    assert told(api, other_editor) == []
    requested(api, owner, editorId=editor.id)
    assert (len(told(api, owner)), len(told(api, moderator))) == (1, 2)


def test_events_of_money_go_to_its_editor_and_the_managers(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, other_editor: Someone
) -> None:
    since = api.get("/api/events", owner).json["lastEventId"]
    payout = requested(api, editor)
    approved = move(api, owner, payout, "approved")
    changed = {name: approved[name] for name in ("status", "decidedBy", "decidedAt", "version", "updatedAt")}
    expected = [
        ("payout_created", {"payout": payout}),
        ("payout_updated", {"payoutId": payout["id"], "status": "approved", "updates": changed}),
    ]
    for who, seen in ((owner, expected), (moderator, expected), (editor, expected), (other_editor, [])):
        found = api.get("/api/events", who, query_string={"since": since}).json["events"]
        told_of = [(one["event"], one["data"]) for one in found if one["event"].startswith("payout_")]
        for _, data in told_of:
            assert data.pop("eventId")
        assert told_of == seen
