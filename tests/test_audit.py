"""The audit log: every kind of change leaves a row that says who did what, and nothing personal."""

import csv
import io
from datetime import timedelta

import pytest

from idyll.clock import now
from idyll.columns import instant_text
from idyll.ids import uuid7

pytestmark = pytest.mark.database

AUDIT = "/api/audit"
LINK = "https://drive.example.com/edited"
PASSWORD = "four-minutes-of-film"
PERSONAL = ["Nila", "nila", "secret words", "Pune", "+91", "portfolio.example", "photos.example"]


def rows(api, by, **query):
    answer = api.get(AUDIT, by, query_string=query)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json["data"]


def do(answer):
    assert answer.status_code < 300, answer.get_data(as_text=True)
    return answer.json


def make_task(api, by, **fields):
    return do(api.post("/api/tasks", by, {"name": "Wedding", "deadline": "2030-01-01", **fields}))


def ask_payout(api, by, **fields):
    return do(api.post("/api/payouts", by, {"projectName": "Wedding", "amount": 10, **fields}))


def latest(api, by, **query):
    """The newest row's action and changes."""
    row = rows(api, by, limit=1, **query)[0]
    return row["action"], row["changes"]


def test_a_row_says_who_did_what_to_which_thing_when_and_from_where(api, owner, editor):
    before = instant_text(now())
    task = make_task(api, owner)
    headers = {"X-Request-Id": "req-42"}
    do(api.put(f"/api/tasks/{task['id']}", owner, {"priority": "high", "assignedTo": editor.id}, headers=headers))
    row = rows(api, owner)[0]
    assert before <= row["at"] <= instant_text(now())
    assert row | {"id": "", "at": ""} == {
        "id": "",
        "at": "",
        "actor": {"id": owner.id, "displayName": "Olga Owner"},
        "action": "task.updated",
        "objectType": "task",
        "objectId": task["id"],
        "changes": {"priority": ["medium", "high"], "assignedTo": [None, editor.id]},
        "requestId": "req-42",
        "address": "127.0.0.1",
    }


def test_tasks(api, owner, editor):
    task = make_task(api, owner, assignedTo=editor.id)
    path = f"/api/tasks/{task['id']}"
    given = {"name": [None, "Wedding"], "deadline": [None, "2030-01-01"], "assignedTo": [None, editor.id]}
    assert latest(api, owner) == ("task.created", given)
    do(api.put(path, editor, {"editedFileLink": LINK}))
    action, changes = latest(api, owner, actorId=editor.id)
    assert (action, changes["status"], changes["editedFileLink"]) == (
        "task.updated",
        ["pending", "completed"],
        [None, LINK],
    )
    assert api.delete(path, owner).status_code == 204
    assert latest(api, owner) == ("task.deleted", {})


def test_meetings(api, owner, editor):
    meeting = do(api.post("/api/meetings", owner, {"title": "M", "date": "2030-01-01", "time": "10:00"}))
    path = f"/api/meetings/{meeting['id']}"
    assert latest(api, owner)[0] == "meeting.scheduled"
    do(api.put(path, owner, {"attendees": [editor.id]}))
    assert latest(api, owner) == ("meeting.updated", {"attendees": [[], [editor.id]]})
    assert api.delete(path, owner).status_code == 204
    assert latest(api, owner)[0] == "meeting.cancelled"
    assert [row["objectId"] for row in rows(api, owner, objectType="meeting")] == [meeting["id"]] * 3


def test_payouts(api, owner, editor):
    payout = ask_payout(api, editor)
    path = f"/api/payouts/{payout['id']}"
    assert latest(api, owner)[1]["amount"] == [None, 10]
    do(api.put(path, editor, {"amount": 12.5}))
    assert latest(api, owner) == ("payout.updated", {"amount": [10, 12.5]})
    do(api.put(path, owner, {"status": "approved"}))
    action, changes = latest(api, owner)
    assert (action, changes["status"]) == ("payout.approved", ["pending", "approved"])
    do(api.put(path, owner, {"status": "paid", "reference": "UTR 1"}))
    action, changes = latest(api, owner)
    assert (action, changes["status"], changes["reference"]) == ("payout.paid", ["approved", "paid"], [None, "UTR 1"])
    other = ask_payout(api, editor)
    assert api.delete(f"/api/payouts/{other['id']}", editor).status_code == 204
    assert latest(api, owner, objectId=other["id"])[0] == "payout.cancelled"
    refused = ask_payout(api, editor)
    do(api.put(f"/api/payouts/{refused['id']}", owner, {"status": "rejected", "reason": "Twice"}))
    assert latest(api, owner, objectId=refused["id"])[0] == "payout.rejected"


