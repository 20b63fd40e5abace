"""The life of an edit job: its statuses, handing in, approval, deletion, and who is told."""

from typing import Any

import pytest
from conftest import Api, Someone
from flask import Flask
from sqlalchemy import text
from test_tasks import LINK, change, handed_out

from idyll.extensions import db

pytestmark = pytest.mark.database

STATUSES = ("pending", "in-progress", "completed", "blocked")


def told(api: Api, by: Someone) -> list[dict[str, Any]]:
    found = api.get("/api/notifications", by).json["data"]
    return [one for one in found if one["type"] == "task"]


def events_since(api: Api, by: Someone, since: str) -> list[tuple[str, dict[str, Any]]]:
    found = api.get("/api/events", by, query_string={"since": since}).json["events"]
    return [
        (one["event"], {name: value for name, value in one["data"].items() if name != "eventId"})
        for one in found
        if one["event"].startswith("task_")
    ]


def mark(api: Api, by: Someone) -> str:
    return str(api.get("/api/events", by).json["lastEventId"])


# -- its statuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("after", STATUSES)
@pytest.mark.parametrize("by_editor", [True, False])
def test_any_move_between_the_statuses_is_legal(
    api: Api, owner: Someone, editor: Someone, before: str, after: str, by_editor: bool
) -> None:
    task = handed_out(api, owner, editor, status=before, blockedReason="No footage" if before == "blocked" else None)
    assert (task["completedAt"] is not None) == (before == "completed")
    reason = {"blockedReason": "No sound"} if after == "blocked" else {}
    moved = change(api, editor if by_editor else owner, task, status=after, **reason)
    assert moved["status"] == after
    assert moved["blockedReason"] == reason.get("blockedReason")
    assert (moved["completedAt"] is not None) == (after == "completed")
    if before == after == "completed":
        assert moved["completedAt"] == task["completedAt"]


def test_cannot_do_needs_a_reason(api: Api, owner: Someone, editor: Someone) -> None:
    task = handed_out(api, owner, editor)
    for sent in ({}, {"blockedReason": None}, {"blockedReason": "  "}):
        refused = api.put(f"/api/tasks/{task['id']}", editor, {"status": "blocked", **sent})
        assert refused.status_code == 422
        assert list(refused.json["errors"]) == ["blockedReason"]
    change(api, editor, task, status="blocked", blockedReason="No footage")
    assert api.put(f"/api/tasks/{task['id']}", editor, {"blockedReason": ""}).status_code == 422
    assert change(api, editor, task, blockedReason="Still none")["blockedReason"] == "Still none"
    assert change(api, owner, task, status="pending")["blockedReason"] is None
    assert api.put(f"/api/tasks/{task['id']}", editor, {"status": "blocked"}).status_code == 422


def test_the_editors_link_hands_in_and_asks_for_another_look(api: Api, owner: Someone, editor: Someone) -> None:
    task = handed_out(api, owner, editor, status="blocked", blockedReason="No footage")
    first = change(api, editor, task, editedFileLink=LINK)
    assert (first["status"], first["approvalStatus"], first["editedFileLink"]) == ("completed", "reviewing", LINK)
    assert first["blockedReason"] is None
    assert first["completedAt"] is not None
    again = change(api, owner, task, approvalStatus="need-changes")
    assert (again["status"], again["approvalStatus"], again["completedAt"]) == ("in-progress", "need-changes", None)
    second = change(api, editor, task, editedFileLink=LINK + "/v2")
    assert (second["status"], second["approvalStatus"]) == ("completed", "reviewing")
    change(api, owner, task, approvalStatus="need-changes")
    same = change(api, editor, task, editedFileLink=LINK + "/v2")
    assert (same["status"], same["approvalStatus"]) == ("completed", "reviewing")


def test_the_same_link_sent_back_beside_a_status_is_no_hand_in(api: Api, owner: Someone, editor: Someone) -> None:
    """A form sends back what it read: who only blocks the task has not handed in again."""
    task = handed_out(api, owner, editor)
    change(api, editor, task, editedFileLink=LINK)
    change(api, owner, task, approvalStatus="need-changes")
    for status in ("pending", "blocked"):
        form = {"editedFileLink": LINK, "status": status, "blockedReason": "No footage"}
        sent = change(api, editor, task, **form)
        assert (sent["status"], sent["approvalStatus"]) == (status, "need-changes")
    sent = change(api, editor, task, editedFileLink=LINK, status="completed")
    assert (sent["status"], sent["approvalStatus"]) == ("completed", "reviewing")


def test_a_link_taken_back_or_set_by_a_manager_hands_nothing_in(api: Api, owner: Someone, editor: Someone) -> None:
    task = handed_out(api, owner, editor, status="in-progress", approvalStatus="need-changes")
    managed = change(api, owner, task, editedFileLink=LINK)
    assert (managed["status"], managed["approvalStatus"]) == ("in-progress", "need-changes")
    cleared = change(api, editor, task, editedFileLink="")
    assert (cleared["status"], cleared["editedFileLink"]) == ("in-progress", None)


