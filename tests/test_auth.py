"""Log-in, sessions, and setting passwords."""

import pytest
from conftest import CHEAP_HASH, PASSWORD
from doors import later, log_in, refresh, refused, token_of
from sqlalchemy import select, update

from idyll.auth import passwords
from idyll.auth.models import PasswordToken, RefreshToken
from idyll.database import execute
from idyll.extensions import db
from idyll.ids import uuid7
from idyll.permissions import GENERAL
from idyll.transactions import transaction
from idyll.users.models import User

pytestmark = pytest.mark.database


# -- log-in ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["login", "email", "username"])
@pytest.mark.parametrize("name", ["editor1@example.com", "EDITOR1@Example.Com", "editor1", "Editor1", "  editor1 "])
def test_people_log_in_by_email_or_username_in_any_case(api, editor, field, name):
    answer = api.post("/api/auth/login", json={field: name, "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json["tokenType"] == "Bearer"
    assert answer.json["expiresIn"] == 900
    assert answer.json["user"] == api.get("/api/users/" + editor.id, answer.json["accessToken"]).json


def test_a_form_may_send_the_names_that_were_left_empty(api, editor):
    body = {"login": "", "email": None, "username": "editor1", "password": PASSWORD}
    assert api.post("/api/auth/login", json=body).status_code == 200
    answer = api.post("/api/auth/login", json={"login": " ", "password": PASSWORD})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["login"])


@pytest.fixture
def rejected(api, owner, people):
    someone = people.pending()
    assert api.put(f"/api/users/{someone.id}", owner, {"status": "rejected"}).status_code == 200
    return someone


def test_every_failed_log_in_is_refused_alike(api, app, owner, editor, rejected, people):
    api.post("/api/users", owner, {"email": "new@example.com", "displayName": "New"})
    gone = people.editor()
    api.delete(f"/api/users/{gone.id}", owner)
    names = [
        editor.username,
        rejected.email,
        gone.email,
        gone.username,
        "new@example.com",
        "nobody",
        "Former member",
        "%",
    ]
    answers = [log_in(api, name, "a wrong password") for name in names]
    answers.append(log_in(api, "new@example.com", ""))
    for answer in answers:
        assert refused(answer, "invalid_credentials")
    assert len({answer.json["detail"] for answer in answers}) == 1
    assert len({tuple(sorted(answer.json)) for answer in answers}) == 1


def test_every_name_costs_one_password_check_of_the_same_parameters(api, people, monkeypatch):
    known, without_password = people.editor(), people.editor()
    with api.app.app_context(), transaction():
        execute(update(User.__table__).where(User.id == without_password.id).values(password_hash=None))
    checked = []
    check = passwords.check_password_hash
    monkeypatch.setattr(
        passwords, "check_password_hash", lambda stored, word: checked.append(stored) or check(stored, word)
    )
    for name in (known.email, known.username, without_password.email, "nobody", "nobody@example.com"):
        log_in(api, name, "wrong")
    assert {stored.split("$")[0] for stored in checked} == {CHEAP_HASH}
    assert len(checked) == 5


def test_a_rejected_person_learns_it_only_with_the_right_password(api, rejected):
    answer = log_in(api, rejected.email)
    assert (answer.status_code, answer.json["code"]) == (403, "account_rejected")
    assert refused(log_in(api, rejected.email, "wrong"), "invalid_credentials")


def test_who_waits_for_approval_has_an_account_and_nothing_else(api, pending):
    mine = log_in(api, "editor1").json
    assert mine["user"]["status"] == "pending"
    assert mine["user"]["approved"] is False
    token = mine["accessToken"]
    assert api.get("/api/auth/me", token).status_code == 200
    assert api.get("/api/auth/sessions", token).status_code == 200
    assert api.put(f"/api/users/{pending.id}", token, {"displayName": "Pia"}).json["displayName"] == "Pia"
    assert refresh(api, mine["refreshToken"]).status_code == 200
    for path in ("/api/tasks", "/api/users", "/api/chat/rooms", "/api/notifications", "/api/events"):
        answer = api.get(path, token)
        assert (answer.status_code, answer.json["code"]) == (403, "account_pending"), path
    answer = api.put(f"/api/users/{uuid7()}", token, {"displayName": "X"})
    assert (answer.status_code, answer.json["code"]) == (403, "account_pending")
    assert api.post("/api/auth/logout", token).status_code == 204
    assert refused(api.get("/api/auth/me", token))


def test_approval_holds_at_once_and_ends_nothing(api, owner, pending):
    assert api.put(f"/api/users/{pending.id}", owner, {"status": "approved"}).status_code == 200
    assert api.get("/api/tasks", pending).status_code == 200


def test_rejection_ends_the_persons_sessions(api, owner, pending):
    assert api.put(f"/api/users/{pending.id}", owner, {"status": "rejected"}).status_code == 200
    assert refused(api.get("/api/auth/me", pending))
    assert refused(refresh(api, pending.refresh_token))


def test_me_says_what_is_unread_and_what_one_may_do(api, owner, editor):
    api.post("/api/notifications", owner, {"title": "Closed", "message": "On Friday.", "to": editor.id})
    mine = api.get("/api/auth/me", editor).json
    assert mine["unreadNotifications"] == 1
    assert mine["id"] == editor.id
    assert mine["can"].keys() == GENERAL.keys()
    assert mine["can"]["chat"] is True
    assert mine["can"]["createTasks"] is False
    assert all(api.get("/api/auth/me", owner).json["can"].values())


# -- sessions --------------------------------------------------------------------------------------------------------


def test_a_log_out_ends_its_own_session_alone(api, editor):
    other = log_in(api, "editor1").json
    assert api.post("/api/auth/logout", editor).status_code == 204
    assert refused(api.get("/api/auth/me", editor))
    assert refused(refresh(api, editor.refresh_token))
    assert refused(api.post("/api/auth/logout", editor))
    assert api.get("/api/auth/me", other["accessToken"]).status_code == 200


def test_people_see_where_they_are_logged_in_and_nobody_elses(api, editor, owner):
    api.client.post(
        "/api/auth/login",
        json={"login": "editor1", "password": PASSWORD},
        headers={"User-Agent": "Phone\x7f 7"},
        environ_base={"REMOTE_ADDR": "203.0.113.7"},
    )
    newest, first = api.get("/api/auth/sessions", editor).json["data"]
    assert (newest["device"], newest["address"], newest["current"]) == ("Phone 7", "203.0.113.7", False)
    assert (first["device"], first["address"], first["current"]) == ("pytest", "192.0.2.1", True)
    assert [row["id"] for row in api.pages("/api/auth/sessions", editor, limit=1)] == [newest["id"], first["id"]]
    assert [row["current"] for row in api.get("/api/auth/sessions", owner).json["data"]] == [True]


def test_one_ends_a_session_of_ones_own_and_not_anothers(api, editor, other_editor):
    phone = log_in(api, "editor1").json
    here, there = api.get("/api/auth/sessions", editor).json["data"][::-1]
    assert api.delete(f"/api/auth/sessions/{there['id']}", other_editor).status_code == 404
    assert api.get("/api/auth/me", phone["accessToken"]).status_code == 200
    assert api.delete(f"/api/auth/sessions/{there['id']}", editor).status_code == 204
    assert refused(api.get("/api/auth/me", phone["accessToken"]))
    assert refused(refresh(api, phone["refreshToken"]))
    assert api.delete(f"/api/auth/sessions/{there['id']}", editor).status_code == 404
    assert api.delete("/api/auth/sessions/nonsense", editor).status_code == 404
    assert [row["id"] for row in api.get("/api/auth/sessions", editor).json["data"]] == [here["id"]]


def test_log_ins_and_their_ends_stand_in_the_audit_log(api, owner, editor):
    api.post("/api/auth/logout", editor)
    found = api.get("/api/audit", owner, query_string={"objectType": "session", "actorId": editor.id}).json["data"]
    assert [row["action"] for row in found] == ["session.ended", "session.created"]


# -- passwords -------------------------------------------------------------------------------------------------------


def test_a_forgotten_password_is_answered_alike_whoever_asks(api, owner, editor, rejected):
    answers = [
        api.post("/api/auth/password/forgot", json={"email": email})
        for email in ("nobody@example.com", editor.email, editor.email.upper(), owner.email, rejected.email)
    ]
    assert {(answer.status_code, answer.get_data()) for answer in answers} == {(202, b'{"status":"accepted"}')}
    assert api.post("/api/auth/password/forgot", json={"email": "nobody"}).status_code == 422


def test_a_forgotten_password_is_told_once_to_those_who_may_invite(api, owner, moderator, editor):
    def told(person):
        found = api.get("/api/notifications", person).json["data"]
        return [row["entityId"] for row in found if "password" in row["title"]]

    for _ in range(3):
        api.post("/api/auth/password/forgot", json={"email": editor.email})
    assert (told(owner), told(moderator), told(editor)) == ([editor.id], [editor.id], [])
    api.post("/api/auth/password/forgot", json={"email": moderator.email})
    assert (told(owner), told(moderator)) == ([moderator.id, editor.id], [editor.id])


def test_a_link_sets_the_password_once_and_ends_all_sessions(api, owner, editor):
    invite = api.post(f"/api/users/{editor.id}/invite", owner).json["invite"]
    assert invite["url"].startswith("http://localhost:5173/set-password?token=")
    body = {"token": token_of(invite), "password": " a new one  with blanks "}
    assert api.post("/api/auth/password/reset", json=body | {"password": "password"}).status_code == 422
    assert api.post("/api/auth/password/reset", json=body).status_code == 204
    assert refused(api.post("/api/auth/password/reset", json=body | {"password": "yet another one"}))
    assert refused(api.get("/api/auth/me", editor))
    assert refused(refresh(api, editor.refresh_token))
    assert refused(log_in(api, "editor2"), "invalid_credentials")
    assert log_in(api, "editor2", " a new one  with blanks ").status_code == 200
    assert refused(log_in(api, "editor2", "a new one  with blanks"), "invalid_credentials")


@pytest.mark.parametrize("token", ["x", "x" * 1024, "é"])
def test_a_made_up_link_is_refused(api, app, token):
    assert refused(api.post("/api/auth/password/reset", json={"token": token, "password": "four-new-minutes"}))


def test_a_fresh_link_ends_the_one_before_and_a_week_ends_any(api, owner, editor):
    first, second = (token_of(api.post(f"/api/users/{editor.id}/invite", owner).json["invite"]) for _ in range(2))
    assert refused(api.post("/api/auth/password/reset", json={"token": first, "password": "four-new-minutes"}))
    with later(7 * 86_400):
        assert refused(api.post("/api/auth/password/reset", json={"token": second, "password": "four-new-minutes"}))
    assert (
        api.post("/api/auth/password/reset", json={"token": second, "password": "four-new-minutes"}).status_code == 204
    )


def test_secrets_are_stored_as_hashes_alone(api, app, owner, editor):
    token = token_of(api.post(f"/api/users/{editor.id}/invite", owner).json["invite"])
    with app.app_context():
        stored = [
            *db.session.scalars(select(PasswordToken.digest)),
            *db.session.scalars(select(RefreshToken.digest)),
            *db.session.scalars(select(User.password_hash)),
        ]
    assert len(stored) == 5
    assert not {token, editor.refresh_token, owner.refresh_token, PASSWORD} & set(stored)


SHORT, LONG = "7-chars", "x" * 129


@pytest.mark.parametrize("password", [SHORT, LONG, "password", "PassWord", "12345678", "", None, 12345678])
def test_a_poor_password_is_refused_wherever_it_is_set(api, owner, editor, password):
    token = token_of(api.post(f"/api/users/{editor.id}/invite", owner).json["invite"])
    new = {"email": "n@example.com", "username": "newcomer"}
    answers = [
        api.post("/api/auth/register", json=new | {"password": password}),
        api.post("/api/auth/password/reset", json={"token": token, "password": password}),
        api.put(f"/api/users/{editor.id}", editor, {"password": password, "currentPassword": PASSWORD}),
    ]
    if password:  # without one the answer has an invite
        answers.append(
            api.post("/api/users", owner, {"email": "n@example.com", "displayName": "N", "password": password})
        )
    for answer in answers:
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["password"])
    assert log_in(api, "editor2").status_code == 200


@pytest.mark.parametrize("password", [" leading and trailing ", "\t\x00tab and nul\n", "пароль-🎬-длинный", "x" * 128])
def test_a_password_is_any_characters_and_never_trimmed(api, app, password):
    new = {"email": "n@example.com", "username": "newcomer", "password": password}
    assert api.post("/api/auth/register", json=new).status_code == 201
    assert log_in(api, "newcomer", password).status_code == 200
    assert refused(log_in(api, "newcomer", password.strip() + "."), "invalid_credentials")
    if password.strip() != password:
        assert refused(log_in(api, "newcomer", password.strip()), "invalid_credentials")
