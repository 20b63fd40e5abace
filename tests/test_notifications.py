"""Notifications: each sees their own, the server makes the right ones for the right people, and not many of one."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from idyll.clock import now
from idyll.database import execute
from idyll.extensions import db
from idyll.notifications.models import Notification
from idyll.transactions import transaction

pytestmark = pytest.mark.database

NOTES = "/api/notifications"
LINK = "https://drive.example.com/edited"


def broadcast(api, by, to="all", status=201, **fields):
    answer = api.post(NOTES, by, {"title": "Closed", "message": "Back on Monday.", "to": to, **fields})
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.json


def notes(api, by, **query):
    return api.get(NOTES, by, query_string=query).json["data"]


def told(api, by):
    """What somebody was told since the last time: titles with their kind and urgency; clears it."""
    found = [(note["type"], note["title"], note["urgent"]) for note in notes(api, by)]
    for note in notes(api, by):
        assert api.delete(f"{NOTES}/{note['id']}", by).status_code == 204
    return found


def make_task(api, by, **fields):
    made = api.post("/api/tasks", by, {"name": "Wedding", "deadline": "2030-01-01", **fields})
    assert made.status_code == 201, made.get_data(as_text=True)
    return made.json


def put(api, by, path, **fields):
    answer = api.put(path, by, fields)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


def let_a_minute_pass(app):
    with app.app_context(), transaction():
        execute(update(Notification.__table__).values(created_at=now() - timedelta(seconds=61)))


# -- one's own -------------------------------------------------------------------------------------------------------


def test_a_notification_says_what_and_about_which_thing(api, owner, editor):
    task = make_task(api, owner, assignedTo=editor.id)
    [note] = notes(api, editor)
    assert note | {"id": "", "createdAt": ""} == {
        "id": "",
        "type": "task",
        "title": "Task T001 is yours",
        "message": "Wedding",
        "urgent": True,
        "read": False,
        "readAt": None,
        "entityType": "task",
        "entityId": task["id"],
        "createdAt": "",
    }


def test_everybody_sees_reads_and_deletes_only_their_own(api, owner, moderator, editor, pending):
    broadcast(api, moderator, editor.id)
    [note] = notes(api, editor)
    assert notes(api, owner) == notes(api, moderator) == []
    for other in (owner, moderator):
        assert api.put(f"{NOTES}/{note['id']}/read", other).status_code == 404
        assert api.delete(f"{NOTES}/{note['id']}", other).status_code == 404
        assert api.put(f"{NOTES}/read-all", other).status_code == 204
    assert notes(api, editor) == [note]
    assert api.get(NOTES, pending).json["code"] == "account_pending"


def test_reading_one_and_the_unread_filter(api, owner, editor):
    for n in range(3):
        broadcast(api, owner, editor.id, title=f"{n}")
    middle = notes(api, editor)[1]
    read = api.put(f"{NOTES}/{middle['id']}/read", editor).json
    assert read == middle | {"read": True, "readAt": read["readAt"]}
    assert read["readAt"] >= middle["createdAt"]
    assert api.put(f"{NOTES}/{middle['id']}/read", editor).json == read
    assert [note["title"] for note in notes(api, editor, unread="true")] == ["2", "0"]
    assert notes(api, editor, unread="false") == [read]
    assert [note["title"] for note in api.pages(NOTES, editor, limit=1)] == ["2", "1", "0"]
    assert api.get("/api/auth/me", editor).json["unreadNotifications"] == 2
    assert api.get(NOTES, editor, query_string={"unread": "maybe"}).json["errors"].keys() == {"unread"}


def test_reading_all_and_deleting(api, owner, editor, other_editor):
    for to in (editor.id, editor.id, other_editor.id):
        broadcast(api, owner, to)
    assert api.put(f"{NOTES}/read-all", editor).status_code == 204
    assert [note["read"] for note in notes(api, editor)] == [True, True]
    assert [note["read"] for note in notes(api, other_editor)] == [False]
    gone = notes(api, editor)[0]["id"]
    assert [api.delete(f"{NOTES}/{gone}", editor).status_code for _ in range(2)] == [204, 404]
    assert len(notes(api, editor)) == 1
    assert api.put(f"{NOTES}/{gone}/read", editor).status_code == 404


# -- a manager's own words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "who"),
    [
        ("all", {"owner", "moderator", "editor", "other_editor"}),
        ("managers", {"owner", "moderator"}),
        ("editors", {"editor", "other_editor"}),
        ("ID", {"editor"}),
    ],
)
def test_a_broadcast_reaches_members_of_its_group(api, request, pending, editor, to, who):
    by = {name: request.getfixturevalue(name) for name in ("owner", "moderator", "editor", "other_editor")}
    to = editor.id if to == "ID" else to
    assert broadcast(api, by["moderator"], to, urgent=True, type="meeting") == {"recipients": len(who)}
    assert {name for name, person in by.items() if told(api, person) == [("meeting", "Closed", True)]} == who
    assert {name for name, person in by.items() if told(api, person)} == set()


def test_broadcasts_are_told_one_by_one(api, owner, editor):
    broadcast(api, owner, "editors")
    broadcast(api, owner, "editors")
    assert told(api, editor) == [("info", "Closed", False)] * 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "everybody"),
        ("to", ""),
        ("to", "019b7711-9680-7ca3-8a96-3b58df09357b"),
        ("to", "PENDING"),
        ("to", None),
        ("title", " "),
        ("title", "x" * 201),
        ("message", None),
        ("type", "gossip"),
        ("urgent", "yes"),
        ("userId", "x"),
    ],
)
def test_a_broadcast_that_says_nothing_to_nobody_is_refused(api, owner, pending, field, value):
    value = pending.id if value == "PENDING" else value
    sent = {"title": "Closed", "message": "x", "to": "all", field: value}
    refused = api.post(NOTES, owner, sent)
    assert (refused.status_code, list(refused.json["errors"])) == (422, [field])
    assert notes(api, owner) == []


def test_editors_broadcast_nothing(api, owner, editor):
    assert api.post(NOTES, editor, {"title": "x", "message": "x", "to": "all"}).status_code == 403
    assert notes(api, owner) == []


# -- made by the server ----------------------------------------------------------------------------------------------


def test_managers_hear_of_applications_and_registrations_at_once(api, owner, moderator, editor):
    filed = api.post("/api/applications", json={"fullName": "Nila Rao", "email": "nila@example.com"}).json
    assert notes(api, owner)[0]["entityId"] == filed["id"]
    assert "Nila" not in str(notes(api, owner))
    account = {"email": "new@example.com", "username": "newcomer", "password": "four-minutes-of-film"}
    assert api.post("/api/auth/register", json=account).status_code == 201
    for manager in (owner, moderator):
        assert told(api, manager) == [("user", "New application", True)] * 2
    assert told(api, editor) == []


@pytest.mark.parametrize("door", ["application", "account"])
def test_an_approved_person_is_told(api, owner, moderator, door):
    account = {"email": "new@example.com", "username": "newcomer", "password": "four-minutes-of-film"}
    registered = api.post("/api/auth/register", json=account).json
    token, user = registered["accessToken"], registered["user"]
    application = api.get("/api/applications", owner).json["data"][0]["id"]
    told(api, moderator)
    if door == "application":
        put(api, owner, f"/api/applications/{application}/approve")
        put(api, owner, f"/api/applications/{application}/approve")
    else:
        put(api, owner, f"/api/users/{user['id']}", status="approved")
    assert told(api, token) == [("user", "You are approved", False)]
    assert told(api, moderator) == []


@pytest.mark.parametrize("door", ["application", "account"])
def test_a_rejected_person_is_told(api, app, owner, door):
    account = {"email": "new@example.com", "username": "newcomer", "password": "four-minutes-of-film"}
    user = api.post("/api/auth/register", json=account).json["user"]["id"]
    application = api.get("/api/applications", owner).json["data"][0]["id"]
    if door == "application":
        put(api, owner, f"/api/applications/{application}/reject", reason="Too few films.")
    else:
        put(api, owner, f"/api/users/{user}", status="rejected")
    with app.app_context():
        titles = db.session.query(Notification.title).filter_by(user_id=user).all()
    assert [title for (title,) in titles] == ["Your application was rejected"]


def test_a_task_from_hand_out_to_approval(api, app, owner, moderator, editor, other_editor):
    task = make_task(api, owner, assignedTo=editor.id)
    path = f"/api/tasks/{task['id']}"
    everybody = (owner, moderator, editor, other_editor)

    def heard(*expected):
        let_a_minute_pass(app)
        return [told(api, person) for person in everybody] == list(expected)

    assert heard([], [], [("task", "Task T001 is yours", True)], [])
    put(api, owner, path, name="Wedding film", priority="high")
    assert heard([], [], [], [])
    put(api, editor, path, status="in-progress")
    assert heard(*[[("task", "Task T001 is in-progress", False)]] * 2, [], [])
    put(api, editor, path, status="blocked", blockedReason="No footage")
    assert heard(*[[("task", "Task T001 is blocked", True)]] * 2, [], [])
    put(api, editor, path, editedFileLink=LINK)
    assert heard(*[[("task", "Task T001 is completed", False)]] * 2, [], [])
    put(api, moderator, path, approvalStatus="need-changes")
    assert heard([], [], [("task", "Task T001 needs changes", False)], [])
    put(api, moderator, path, status="completed")
    assert heard([], [], [], [])
    put(api, moderator, path, approvalStatus="approved")
    assert heard([], [], [("task", "Task T001 is approved", False)], [])
    put(api, moderator, path, assignedTo=other_editor.id)
    assert heard([], [], [], [("task", "Task T001 is yours", True)])
    put(api, moderator, path, assignedTo=None)
    assert heard([], [], [], [])


def test_a_payout_from_request_to_payment(api, app, owner, moderator, editor):
    payout = api.post("/api/payouts", editor, {"projectName": "Wedding", "amount": 1500.5}).json
    [note] = notes(api, owner)
    assert (note["entityType"], note["entityId"], note["message"]) == ("payout", payout["id"], "Wedding: 1500.50 INR")
    assert told(api, owner) == told(api, moderator) == [("payout", "Payout requested", True)]
    path = f"/api/payouts/{payout['id']}"
    put(api, editor, path, amount=1600)
    assert told(api, owner) == told(api, editor) == []
    for status, more in (("approved", {}), ("paid", {"reference": "UTR 1"})):
        let_a_minute_pass(app)
        put(api, moderator, path, status=status, **more)
        assert told(api, editor) == [("payout", f"Payout {status}", False)]
    assert told(api, owner) == told(api, moderator) == []


def test_a_rejected_payout_and_one_whose_task_is_gone_are_told_to_their_editor(api, owner, editor):
    refused = api.post("/api/payouts", editor, {"projectName": "Wedding", "amount": 1}).json
    put(api, owner, f"/api/payouts/{refused['id']}", status="rejected", reason="Twice")
    assert told(api, editor) == [("payout", "Payout rejected", False)]
    task = make_task(api, owner, assignedTo=editor.id)
    put(api, editor, f"/api/tasks/{task['id']}", editedFileLink=LINK)
    put(api, owner, f"/api/tasks/{task['id']}", approvalStatus="approved")
    told(api, editor)
    api.post("/api/payouts", editor, {"projectName": "Wedding", "amount": 1, "taskId": task["id"]})
    api.delete(f"/api/tasks/{task['id']}", owner)
    assert told(api, editor) == [("payout", "Payout cancelled", False)]


def test_a_new_role_is_told_to_the_person_alone(api, owner, moderator, editor):
    put(api, owner, f"/api/users/{editor.id}", role="moderator")
    assert told(api, editor) == [("user", "Your role has changed", False)]
    put(api, owner, f"/api/users/{editor.id}", role="moderator")
    put(api, owner, f"/api/users/{editor.id}", location="Pune")
    assert told(api, editor) == told(api, owner) == told(api, moderator) == []


def test_a_refused_change_tells_nobody(api, owner, editor):
    task = make_task(api, owner, assignedTo=editor.id)
    assert api.put(f"/api/tasks/{task['id']}", editor, {"status": "blocked"}).status_code == 422
    assert api.put(f"/api/tasks/{task['id']}", owner, {"approvalStatus": "approved"}).status_code == 409
    assert told(api, owner) == []
    assert told(api, editor) == [("task", "Task T001 is yours", True)]


# -- not many --------------------------------------------------------------------------------------------------------


def test_edits_within_a_minute_make_one_notification_unread_again_and_still_urgent(api, app, owner, editor):
    task = make_task(api, owner, assignedTo=editor.id)
    path = f"/api/tasks/{task['id']}"
    put(api, editor, path, status="blocked", blockedReason="No footage")
    [first] = notes(api, owner)
    api.put(f"{NOTES}/{first['id']}/read", owner)
    put(api, editor, path, status="in-progress")
    put(api, editor, path, editedFileLink=LINK)
    assert notes(api, owner) == [first | {"title": "Task T001 is completed"}]
    let_a_minute_pass(app)
    put(api, editor, path, status="pending")
    assert [note["title"] for note in notes(api, owner)] == ["Task T001 is pending", "Task T001 is completed"]


def test_different_things_and_deleted_notifications_are_never_rolled_into_one(api, owner, editor):
    for name in ("One", "Two"):
        make_task(api, owner, name=name, assignedTo=editor.id)
    assert [note["message"] for note in notes(api, editor)] == ["Two", "One"]
    meeting = api.post("/api/meetings", owner, {"title": "M", "date": "2030-01-01", "time": "10:00"}).json
    put(api, owner, f"/api/meetings/{meeting['id']}", attendees=[editor.id])
    assert ("meeting", "Meeting changed", False) in told(api, editor)
    put(api, owner, f"/api/meetings/{meeting['id']}", title="Other")
    assert told(api, editor) == [("meeting", "Meeting changed", False)]
