"""Removing a person: what ends, what is handed back, what stays, and that nothing personal is left."""

from dataclasses import dataclass

import pytest
from conftest import PASSWORD
from doors import log_in, refresh, refused, token_of
from sqlalchemy import select

from idyll.events.service import event_id
from idyll.extensions import db
from idyll.ids import uuid7

pytestmark = pytest.mark.database

FORMER = "Former member"
PROFILE = {
    "displayName": "Zuleika Zed",
    "photoURL": "https://photos.example/zed.jpg",
    "location": "Zanzibar",
    "software": "Zoomcut",
    "portfolioLink": "https://portfolio.example/zed",
    "contact": "+255 777",
}
FORM = {
    "fullName": "Zuleika Zed",
    "email": "zed@example.com",
    "contact": "+255 777",
    "location": "Zanzibar",
    "software": "Zoomcut",
    "role": "Zoomer",
    "portfolioLink": "https://portfolio.example/zed",
    "message": "I am Zuleika.",
}
PERSONAL = [
    "zuleika",
    "zed@example",
    "zed.z",
    "photos.example",
    "portfolio.example",
    "zanzibar",
    "zoom",
    "+255",
    "upi-z",
]
# The audit is never edited, and the contract counts no software among what its rows leave out.
KEPT = ("audit", "zoomcut")


