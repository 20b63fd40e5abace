"""Making one's own account, which waits for approval."""

import pytest
from conftest import PASSWORD
from doors import refresh
from sqlalchemy import func, select

from idyll.extensions import db
from idyll.users.models import User

pytestmark = pytest.mark.database

NEW = {"email": "Asha@Example.com", "username": "Asha.V", "password": PASSWORD}


def test_a_registration_makes_a_pending_account_that_is_signed_in(api, app):
    answer = api.post("/api/auth/register", json=NEW)
    assert answer.status_code == 201
    user = answer.json["user"]
    assert (user["email"], user["username"], user["displayName"]) == ("asha@example.com", "Asha.V", "Asha.V")
    assert (user["role"], user["status"]) == ("editor", "pending")
    assert api.get("/api/auth/me", answer.json["accessToken"]).json["id"] == user["id"]
    assert refresh(api, answer.json["refreshToken"]).status_code == 200


def test_a_registration_files_its_application_and_tells_the_managers(api, owner, moderator, editor):
    user = api.post("/api/auth/register", json=NEW | {"displayName": "Asha Verma"}).json["user"]
    [filed] = api.get("/api/applications", owner).json["data"]
    assert (filed["source"], filed["status"], filed["userId"]) == ("registration", "pending", user["id"])
    assert (filed["fullName"], filed["email"]) == ("Asha Verma", "asha@example.com")
    assert (filed["accountExists"], filed["accountCreatedAt"]) == (True, user["createdAt"])
    for manager in (owner, moderator):
        [news] = api.get("/api/notifications", manager).json["data"]
        assert (news["urgent"], news["entityType"], news["entityId"]) == (True, "application", filed["id"])
    assert api.get("/api/notifications", editor).json["data"] == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"email": "ASHA@example.COM", "username": "other"}, "email_taken"),
        ({"email": "\uff41sha@example.com", "username": "other"}, "email_taken"),
        ({"email": "other@example.com", "username": "aSHA.v"}, "username_taken"),
    ],
)
def test_a_taken_email_or_username_is_named(api, app, changed, code):
    assert api.post("/api/auth/register", json=NEW).status_code == 201
    answer = api.post("/api/auth/register", json=NEW | changed)
    assert (answer.status_code, answer.json["code"]) == (409, code)
    assert list(answer.json["errors"]) == [code.removesuffix("_taken")]
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_what_is_taken_is_told_by_the_column_and_not_by_the_value(api, app):
    first = {"email": "username@example.com", "username": "uq_users_email", "password": PASSWORD}
    assert api.post("/api/auth/register", json=first).status_code == 201
    same_email = api.post("/api/auth/register", json=first | {"username": "other"})
    same_username = api.post("/api/auth/register", json=first | {"email": "other@example.com"})
    assert (same_email.json["code"], same_username.json["code"]) == ("email_taken", "username_taken")


@pytest.mark.parametrize(
    "field",
    ["role", "status", "approved", "id", "userId", "createdAt", "passwordHash", "password_hash", "display_name"],
)
def test_nobody_registers_as_more_than_a_pending_editor(api, app, field):
    answer = api.post("/api/auth/register", json=NEW | {field: "owner"})
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.parametrize(
    "username", ["ab", "x" * 33, "a@b.c", "All Team", ".dot", "-x-", "_me", "müller", "a b", "", None]
)
def test_a_username_is_never_an_email_nor_a_phrase(api, app, username):
    answer = api.post("/api/auth/register", json=NEW | {"username": username})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["username"])


@pytest.mark.parametrize(
    "email", ["asha", "a@b", "a b@example.com", "@example.com", "a@-x.com", "a\x00@example.com", "", None]
)
def test_an_email_is_an_email(api, app, email):
    answer = api.post("/api/auth/register", json=NEW | {"email": email})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["email"])