def test_a_persons_way_from_application_to_removal_without_a_word_about_them(api, owner, moderator):
    form = {
        "fullName": "Nila Rao",
        "email": "nila@example.com",
        "location": "Pune",
        "contact": "+91 1",
        "portfolioLink": "https://portfolio.example.com",
        "message": "secret words",
    }
    application = do(api.post("/api/applications", json=form))["id"]
    filed = rows(api, owner, objectType="application")[0]
    assert (filed["action"], filed["actor"], filed["address"]) == ("application.filed", None, "127.0.0.1")
    approved = do(api.put(f"/api/applications/{application}/approve", moderator))
    user, path = approved["userId"], f"/api/users/{approved['userId']}"
    assert latest(api, owner, objectId=application)[1]["status"] == ["pending", "approved"]
    token = approved["invite"]["url"].partition("token=")[2]
    assert api.post("/api/auth/password/reset", json={"token": token, "password": PASSWORD}).status_code == 204
    login = do(api.post("/api/auth/login", json={"email": "nila@example.com", "password": PASSWORD}))
    profile = {
        "displayName": "Nila R.",
        "username": "nila",
        "location": "Pune",
        "contact": "+91 2",
        "photoURL": "https://photos.example.com/n",
        "portfolioLink": None,
        "software": "Resolve",
    }
    do(api.put(path, login["accessToken"], profile))
    action, changes = latest(api, owner, actorId=user)
    assert action == "user.updated"
    assert changes.pop("software") == [None, None]
    personal = ("displayName", "username", "contact", "photoURL", "portfolioLink")
    assert changes == {name: [None, None] for name in personal}
    do(api.put(path, owner, {"role": "moderator"}))
    assert latest(api, owner, objectId=user) == ("user.updated", {"role": ["editor", "moderator"]})
    do(api.post(f"{path}/invite", owner))
    assert latest(api, owner, objectId=user)[0] == "user.invited"
    assert api.delete(path, owner).status_code == 204
    assert latest(api, owner)[0] == "user.removed"
    kept = rows(api, owner)
    actions = {row["action"] for row in kept if row["objectId"] == user}
    assert {"user.created", "user.updated", "user.password_set", "user.removed"} <= actions
    assert [word for word in PERSONAL if word in str(kept)] == []
    assert {"Former member"} == {row["actor"]["displayName"] for row in rows(api, owner, actorId=user)}


def test_accounts_made_registered_changed_and_refused(api, owner):
    account = {"email": "new@example.com", "username": "newcomer", "password": PASSWORD}
    user = do(api.post("/api/auth/register", json=account))["user"]["id"]
    assert {row["action"] for row in rows(api, owner, actorId=user)} == {
        "user.registered",
        "application.filed",
        "session.created",
    }
    do(api.put(f"/api/users/{user}", owner, {"status": "rejected"}))
    assert latest(api, owner, objectType="user")[1]["status"] == ["pending", "rejected"]
    assert latest(api, owner, objectType="application")[1]["status"] == ["pending", "rejected"]
    made = do(api.post("/api/users", owner, {"email": "b@example.com", "displayName": "Bea", "role": "moderator"}))
    assert latest(api, owner) == ("user.created", {"email": [None, None], "role": [None, "moderator"]})
    assert rows(api, owner, objectId=made["id"])[-1]["action"] == "user.created"
    application = rows(api, owner, objectType="application")[0]["objectId"]
    assert api.delete(f"/api/applications/{application}", owner).status_code == 204
    assert latest(api, owner)[0] == "application.deleted"


def test_sessions_and_passwords(api, owner, editor):
    login = do(api.post("/api/auth/login", json={"login": editor.email, "password": PASSWORD}))
    session = rows(api, owner, limit=1)[0]
    assert (session["action"], session["actor"]["id"]) == ("session.created", editor.id)
    assert api.post("/api/auth/logout", login["accessToken"]).status_code == 204
    assert latest(api, owner, objectId=session["objectId"])[0] == "session.ended"
    new = {"password": "other-minutes-of-film", "currentPassword": PASSWORD}
    do(api.put(f"/api/users/{editor.id}", editor, new))
    assert latest(api, owner, objectId=editor.id) == ("user.updated", {"password": [None, None]})
    assert "minutes-of-film" not in str(rows(api, owner))


