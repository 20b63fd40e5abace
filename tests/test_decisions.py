"""Deciding on a person: once for all doors, safe to repeat, told to whom it concerns."""

import pytest
from applicants import FORM, apply, approve, listed, register, reject, shown, traces
from conftest import PASSWORD
from doors import log_in, refused, token_of

pytestmark = pytest.mark.database


# -- approving -------------------------------------------------------------------------------------------------------


def test_approving_a_stranger_makes_a_member_with_an_invite(api, moderator):
    filed = apply(api)
    answer = approve(api, moderator, filed)
    assert answer.status_code == 200
    assert answer.json.items() >= {"status": "approved", "decidedBy": moderator.id, "accountExists": True}.items()
    user = api.get(f"/api/users/{answer.json['userId']}", moderator).json
    given = {name: FORM[name] for name in ("email", "contact", "location", "software", "portfolioLink")}
    assert user.items() >= (given | {"displayName": "Ravi Nair", "role": "editor", "status": "approved"}).items()
    body = {"token": token_of(answer.json["invite"]), "password": "four-new-minutes"}
    assert api.post("/api/auth/password/reset", json=body).status_code == 204
    token = log_in(api, FORM["email"], "four-new-minutes").json["accessToken"]
    assert api.get("/api/tasks", token).status_code == 200
    [news] = api.get("/api/notifications", token).json["data"]
    assert (news["entityType"], news["entityId"]) == ("application", filed["id"])


def test_approving_who_registered_lets_the_same_account_in(api, owner):
    account = register(api)
    [filed] = listed(api, owner)
    answer = approve(api, owner, filed)
    assert (answer.status_code, "invite" in answer.json) == (200, False)
    assert answer.json["userId"] == account["user"]["id"]
    assert api.get("/api/auth/me", account["accessToken"]).json["status"] == "approved"
    assert len(api.get("/api/users", owner).json["data"]) == 2


def test_approving_a_members_email_changes_nothing_of_the_member(api, owner, moderator):
    filed = apply(api, email=moderator.email)
    before = api.get(f"/api/users/{moderator.id}", owner).json
    answer = approve(api, owner, filed)
    assert (answer.status_code, answer.json["userId"], "invite" in answer.json) == (200, moderator.id, False)
    assert api.get(f"/api/users/{moderator.id}", owner).json == before


@pytest.mark.parametrize(("decide", "status"), [(approve, "approved"), (reject, "rejected")])
def test_one_decision_closes_every_door_of_an_email(api, owner, decide, status):
    forms = [apply(api), apply(api, fullName="R. Nair")]
    account = register(api)["user"]
    another = apply(api, email="another@example.com")
    assert decide(api, owner, forms[1]).status_code == 200
    decided = listed(api, owner, status=status)
    assert [row["email"] for row in decided] == [FORM["email"]] * 3
    assert {(row["userId"], row["decidedBy"]) for row in decided} == {(account["id"], owner.id)}
    assert [row["id"] for row in listed(api, owner, status="pending")] == [another["id"]]
    for form in forms:
        progress = api.get(f"/api/applications/status/{form['statusToken']}").json
        assert (progress["status"], progress["decidedAt"] is not None) == (status, True)


def test_a_repeated_decision_changes_nothing(api, app, owner, moderator):
    filed, sibling = apply(api), apply(api)
    refusal = apply(api, email="other@example.com")
    done = [approve(api, owner, filed).json, reject(api, owner, refusal, reason="No.").json]
    before = traces(app)
    for by in (owner, moderator):
        again = [approve(api, by, filed), approve(api, by, sibling), reject(api, by, refusal, reason="Never.")]
        assert [answer.status_code for answer in again] == [200, 200, 200]
        assert again[0].json == {name: value for name, value in done[0].items() if name != "invite"}
        assert again[2].json == done[1]
    assert traces(app) == before


def test_a_decision_leaves_one_audit_row_an_application_one_notification_and_one_event(api, app, owner, moderator):
    register(api)
    apply(api)
    rows = listed(api, owner)
    since = api.get("/api/events", moderator).json["lastEventId"]
    approve(api, moderator, rows[0])
    audit = api.get("/api/audit", owner, query_string={"objectType": "application", "actorId": moderator.id}).json[
        "data"
    ]
    assert {(row["action"], row["objectId"]) for row in audit} == {("application.approved", row["id"]) for row in rows}
    assert len(audit) == 2
    events = api.get("/api/events", moderator, query_string={"since": since}).json["events"]
    told = [(event["event"], event["data"].get("applicationId")) for event in events]
    assert sorted(told, key=str) == sorted(
        [("user_updated", None), *(("application_updated", row["id"]) for row in rows)], key=str
    )
    [news] = api.get("/api/notifications", log_in(api, "ravi").json["accessToken"]).json["data"]
    assert news["title"] == "You are approved"