def post(api, path, by, body, key=None):
    answer = api.post(path, by, body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code in (200, 201), answer.json
    return answer.json


def put(api, path, by, body):
    answer = api.put(path, by, body)
    assert answer.status_code == 200, answer.json
    return answer.json


def delete(api, by, whom, **body):
    return api.delete(f"/api/users/{whom if isinstance(whom, str) else whom.id}", by, body)


def task_of(api, owner, user_id, key=None, **more):
    body = {"name": "Wedding", "deadline": "2030-01-01", "assignedTo": user_id}
    task = post(api, "/api/tasks", owner, body, key)
    return put(api, f"/api/tasks/{task['id']}", owner, more) if more else task


@dataclass
class Zed:
    """An editor who has done a bit of everything."""

    id: str
    token: str
    refresh_token: str
    application: dict
    message: dict
    open_task: dict
    done_task: dict
    pending_payout: dict
    approved_payout: dict
    paid_payout: dict
    meeting: dict


@pytest.fixture
def zed(api, owner, moderator, editor):
    """Made through the API with stored answers all along, so that traces are everywhere."""
    form = post(api, "/api/applications", moderator, FORM, "apply")
    new = {"email": "zed@example.com", "username": "Zed.Z", "displayName": "Zuleika Zed", "password": PASSWORD}
    user_id = post(api, "/api/users", owner, new, "make")["id"]
    put(api, f"/api/applications/{form['id']}/approve", owner, {})
    signed_in = log_in(api, "zed.z").json
    token = signed_in["accessToken"]
    put(api, f"/api/users/{user_id}", token, PROFILE)
    message = post(api, "/api/chat/messages", token, {"message": "Hello all"}, "hello")
    put(api, f"/api/chat/messages/{message['id']}", token, {"message": "Hello everybody"})
    put(api, "/api/chat/rooms/team/read", token, {"messageId": message["id"]})
    finished = {"status": "completed", "approvalStatus": "approved"}
    payout = {"projectName": "Film", "amount": 100}
    api.post("/api/auth/password/forgot", json={"email": "zed@example.com"})
    asked = [post(api, "/api/payouts", token, payout | {"paymentMethod": "Bank"}, f"pay{n}") for n in range(2)]
    for each in asked:
        put(api, f"/api/payouts/{each['id']}", owner, {"status": "approved"})
    put(api, f"/api/payouts/{asked[1]['id']}", owner, {"status": "paid", "reference": "UTR 1"})
    people = [user_id, editor.id]
    post(api, "/api/payouts", owner, payout | {"editorId": user_id, "paymentMethod": "upi-z"}, "for")
    meeting = {"title": "Kick-off", "startsAt": "2030-01-01T10:00:00Z", "attendees": people}
    return Zed(
        user_id, token, signed_in["refreshToken"], form, message,
        open_task=task_of(api, owner, user_id, "task"),
        done_task=task_of(api, owner, user_id, None, **finished),
        pending_payout=post(api, "/api/payouts", token, payout | {"note": "Zuleika", "paymentMethod": "upi-z"}, "pay"),
        approved_payout=asked[0], paid_payout=asked[1],
        meeting=post(api, "/api/meetings", moderator, meeting, "meet"),
    )  # fmt: skip


def traces(app):
    """Every value in the database that says something of Zed."""
    found = []
    with app.app_context():
        for table in db.metadata.sorted_tables:
            for row in db.session.execute(select(table)).mappings():
                for column, value in row.items():
                    text = str(value).lower()
                    if table.name == KEPT[0]:
                        text = text.replace(KEPT[1], "")
                    if any(word in text for word in PERSONAL):
                        found.append(f"{table.name}.{column}: {value}")
    return found


# -- who removes whom ------------------------------------------------------------------------------------------------


def test_rights_to_remove_follow_rank(api, owner, moderator, editor, other_editor, pending, people):
    another = people.moderator()
    cases = [
        (editor, other_editor, 403), (editor, owner, 403), (editor, pending, 404), (pending, editor, 403),
        (moderator, another, 403), (moderator, owner, 403), (moderator, editor, 204), (moderator, pending, 204),
        (owner, another, 204), (owner, people.owner(), 204),
    ]  # fmt: skip
    for by, whom, status in cases:
        assert delete(api, by, whom).status_code == status, (by.role, whom.role)
        assert api.get("/api/auth/me", whom).status_code == (401 if status == 204 else 200)
    assert delete(api, owner, uuid7()).status_code == delete(api, owner, editor).status_code == 404


@pytest.mark.parametrize("body", [{}, {"currentPassword": ""}, {"currentPassword": "wrong"}])
def test_who_removes_oneself_says_the_password(api, owner, editor, moderator, body):
    for person in (editor, moderator):
        answer = delete(api, person, person, **body)
        assert (answer.status_code, list(answer.json["errors"])) == (403, ["currentPassword"])
    assert delete(api, editor, editor, currentPassword=PASSWORD).status_code == 204
    assert refused(api.get("/api/auth/me", editor))


def test_a_removal_is_audited_and_told_to_the_managers(api, owner, moderator, editor, other_editor):
    since = {by.id: api.get("/api/events", by).json["lastEventId"] for by in (moderator, other_editor)}
    assert delete(api, moderator, editor).status_code == 204
    row = api.get("/api/audit", owner, query_string={"objectId": editor.id}).json["data"][0]
    assert (row["action"], row["actor"]["id"], row["changes"]) == ("user.removed", moderator.id, {})

    def told(by):
        found = api.get("/api/events", by, query_string={"since": since[by.id]}).json["events"]
        return [(event["event"], event["data"]["userId"]) for event in found]

    assert told(moderator) == [("user_removed", editor.id)]
    assert told(other_editor) == []


# -- what ends, what stays -------------------------------------------------------------------------------------------


def test_a_removed_person_is_out_and_unknown(api, owner, editor, zed):
    invite = post(api, f"/api/users/{zed.id}/invite", owner, {})["invite"]
    assert delete(api, owner, zed).status_code == 204
    assert refused(api.get("/api/auth/me", zed.token))
    assert refused(refresh(api, zed.refresh_token))
    assert refused(log_in(api, "zed.z"), "invalid_credentials")
    assert refused(log_in(api, "zed@example.com"), "invalid_credentials")
    assert refused(api.post("/api/auth/password/reset", json={"token": token_of(invite), "password": PASSWORD}))
    for by in (owner, editor):
        assert api.get(f"/api/users/{zed.id}", by).status_code == 404
        assert zed.id not in {row["id"] for row in api.get("/api/users", by).json["data"]}
    assert api.put(f"/api/users/{zed.id}", owner, {"location": "Goa"}).status_code == 404
    assert api.post(f"/api/users/{zed.id}/invite", owner).status_code == 404
    task = {"name": "W", "deadline": "2030-01-01", "assignedTo": zed.id}
    assert list(api.post("/api/tasks", owner, task).json["errors"]) == ["assignedTo"]


def test_open_tasks_are_handed_back_and_finished_ones_stay(api, owner, zed):
    delete(api, owner, zed)
    task = api.get(f"/api/tasks/{zed.open_task['id']}", owner).json
    assert (task["assignedTo"], task["assignee"], task["status"]) == (None, None, "pending")
    task = api.get(f"/api/tasks/{zed.done_task['id']}", owner).json
    assert task["assignedTo"] == zed.id
    assert task["assignee"] == {"id": zed.id, "displayName": FORMER, "photoURL": None}


def test_pending_payouts_are_cancelled_and_approved_ones_stay_payable(api, owner, zed):
    delete(api, owner, zed)

    def payout(before):
        return api.get(f"/api/payouts/{before['id']}", owner).json

    assert payout(zed.pending_payout)["status"] == "cancelled"
    assert payout(zed.paid_payout).items() >= {"status": "paid", "reference": "UTR 1", "paymentMethod": "Bank"}.items()
    assert payout(zed.paid_payout)["editor"] == {"id": zed.id, "displayName": FORMER}
    paid = put(api, f"/api/payouts/{zed.approved_payout['id']}", owner, {"status": "paid", "reference": "UTR 2"})
    assert paid.items() >= {"status": "paid", "amount": 100, "paymentMethod": "Bank"}.items()
    assert len(api.get(f"/api/payouts/user/{zed.id}", owner).json["data"]) == 4


def test_meetings_go_on_without_the_person(api, owner, editor, zed):
    delete(api, owner, zed)
    assert api.get(f"/api/meetings/{zed.meeting['id']}", editor).json["attendees"] == [editor.id]


def test_a_meeting_of_a_former_manager_stays(api, owner, moderator, editor, zed):
    delete(api, owner, moderator)
    meeting = api.get(f"/api/meetings/{zed.meeting['id']}", editor).json
    assert meeting["organizer"] == {"id": moderator.id, "displayName": FORMER}


def test_chat_stays_under_the_name_of_a_former_member(api, owner, editor, zed):
    delete(api, owner, zed)
    [message] = api.get("/api/chat/messages", editor).json["data"]
    assert message.items() >= {"message": "Hello everybody", "sender": FORMER, "senderId": zed.id}.items()


def test_the_audit_keeps_the_deed_without_the_name(api, owner, zed):
    delete(api, owner, zed)
    rows = list(api.pages("/api/audit", owner, actorId=zed.id))
    assert {row["action"] for row in rows} >= {"user.updated", "payout.requested"}
    assert {row["actor"]["displayName"] for row in rows} == {FORMER}


# -- what is erased --------------------------------------------------------------------------------------------------


def test_nothing_personal_is_left_in_the_database(api, app, owner, zed):
    elsewhere = FORM | {"email": "private@example.com"}  # known as Zed's by who sent it alone
    by_hand = post(api, "/api/applications", zed.token, elsewhere, "once more")
    assert api.delete(f"/api/applications/{by_hand['id']}", owner).status_code == 204
    assert len(traces(app)) > 20
    assert delete(api, owner, zed).status_code == 204
    assert traces(app) == []


def test_who_leaves_oneself_is_erased_likewise(api, app, zed):
    assert delete(api, zed.token, zed.id, currentPassword=PASSWORD).status_code == 204
    assert traces(app) == []


def test_what_is_kept_of_events_shows_a_former_member(api, app, owner, zed):
    with app.app_context():
        beginning = event_id(0)

    def told(name):
        found = api.get("/api/events", owner, query_string={"since": beginning, "limit": 100}).json["events"]
        return [event["data"] for event in found if event["event"] == name]

    assert told("new_message")[0]["sender"] == "Zuleika Zed"
    delete(api, owner, zed)
    for name in ("user_created", "user_updated", "application_created", "application_updated"):
        assert told(name) == []
    assert [(data["sender"], data["message"]) for data in told("new_message")] == [(FORMER, "Hello everybody")]
    assert {data["message"]["sender"] for data in told("message_updated")} == {FORMER}
    assert [data["task"]["assignee"]["displayName"] for data in told("task_created")] == [FORMER] * 2
    payouts = [data["payout"] for data in told("payout_created")]
    assert {(payout["editor"]["displayName"], payout["amount"]) for payout in payouts} == {(FORMER, 100)}
    assert told("user_removed")[0]["userId"] == zed.id


def test_a_replayed_answer_shows_a_former_member(api, owner, moderator, zed):
    delete(api, owner, zed)
    new = {"email": "zed@example.com", "username": "Zed.Z", "displayName": "Zuleika Zed", "password": PASSWORD}

    def replayed(path, by, body, key):
        answer = api.post(path, by, body, headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (201, "true")
        return answer.json

    user = replayed("/api/users", owner, new, "make")
    assert user.items() >= {"id": zed.id, "displayName": FORMER, "email": None, "username": None}.items()
    task = {"name": "Wedding", "deadline": "2030-01-01", "assignedTo": zed.id}
    assert replayed("/api/tasks", owner, task, "task")["assignee"]["displayName"] == FORMER
    filed = replayed("/api/applications", moderator, FORM, "apply")
    assert filed.items() >= {"fullName": FORMER, "email": None, "message": None, "contact": None}.items()


def test_applications_keep_their_decision_alone(api, owner, moderator, zed):
    waiting = post(api, "/api/applications", None, FORM)
    delete(api, owner, zed)
    for form, status in ((zed.application, "approved"), (waiting, "rejected")):
        shown = api.get(f"/api/applications/{form['id']}", owner).json
        assert {shown[name] for name in FORM if name != "fullName"} == {None}
        assert (shown["fullName"], shown["status"], shown["accountExists"]) == (FORMER, status, False)
    assert api.get("/api/applications", owner, query_string={"q": "zuleika"}).json["data"] == []
    answer = api.put(f"/api/applications/{waiting['id']}/approve", owner)
    assert (answer.status_code, answer.json["current"]) == (409, "rejected")
    assert len(api.get("/api/users", owner).json["data"]) == 3


def test_the_email_and_the_username_are_free_for_somebody_new(api, owner, zed):
    delete(api, owner, zed)
    new = {"email": "zed@example.com", "username": "zed.z", "password": PASSWORD}
    answer = api.post("/api/auth/register", json=new)
    assert (answer.status_code, answer.json["user"]["status"]) == (201, "pending")
    assert answer.json["user"]["id"] != zed.id
    [waiting] = api.get("/api/applications", owner, query_string={"status": "pending"}).json["data"]
    assert put(api, f"/api/applications/{waiting['id']}/approve", owner, {})["userId"] == answer.json["user"]["id"]
    token = answer.json["accessToken"]
    assert api.get("/api/tasks", token).json["data"] == api.get("/api/payouts", token).json["data"] == []