def test_broadcasts_and_a_managers_hand_on_anothers_message(api, owner, editor):
    do(api.post("/api/notifications", owner, {"title": "secret words", "message": "secret words", "to": "editors"}))
    assert latest(api, owner) == ("broadcast.sent", {"to": [None, "editors"], "recipients": [None, 1]})
    mine, theirs = (do(api.post("/api/chat/messages", by, {"message": "secret words"}))["id"] for by in (owner, editor))
    for message in (mine, theirs):
        assert api.delete(f"/api/chat/messages/{message}", owner).status_code == 204
    assert [row["objectId"] for row in rows(api, owner, objectType="message")] == [theirs]
    assert latest(api, owner) == ("message.deleted", {"message": [None, None]})
    assert "secret words" not in str(rows(api, owner))


def test_what_changes_nothing_leaves_no_row(api, owner, editor):
    task = make_task(api, owner)
    application = do(api.post("/api/applications", json={"fullName": "A", "email": "a@example.com"}))["id"]
    do(api.put(f"/api/applications/{application}/approve", owner))
    said = do(api.post("/api/chat/messages", editor, {"message": "x"}))["id"]
    count = len(rows(api, owner))
    do(api.put(f"/api/tasks/{task['id']}", owner, {"name": "Wedding"}))
    assert api.put(f"/api/tasks/{task['id']}", owner, {"approvalStatus": "approved"}).status_code == 409
    do(api.put(f"/api/applications/{application}/approve", owner))
    do(api.put(f"/api/users/{owner.id}", owner, {"displayName": "Olga Owner"}))
    do(api.put("/api/chat/rooms/team/read", owner, {"messageId": said}))
    do(api.put(f"/api/chat/messages/{said}", editor, {"message": "y"}))
    do(api.post("/api/auth/refresh", json={"refreshToken": editor.refresh_token}))
    assert len(rows(api, owner)) == count


def test_filters(api, owner, moderator, editor):
    mine, theirs = make_task(api, owner), make_task(api, moderator)
    do(api.put(f"/api/tasks/{mine['id']}", moderator, {"priority": "low"}))

    def found(**query):
        return [(row["actor"]["id"], row["objectId"]) for row in rows(api, owner, objectType="task", **query)]

    assert found(actorId=moderator.id) == [(moderator.id, mine["id"]), (moderator.id, theirs["id"])]
    assert found(objectId=mine["id"]) == [(moderator.id, mine["id"]), (owner.id, mine["id"])]
    assert found(objectId=mine["id"], actorId=owner.id) == [(owner.id, mine["id"])]
    assert found(objectId=uuid7()) == found(actorId=editor.id) == []
    last = rows(api, owner, limit=1)[0]["at"]
    assert found(**{"from": last})[0] == (moderator.id, mine["id"])
    assert len(found(to=last)) == 3
    assert found(**{"from": instant_text(now() + timedelta(minutes=1))}) == []
    assert found(to="2020-01-01") == []
    assert [row["id"] for row in api.pages(AUDIT, owner, limit=2)] == [row["id"] for row in rows(api, owner)]


@pytest.mark.parametrize("query", [{"objectId": "x"}, {"actorId": "Olga"}, {"from": "now"}, {"action": "task.created"}])
def test_other_filters_are_refused(api, owner, query):
    assert list(api.get(AUDIT, owner, query_string=query).json["errors"]) == list(query)


def test_only_managers_read_it_and_nobody_writes_it(api, owner, moderator, editor, pending):
    assert api.get(AUDIT, moderator).status_code == 200
    assert api.get(AUDIT, editor).status_code == 403
    assert api.get(AUDIT, editor, headers={"Accept": "text/csv"}).status_code == 403
    assert api.get(AUDIT, pending).status_code == 403
    row = rows(api, owner)[0]["id"]
    assert [api(method, AUDIT, owner, {}).status_code for method in ("POST", "PUT", "DELETE")] == [405] * 3
    assert api.delete(f"{AUDIT}/{row}", owner).status_code == 404


def test_as_csv_it_has_every_row_of_the_filter_and_no_formula(api, owner):
    do(api.put(f"/api/users/{owner.id}", owner, {"displayName": "=1+1"}))
    for n in range(3):
        make_task(api, owner, name=f"{n}")
    answer = api.get(AUDIT, owner, query_string={"objectType": "task", "limit": 1}, headers={"Accept": "text/csv"})
    assert answer.mimetype == "text/csv"
    lines = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))
    assert [line["action"] for line in lines] == ["task.created"] * 3
    assert {line["actor"] for line in lines} == {"'=1+1"}
    assert '"name":[null,"2"]' in lines[0]["changes"].replace(" ", "")
    assert list(lines[0]) == list(rows(api, owner)[0])