@pytest.mark.parametrize("status", ["pending", "in-progress", "blocked"])
def test_only_a_completed_task_is_approved(api: Api, owner: Someone, editor: Someone, status: str) -> None:
    task = handed_out(api, owner, editor, status=status, blockedReason="No footage" if status == "blocked" else None)
    refused = api.put(f"/api/tasks/{task['id']}", owner, {"approvalStatus": "approved", "name": "x"})
    assert (refused.status_code, refused.json["current"]) == (409, status)
    assert api.get(f"/api/tasks/{task['id']}", owner).json == task
    unfinished = {"name": "Film", "deadline": "2031-01-01", "approvalStatus": "approved"}
    assert api.post("/api/tasks", owner, unfinished).status_code == 409
    both = change(api, owner, task, status="completed", approvalStatus="approved")
    assert (both["status"], both["approvalStatus"]) == ("completed", "approved")
    again = {"status": status, "blockedReason": "x", "approvalStatus": "approved"}
    assert api.put(f"/api/tasks/{task['id']}", owner, again).status_code == 409


@pytest.mark.parametrize("sent", [{"status": "pending"}, {"editedFileLink": LINK}, {"blockedReason": "x"}])
@pytest.mark.parametrize(("reopened", "status"), [("reviewing", "completed"), ("need-changes", "in-progress")])
def test_an_approved_task_is_closed_to_its_editor_until_a_manager_reopens_it(
    api: Api, owner: Someone, editor: Someone, sent: dict[str, str], reopened: str, status: str
) -> None:
    task = handed_out(api, owner, editor, status="completed", approvalStatus="approved")
    refused = api.put(f"/api/tasks/{task['id']}", editor, sent)
    assert (refused.status_code, refused.json["code"], refused.json["current"]) == (409, "task_approved", "approved")
    assert api.get(f"/api/tasks/{task['id']}", editor).json == task
    assert change(api, owner, task, approvalStatus=reopened)["status"] == status
    assert api.put(f"/api/tasks/{task['id']}", editor, sent).status_code == 200


def test_a_task_that_a_manager_reopens_by_its_status_is_not_approved_any_more(api: Api, owner: Someone) -> None:
    task = handed_out(api, owner, status="completed", approvalStatus="approved")
    opened = change(api, owner, task, status="in-progress")
    assert (opened["status"], opened["approvalStatus"], opened["completedAt"]) == ("in-progress", "reviewing", None)


def test_a_deleted_task_is_gone_for_everybody(api: Api, owner: Someone, editor: Someone) -> None:
    task = handed_out(api, owner, editor)
    since = mark(api, owner)
    assert api.delete(f"/api/tasks/{task['id']}", owner).get_data() == b""
    for who in (owner, editor):
        assert api.get(f"/api/tasks/{task['id']}", who).status_code == 404
        assert api.put(f"/api/tasks/{task['id']}", who, {"status": "completed"}).status_code == 404
        assert api.get("/api/tasks", who).json["data"] == []
        assert events_since(api, who, since) == [("task_deleted", {"taskId": task["id"]})]
    assert api.delete(f"/api/tasks/{task['id']}", owner).status_code == 404


def test_deleting_a_task_cancels_the_payout_that_waits_and_keeps_those_decided(
    api: Api, owner: Someone, editor: Someone
) -> None:
    kept = {"pending": "cancelled", "approved": "approved", "paid": "paid", "rejected": "rejected"}
    moves = {"approved": ["approved"], "paid": ["approved", "paid"], "rejected": ["rejected"], "pending": []}
    for status, expected in kept.items():
        task = handed_out(api, owner, editor, status="completed", approvalStatus="approved")
        asked = {"projectName": "Film", "amount": 10, "taskId": task["id"]}
        path = f"/api/payouts/{api.post('/api/payouts', editor, asked).json['id']}"
        for move in moves[status]:
            more = {"paid": {"reference": "UTR 1"}, "rejected": {"reason": "No"}}.get(move, {})
            assert api.put(path, owner, {"status": move, **more}).status_code == 200
        assert api.delete(f"/api/tasks/{task['id']}", owner).status_code == 204
        payout = api.get(path, editor).json
        assert (payout["status"], payout["taskId"]) == (expected, task["id"])


def test_a_reassigned_task_leaves_its_payout_where_it_was_earned(
    api: Api, owner: Someone, editor: Someone, other_editor: Someone
) -> None:
    task = handed_out(api, owner, editor, status="completed", approvalStatus="approved")
    asked = api.post("/api/payouts", editor, {"projectName": "Film", "amount": 10, "taskId": task["id"]}).json
    change(api, owner, task, assignedTo=other_editor.id)
    assert api.get(f"/api/payouts/{asked['id']}", editor).json["editorId"] == editor.id
    assert api.get(f"/api/payouts/{asked['id']}", other_editor).status_code == 404
    again = api.post("/api/payouts", other_editor, {"projectName": "Film", "amount": 10, "taskId": task["id"]})
    assert (again.status_code, again.json["code"]) == (409, "already_requested")


