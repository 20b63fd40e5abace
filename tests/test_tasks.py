"""Edit jobs: what a task is, and who may change what of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Api, People, Someone
from flask import Flask
from sqlalchemy import text

from idyll.database import execute
from idyll.extensions import db
from idyll.transactions import transaction

pytestmark = pytest.mark.database

LINK = "https://drive.example.com/edited/1"
NOBODY = "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82"


def handed_out(api: Api, by: Someone, to: Someone | None = None, **fields: Any) -> dict[str, Any]:
    body = {"name": "Wedding film", "deadline": "2031-05-01", "assignedTo": to.id if to else None, **fields}
    made = api.post("/api/tasks", by, body)
    assert made.status_code == 201, made.json
    return made.json


def change(api: Api, by: Someone, task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = api.put(f"/api/tasks/{task['id']}", by, changes)
    assert answer.status_code == 200, answer.json
    return answer.json


# -- what a task is --------------------------------------------------------------------------------------------------


def test_a_name_and_a_deadline_are_all_that_a_task_needs(api: Api, owner: Someone) -> None:
    made = api.post("/api/tasks", owner, {"name": " Wedding film ", "deadline": "2020-02-29"})
    assert made.status_code == 201
    task = made.json
    stamps = {name: task.pop(name) for name in ("id", "createdAt", "updatedAt")}
    assert task == {
        "taskNumber": "T001",
        "name": "Wedding film",
        "description": None,
        "status": "pending",
        "blockedReason": None,
        "priority": "medium",
        "deadline": "2020-02-29",
        "overdue": True,
        "rawFileLink": None,
        "editedFileLink": None,
        "approvalStatus": "reviewing",
        "assignedTo": None,
        "assignee": None,
        "createdBy": owner.id,
        "version": 1,
        "completedAt": None,
    }
    assert stamps["createdAt"] == stamps["updatedAt"]
    assert datetime.fromisoformat(stamps["createdAt"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert api.get(f"/api/tasks/{stamps['id']}", owner).json == task | stamps


def test_every_field_can_be_given_at_once(api: Api, moderator: Someone, editor: Someone) -> None:
    fields = {
        "name": "Trailer",
        "description": "Two lines,\n\tone tab.",
        "status": "blocked",
        "blockedReason": "No footage",
        "priority": "high",
        "deadline": "2031-12-31",
        "rawFileLink": "http://files.example.com/raw?x=1#t=2",
        "editedFileLink": LINK,
        "approvalStatus": "reviewing",
        "assignedTo": editor.id,
    }
    made = api.post("/api/tasks", moderator, fields).json
    assert {name: made[name] for name in fields} == fields
    assert made["assignee"] == {"id": editor.id, "displayName": "Asha Editor", "photoURL": None}
    assert made["createdBy"] == moderator.id


@pytest.mark.parametrize("field", ["name", "deadline"])
def test_a_task_without_it_is_refused(api: Api, owner: Someone, field: str) -> None:
    body = {"name": "Film", "deadline": "2031-01-01"}
    del body[field]
    refused = api.post("/api/tasks", owner, body)
    assert refused.status_code == 422
    assert list(refused.json["errors"]) == [field]


READ_ONLY = ("id", "taskNumber", "overdue", "assignee", "createdBy", "version", "createdAt", "updatedAt", "completedAt")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", value) for value in ("", "  \t ", "x" * 201, "a\nb", "a\x07b", "a\x85b", None, 7, ["x"])],
        *[("description", value) for value in ("x" * 10_001, "a\x00b", "a\x1bb", 7)],
        *[("deadline", value) for value in ("", None, "2031-2-1", "2031-02-30", "01.02.2031", "2031-02-01T00:00", 1)],
        *[("status", value) for value in ("done", "in progress", "Pending", True)],
        *[("priority", value) for value in ("urgent", "High", 1)],
        *[("approvalStatus", value) for value in ("rejected", 1)],
        *[("blockedReason", value) for value in ("x" * 1001, 5)],
        *[
            (field, value)
            for field in ("rawFileLink", "editedFileLink")
            for value in (
                "drive.example.com/raw",
                "//drive.example.com/raw",
                "javascript:alert(1)",
                "ftp://drive.example.com/raw",
                "https://",
                "https://user@drive.example.com/raw",
                "https://drive.example.com/a b",
                "https://drive.example.com/" + "x" * 2048,
                7,
            )
        ],
        *[("assignedTo", value) for value in ("nobody", NOBODY, "nobody@example.com", 7, ["x"], "x" * 255)],
        *[(field, "x") for field in (*READ_ONLY, "assigned_to", "foo")],
    ],
)
def test_what_is_not_valid_is_named_and_nothing_is_written(api: Api, owner: Someone, field: str, value: Any) -> None:
    task = handed_out(api, owner)
    for answer in (
        api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01", field: value}),
        api.put(f"/api/tasks/{task['id']}", owner, {"description": "changed", field: value}),
    ):
        assert answer.status_code == 422
        assert list(answer.json["errors"]) == [field]
    assert api.get("/api/tasks", owner).json["data"] == [task]


@pytest.mark.parametrize("field", ["description", "blockedReason", "rawFileLink", "editedFileLink", "assignedTo"])
@pytest.mark.parametrize("empty", ["", "  ", None])
def test_an_empty_optional_field_is_null(
    api: Api, owner: Someone, editor: Someone, field: str, empty: str | None
) -> None:
    filled = {"description": "x", "rawFileLink": LINK, "editedFileLink": LINK}
    task = handed_out(api, owner, editor, **filled)
    assert change(api, owner, task, **{field: empty})[field] is None


def test_members_are_named_by_id_or_by_e_mail_or_username_in_any_case(
    api: Api, owner: Someone, editor: Someone, moderator: Someone
) -> None:
    for who in (editor, moderator, owner):
        for name in (who.id, who.email.upper(), f" {who.username.title()} "):
            made = handed_out(api, owner, assignedTo=name)
            assert made["assignedTo"] == made["assignee"]["id"] == who.id


def test_only_members_are_given_tasks(api: Api, owner: Someone, people: People, pending: Someone) -> None:
    removed = people.editor()
    assert api.delete(f"/api/users/{removed.id}", owner).status_code == 204
    task = handed_out(api, owner)
    for name in (pending.id, pending.email, pending.username, removed.id, removed.username):
        for answer in (
            api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01", "assignedTo": name}),
            api.put(f"/api/tasks/{task['id']}", owner, {"assignedTo": name}),
        ):
            assert answer.status_code == 422
            assert list(answer.json["errors"]) == ["assignedTo"]


def test_numbers_count_up_past_999_and_are_never_used_again(api: Api, app: Flask, owner: Someone) -> None:
    assert [handed_out(api, owner)["taskNumber"] for _ in range(2)] == ["T001", "T002"]
    last = handed_out(api, owner)
    assert api.delete(f"/api/tasks/{last['id']}", owner).status_code == 204
    assert handed_out(api, owner)["taskNumber"] == "T004"
    with app.app_context(), transaction():
        sequence = db.engine.dialect.name == "postgresql"
        later = "SELECT setval('task_numbers', 998)" if sequence else "UPDATE counters SET value = 998"
        execute(text(later))
    assert [handed_out(api, owner)["taskNumber"] for _ in range(2)] == ["T999", "T1000"]


@pytest.mark.parametrize(("zone", "overdue"), [("Pacific/Kiritimati", True), ("Etc/GMT+12", False)])
def test_a_task_is_overdue_when_its_deadline_is_before_the_agencys_today(
    api: Api, app: Flask, owner: Someone, monkeypatch: pytest.MonkeyPatch, zone: str, overdue: bool
) -> None:
    """Between the two zones lie 26 hours: the westernmost day is over in the easternmost zone, at any time."""
    monkeypatch.setitem(app.config, "AGENCY_TIMEZONE", zone)
    westernmost_today = (datetime.now(UTC) - timedelta(hours=12)).date()
    due = handed_out(api, owner, deadline=westernmost_today.isoformat())
    assert due["overdue"] is overdue
    listed = api.get("/api/tasks", owner, query_string={"overdue": str(overdue).lower()}).json["data"]
    assert [task["id"] for task in listed] == [due["id"]]
    assert api.get("/api/tasks", owner, query_string={"overdue": str(not overdue).lower()}).json["data"] == []
    assert change(api, owner, due, status="completed")["overdue"] is False


# -- who may what ----------------------------------------------------------------------------------------------------


def test_only_managers_hand_out_and_delete(api: Api, owner: Someone, moderator: Someone, editor: Someone) -> None:
    task = handed_out(api, moderator, editor)
    assert api.post("/api/tasks", editor, {"name": "Film", "deadline": "2031-01-01"}).status_code == 403
    assert api.delete(f"/api/tasks/{task['id']}", editor).status_code == 403
    assert api.get(f"/api/tasks/{task['id']}", editor).json == task
    assert api.delete(f"/api/tasks/{task['id']}", owner).status_code == 204


def test_an_editor_knows_nothing_of_the_tasks_of_others(api: Api, owner: Someone, editor: Someone) -> None:
    for task in (handed_out(api, owner), handed_out(api, owner, owner)):
        assert api.get(f"/api/tasks/{task['id']}", editor).status_code == 404
        assert api.put(f"/api/tasks/{task['id']}", editor, {"status": "completed"}).status_code == 404
        assert api.get(f"/api/tasks/{task['id']}", owner).json == task
    for key in (NOBODY, "T001", "1"):
        assert api.get(f"/api/tasks/{key}", owner).status_code == 404
        assert api.put(f"/api/tasks/{key}", owner, {"name": "x"}).status_code == 404
        assert api.delete(f"/api/tasks/{key}", owner).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Mine now"),
        ("description", "x"),
        ("priority", "low"),
        ("deadline", "2039-01-01"),
        ("rawFileLink", LINK),
        ("approvalStatus", "approved"),
        ("assignedTo", None),
    ],
)
def test_the_assignee_may_hand_in_but_set_nothing_else(
    api: Api, owner: Someone, editor: Someone, field: str, value: Any
) -> None:
    task = handed_out(api, owner, editor)
    refused = api.put(f"/api/tasks/{task['id']}", editor, {"status": "in-progress", field: value})
    assert refused.status_code == 403
    assert list(refused.json["errors"]) == [field]
    assert api.get(f"/api/tasks/{task['id']}", editor).json == task
    assert change(api, editor, task, status="in-progress")["status"] == "in-progress"


def test_put_and_patch_change_only_what_they_send(api: Api, owner: Someone, editor: Someone) -> None:
    task = handed_out(api, owner, editor, description="Keep the speeches", priority="low")
    patched = api.patch(f"/api/tasks/{task['id']}", owner, {"priority": "high"}).json
    assert patched == task | {"priority": "high", "version": 2, "updatedAt": patched["updatedAt"]}
    assert patched["updatedAt"] > task["updatedAt"]
    assert change(api, owner, task, **{name: patched[name] for name in ("name", "priority", "status")}) == patched
    assert change(api, owner, task) == patched
    assert change(api, owner, task, name="Film")["version"] == 3


def test_a_lost_update_is_refused(api: Api, owner: Someone) -> None:
    task = handed_out(api, owner)
    path = f"/api/tasks/{task['id']}"
    stale = {"If-Match": api.get(path, owner).headers["ETag"]}
    change(api, owner, task, name="Another")
    assert api.put(path, owner, {"name": "Mine"}, headers=stale).status_code == 412
    assert api.delete(path, owner, headers=stale).status_code == 412
    fresh = {"If-Match": api.get(path, owner).headers["ETag"]}
    assert api.put(path, owner, {"name": "Mine"}, headers=fresh).json["name"] == "Mine"
