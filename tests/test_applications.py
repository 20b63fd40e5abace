"""Applying, and what managers see of it."""

import pytest
from applicants import FORM, apply, listed, reject, shown

from idyll.ids import uuid7

pytestmark = pytest.mark.database


# -- applying --------------------------------------------------------------------------------------------------------


def test_anybody_applies_without_a_log_in(api, app):
    filed = apply(api, email=" Ravi@Example.COM ", fullName=" Ravi Nair ")
    assert filed.keys() == {*FORM, "id", "status", "source", "appliedAt", "statusToken"}
    assert filed.items() >= (FORM | {"status": "pending", "source": "form"}).items()


def test_a_name_and_an_email_are_enough(api, app):
    filed = api.post("/api/applications", json={"fullName": "A", "email": "a@example.com", "message": " "})
    assert (filed.status_code, filed.json["message"], filed.json["role"]) == (201, None, None)


def test_the_answer_is_the_same_whether_or_not_an_account_exists(api, editor, pending):
    answers = [apply(api, email=email) for email in ("nobody@example.com", editor.email, pending.email)]
    varying = {"id", "email", "appliedAt", "statusToken"}
    assert len({tuple(sorted(answer)) for answer in answers}) == 1
    assert len({str({k: v for k, v in answer.items() if k not in varying}) for answer in answers}) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fullName", " "), ("fullName", None), ("fullName", "x" * 101), ("email", "ravi"), ("email", ""),
        ("portfolioLink", "ftp://example.com"), ("message", "x" * 5001), ("message", "nul\x00"), ("contact", "a\nb"),
        ("status", "approved"), ("source", "registration"), ("userId", "x"), ("decidedBy", "x"), ("id", "x"),
        ("statusToken", "mine"), ("appliedAt", "2020-01-01T00:00:00Z"),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_or_foreign_field_is_named_and_nothing_is_filed(api, owner, field, value):
    answer = api.post("/api/applications", json=FORM | {field: value})
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    assert listed(api, owner) == []


def test_an_application_is_told_to_the_managers_urgently(api, owner, moderator, editor):
    since = api.get("/api/events", moderator).json["lastEventId"]
    filed = apply(api)
    for manager in (owner, moderator):
        [news] = api.get("/api/notifications", manager).json["data"]
        assert (news["urgent"], news["entityType"], news["entityId"]) == (True, "application", filed["id"])
        assert "Ravi" not in news["title"] + news["message"]
    assert api.get("/api/notifications", editor).json["data"] == []
    events = api.get("/api/events", moderator, query_string={"since": since}).json["events"]
    assert sorted(event["event"] for event in events) == ["application_created", "new_notification"]
    created = next(event for event in events if event["event"] == "application_created")
    assert created["data"]["application"] == shown(api, owner, filed)


def test_the_applicant_asks_how_it_goes_by_the_token(api, owner):
    filed = apply(api)
    path = f"/api/applications/status/{filed['statusToken']}"
    waiting = {"status": "pending", "appliedAt": filed["appliedAt"], "decidedAt": None, "reason": None}
    assert api.get(path).json == waiting
    reject(api, owner, filed, reason="Too few films.")
    found = api.get(path).json
    assert found == waiting | {"status": "rejected", "reason": "Too few films.", "decidedAt": found["decidedAt"]}
    assert found["decidedAt"] is not None
    for wrong in ("nonsense", filed["id"], filed["statusToken"] + "x", filed["statusToken"].swapcase(), "%00", "é"):
        assert api.get(f"/api/applications/status/{wrong}").status_code == 404


# -- what managers see -----------------------------------------------------------------------------------------------


def test_applications_are_for_managers_alone(api, moderator, editor, pending):
    filed = apply(api)
    path = f"/api/applications/{filed['id']}"
    for by, status in ((None, 401), (pending, 403), (editor, 403)):
        for method, address in (
            ("GET", "/api/applications"), ("GET", path), ("DELETE", path),
            ("PUT", f"{path}/approve"), ("PUT", f"{path}/reject"), ("PUT", f"/api/applications/{uuid7()}/approve"),
        ):  # fmt: skip
            assert api(method, address, by).status_code == status
    assert shown(api, moderator, filed)["status"] == "pending"
    assert api.put(f"/api/applications/{uuid7()}/approve", moderator).status_code == 404
    assert api.put("/api/applications/nonsense/reject", moderator).status_code == 404


def test_managers_see_whether_and_since_when_an_account_holds_the_email(api, owner, editor):
    by_stranger, by_member = apply(api), apply(api, email=editor.email)
    assert listed(api, owner) == [shown(api, owner, by_member), shown(api, owner, by_stranger)]
    member = api.get(f"/api/users/{editor.id}", owner).json
    wanted = {"accountExists": True, "accountCreatedAt": member["createdAt"], "userId": None}
    assert shown(api, owner, by_member).items() >= wanted.items()
    wanted = {"accountExists": False, "accountCreatedAt": None, "decidedBy": None, "decidedAt": None, "reason": None}
    assert shown(api, owner, by_stranger).items() >= wanted.items()


def test_applications_are_filtered_and_searched(api, owner):
    ravi, asha = apply(api), apply(api, fullName="Asha Verma", email="asha@films.example")
    reject(api, owner, asha)

    def found(**query):
        return [row["id"] for row in listed(api, owner, **query)]

    assert found() == found(limit=1) == [asha["id"], ravi["id"]]
    assert found(status="pending") == [ravi["id"]]
    assert found(q="VER ash") == found(q="films") == found(status="rejected", q="asha") == [asha["id"]]
    assert found(q="shav") == found(q="wedding") == found(status="approved") == []
    for query in ({"status": "gone"}, {"email": "x"}, {"limit": 101}, {"cursor": "x"}):
        answer = api.get("/api/applications", owner, query_string=query)
        assert (answer.status_code, list(answer.json["errors"])) == (422, list(query))


def test_a_manager_deletes_an_application_for_good(api, moderator):
    filed = apply(api)
    path = f"/api/applications/{filed['id']}"
    stale = api.delete(path, moderator, headers={"If-Match": '"old"'})
    assert stale.status_code == 412
    assert api.delete(path, moderator).status_code == 204
    assert api.get(path, moderator).status_code == api.delete(path, moderator).status_code == 404
    assert api.get(f"/api/applications/status/{filed['statusToken']}").status_code == 404
    found = api.get("/api/audit", moderator, query_string={"objectId": filed["id"]}).json["data"]
    assert [row["action"] for row in found] == ["application.deleted", "application.filed"]