# -- who is told -----------------------------------------------------------------------------------------------------


def test_each_hears_of_a_reassignment_what_is_theirs_to_know(
    api: Api, owner: Someone, editor: Someone, other_editor: Someone
) -> None:
    since = mark(api, owner)
    task = handed_out(api, owner, editor)
    assert events_since(api, owner, since) == events_since(api, editor, since) == [("task_created", {"task": task})]
    assert events_since(api, other_editor, since) == []
    since = mark(api, owner)
    moved = change(api, owner, task, assignedTo=other_editor.username, name="Secret")
    parting = {"taskId": task["id"], "updates": {"assignedTo": other_editor.id}}
    assert events_since(api, editor, since) == [("task_updated", parting)]
    assert events_since(api, other_editor, since) == [("task_created", {"task": moved})]
    [(name, seen)] = events_since(api, owner, since)
    assert (name, seen["taskId"]) == ("task_updated", task["id"])
    fields = ("name", "assignedTo", "assignee", "version", "updatedAt")
    assert seen["updates"] == {field: moved[field] for field in fields}
    assert api.get(f"/api/tasks/{task['id']}", editor).status_code == 404
    assert api.get(f"/api/tasks/{task['id']}", other_editor).json == moved
    [news] = told(api, other_editor)
    assert (news["urgent"], news["entityType"], news["entityId"]) == (True, "task", task["id"])


def test_an_update_tells_the_changed_fields_alone_and_nothing_when_nothing_changed(
    api: Api, owner: Someone, editor: Someone, other_editor: Someone
) -> None:
    task = handed_out(api, owner, editor)
    since = mark(api, owner)
    change(api, owner, task, name=task["name"], status="pending")
    assert events_since(api, owner, since) == []
    changed = change(api, editor, task, status="in-progress")
    updates = {name: changed[name] for name in ("status", "version", "updatedAt")}
    told_of = [("task_updated", {"taskId": task["id"], "updates": updates})]
    assert events_since(api, owner, since) == events_since(api, editor, since) == told_of
    assert events_since(api, other_editor, since) == []


def test_news_of_a_task_reach_whom_they_concern(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, other_editor: Someone
) -> None:
    task = handed_out(api, owner, editor)
    assert [one["urgent"] for one in told(api, editor)] == [True]
    assert told(api, owner) == told(api, moderator) == []
    change(api, editor, task, status="blocked", blockedReason="No footage")
    for manager in (owner, moderator):
        [news] = told(api, manager)
        assert (news["urgent"], news["read"], news["entityId"]) == (True, False, task["id"])
        assert "blocked" in news["title"]
    done = handed_out(api, owner, editor, status="completed")
    for key in [one["id"] for one in told(api, editor)]:
        assert api.delete(f"/api/notifications/{key}", editor).status_code == 204
    change(api, moderator, done, approvalStatus="approved")
    [news] = told(api, editor)
    assert (news["entityId"], "approved" in news["title"]) == (done["id"], True)
    change(api, moderator, done, approvalStatus="need-changes")
    [news] = told(api, editor)
    assert "changes" in news["title"]
    assert told(api, other_editor) == []


def test_several_edits_within_a_minute_are_one_notification(api: Api, owner: Someone, editor: Someone) -> None:
    task = handed_out(api, owner, editor)
    change(api, editor, task, status="in-progress")
    [first] = told(api, owner)
    assert api.put(f"/api/notifications/{first['id']}/read", owner).json["read"] is True
    change(api, editor, task, status="blocked", blockedReason="No footage")
    change(api, editor, task, editedFileLink=LINK)
    [news] = told(api, owner)
    assert (news["id"], news["read"], news["urgent"]) == (first["id"], False, True)
    assert "completed" in news["title"]


def test_the_audit_tells_who_changed_what(api: Api, owner: Someone, editor: Someone) -> None:
    task = handed_out(api, owner, editor)
    change(api, owner, task, name=task["name"])
    change(api, editor, task, status="in-progress")
    assert api.delete(f"/api/tasks/{task['id']}", owner).status_code == 204
    rows = api.get("/api/audit", owner, query_string={"objectId": task["id"]}).json["data"]
    assert [(row["action"], row["actor"]["id"], row["objectType"]) for row in rows] == [
        ("task.deleted", owner.id, "task"),
        ("task.updated", editor.id, "task"),
        ("task.created", owner.id, "task"),
    ]
    assert rows[1]["changes"] == {"status": ["pending", "in-progress"]}
    assert rows[2]["changes"]["assignedTo"] == [None, editor.id]


def test_a_refused_task_leaves_nothing_behind(api: Api, app: Flask, owner: Someone) -> None:
    body = {"name": "Film", "deadline": "2031-01-01", "approvalStatus": "approved"}
    assert api.post("/api/tasks", owner, body).status_code == 409
    with app.app_context():
        for table in ("tasks", "events", "notifications"):
            assert db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0
        assert db.session.execute(text("SELECT count(*) FROM audit WHERE object_type = 'task'")).scalar() == 0