def test_an_account_is_decided_on_as_its_application_is(api, app, owner, moderator):
    account = register(api)["user"]
    form = apply(api)
    answer = api.put(f"/api/users/{account['id']}", moderator, {"status": "approved"})
    assert (answer.status_code, answer.json["approved"]) == (200, True)
    assert {row["status"] for row in listed(api, owner)} == {"approved"}
    assert shown(api, owner, form).items() >= {"decidedBy": moderator.id, "userId": account["id"]}.items()
    before = traces(app)
    assert api.put(f"/api/users/{account['id']}", owner, {"status": "approved"}).status_code == 200
    assert traces(app) == before
    refusal = api.put(f"/api/users/{account['id']}", owner, {"status": "rejected"})
    assert (refusal.status_code, refusal.json["current"]) == (409, "approved")


def test_an_applicant_who_changes_the_email_is_still_one_person(api, owner):
    account = register(api)
    answer = api.put(
        f"/api/users/{account['user']['id']}", account["accessToken"],
        {"email": "new@example.com", "currentPassword": PASSWORD},
    )  # fmt: skip
    assert answer.status_code == 200
    [filed] = listed(api, owner, q="new")
    approved = approve(api, owner, filed).json
    assert (approved["userId"], approved["email"], "invite" in approved) == (
        answer.json["id"],
        "new@example.com",
        False,
    )
    assert api.get("/api/auth/me", account["accessToken"]).json["status"] == "approved"


# -- rejecting -------------------------------------------------------------------------------------------------------


def test_a_rejection_shuts_the_account_and_may_be_taken_back(api, moderator):
    account = register(api)
    [filed] = listed(api, moderator)
    answer = reject(api, moderator, filed, reason=" Too few films. ")
    assert answer.json.items() >= {"status": "rejected", "reason": "Too few films.", "decidedBy": moderator.id}.items()
    assert refused(api.get("/api/auth/me", account["accessToken"]))
    assert log_in(api, "ravi").json["code"] == "account_rejected"
    answer = approve(api, moderator, filed)
    assert answer.json.items() >= {"status": "approved", "reason": None, "userId": account["user"]["id"]}.items()
    assert log_in(api, "ravi").json["user"]["status"] == "approved"


@pytest.mark.parametrize("body", [{}, {"reason": None}, {"reason": " "}])
def test_a_reason_is_optional(api, owner, body):
    assert reject(api, owner, apply(api), **body).json["reason"] is None


def test_a_reason_is_bounded_and_alone(api, owner):
    filed = apply(api)
    for body in ({"reason": "x" * 1001}, {"reason": 7}):
        assert list(reject(api, owner, filed, **body).json["errors"]) == ["reason"]
    assert list(reject(api, owner, filed, status="rejected").json["errors"]) == ["status"]
    assert shown(api, owner, filed)["status"] == "pending"


def test_an_approved_application_cannot_be_rejected(api, app, owner):
    filed = apply(api)
    approve(api, owner, filed)
    before = traces(app)
    answer = reject(api, owner, filed)
    assert (answer.status_code, answer.json["current"]) == (409, "approved")
    assert traces(app) == before


def test_no_decision_lowers_a_member(api, owner, moderator, editor):
    for member in (editor, moderator):
        filed = apply(api, email=member.email)
        answer = reject(api, owner, filed)
        assert (answer.status_code, answer.json["status"]) == (200, "rejected")
        assert api.get("/api/auth/me", member).json.items() >= {"status": "approved", "role": member.role}.items()


def test_a_waiting_manager_is_the_owners_to_decide_on(api, owner, moderator):
    account = register(api)["user"]
    assert api.put(f"/api/users/{account['id']}", owner, {"role": "moderator"}).status_code == 200
    [filed] = listed(api, owner)
    assert approve(api, moderator, filed).status_code == reject(api, moderator, filed).status_code == 403
    assert shown(api, owner, filed)["status"] == "pending"
    assert approve(api, owner, filed).status_code == 200


def test_a_decision_on_what_changed_meanwhile_is_refused(api, owner):
    filed = apply(api)
    path = f"/api/applications/{filed['id']}"
    tag = api.get(path, owner).headers["ETag"]
    register(api)
    for decision in ("approve", "reject"):
        assert api.put(f"{path}/{decision}", owner, headers={"If-Match": tag}).status_code == 412
    tag = api.get(path, owner).headers["ETag"]
    assert api.put(f"{path}/approve", owner, headers={"If-Match": tag}).status_code == 200
