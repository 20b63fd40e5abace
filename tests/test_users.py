"""Who sees whom, making people, and one's own profile."""

import pytest
from conftest import PASSWORD
from doors import log_in, refresh, refused, token_of

from idyll.ids import uuid7

pytestmark = pytest.mark.database

BRIEF = {"id", "displayName", "photoURL", "role"}


def people_of(api, by, **query):
    return {row["id"] for row in api.pages("/api/users", by, **query)}


def edit(api, by, whom, **changes):
    return api.put(f"/api/users/{whom.id}", by, changes)


def seen(api, by, whom):
    return api.get(f"/api/users/{whom.id}", by)


# -- who sees whom ---------------------------------------------------------------------------------------------------


def test_managers_see_everybody_with_everything(api, owner, moderator, editor, pending):
    for manager in (owner, moderator):
        rows = api.get("/api/users", manager).json["data"]
        assert [row["id"] for row in rows] == [pending.id, editor.id, moderator.id, owner.id]
        assert {row["email"] for row in rows} == {each.email for each in (owner, moderator, editor, pending)}
        assert seen(api, manager, pending).json == rows[0]


def test_editors_see_members_by_name_and_of_themselves_everything(api, owner, editor, other_editor, pending):
    rows = {row["id"]: row for row in api.get("/api/users", editor).json["data"]}
    assert rows.keys() == {owner.id, editor.id, other_editor.id}
    assert rows[owner.id] == {"id": owner.id, "displayName": owner.name, "photoURL": None, "role": "owner"}
    assert rows[other_editor.id].keys() == BRIEF
    assert rows[editor.id]["email"] == editor.email
    assert seen(api, editor, other_editor).json == rows[other_editor.id]
    assert seen(api, editor, editor).json == rows[editor.id]
    assert seen(api, editor, pending).status_code == 404
    assert api.get(f"/api/users/{uuid7()}", editor).status_code == 404
    assert api.get("/api/users/nonsense", owner).status_code == 404


def test_people_are_filtered_by_role_and_status(api, owner, moderator, editor, pending):
    assert people_of(api, owner, role="editor") == {editor.id, pending.id}
    assert people_of(api, owner, status="pending") == {pending.id}
    assert people_of(api, owner, role="moderator", status="approved") == {moderator.id}
    assert people_of(api, owner, role="moderator", status="pending") == set()
    assert people_of(api, editor, status="pending") == set()
    for query in ({"role": "boss"}, {"status": "gone"}, {"email": "x"}, {"limit": 0}, {"cursor": "x"}):
        answer = api.get("/api/users", owner, query_string=query)
        assert (answer.status_code, list(answer.json["errors"])) == (422, list(query))


@pytest.mark.parametrize("q", ["ash", "ASHA", "verma ash", "editor2", "editor2@exam", "EXAMPLE verma"])
def test_managers_search_by_the_beginnings_of_words_of_name_username_and_email(api, owner, people, q):
    asha = people.editor(name="Asha Verma")
    people.editor(name="Natasha Overma")
    assert people_of(api, owner, q=q) == {asha.id}


@pytest.mark.parametrize(("q", "found"), [("verm", True), ("asha v", True), ("editor1", False), ("example", False)])
def test_editors_search_by_the_displayed_name_alone(api, people, q, found):
    asha = people.editor(name="Asha Verma")
    other = people.editor(name="Ravi Nair")
    assert people_of(api, other, q=q) == ({asha.id} if found else set())
    assert people_of(api, asha, q=q) == ({asha.id} if found else set())


def test_a_search_follows_a_new_name_and_email(api, owner, editor):
    edit(api, owner, editor, displayName="Meera Rao", email="meera@films.example")
    assert edit(api, owner, editor, username="mrao").status_code == 200
    for q, found in (("meera", {editor.id}), ("films", {editor.id}), ("mrao", {editor.id}), ("asha", set())):
        assert people_of(api, owner, q=q) == found, q


def test_an_answer_says_whether_it_changed(api, owner, editor):
    tag = seen(api, owner, editor).headers["ETag"]
    assert seen(api, editor, editor).headers["ETag"] == tag
    assert api.get(f"/api/users/{editor.id}", owner, headers={"If-None-Match": tag}).status_code == 304
    assert edit(api, editor, editor, location="Pune").status_code == 200
    assert seen(api, owner, editor).headers["ETag"] != tag
    for method in (api.put, api.delete):
        answer = method(f"/api/users/{editor.id}", owner, {} if method == api.delete else {"location": "Goa"},
                        headers={"If-Match": tag})  # fmt: skip
        assert answer.status_code == 412
    assert seen(api, owner, editor).json["location"] == "Pune"


# -- making people ---------------------------------------------------------------------------------------------------


def test_a_manager_makes_a_member_who_sets_a_password_by_the_invite(api, moderator):
    made = api.post("/api/users", moderator, {"email": "New@Example.com", "displayName": " New Person "})
    assert made.status_code == 201
    assert (made.json["email"], made.json["displayName"]) == ("new@example.com", "New Person")
    assert (made.json["role"], made.json["status"], made.json["username"]) == ("editor", "approved", None)
    assert refused(log_in(api, "new@example.com", ""), "invalid_credentials")
    body = {"token": token_of(made.json["invite"]), "password": "four-new-minutes"}
    assert api.post("/api/auth/password/reset", json=body).status_code == 204
    assert log_in(api, "new@example.com", "four-new-minutes").status_code == 200


def test_with_a_password_there_is_no_invite(api, owner):
    new = {"email": "n@example.com", "displayName": "N", "username": "newcomer", "password": PASSWORD}
    made = api.post("/api/users", owner, new | {"role": "moderator"})
    assert (made.status_code, "invite" in made.json, made.json["role"]) == (201, False, "moderator")
    assert log_in(api, "newcomer").json["user"]["id"] == made.json["id"]


@pytest.mark.parametrize(
    ("fields", "status", "code", "named"),
    [
        ({"email": "EDITOR2@example.com"}, 409, "email_taken", ["email"]),
        ({"username": "Editor2"}, 409, "username_taken", ["username"]),
        ({"role": "moderator"}, 403, "forbidden", ["role"]),
        ({"role": "owner"}, 403, "forbidden", ["role"]),
        ({"role": "boss"}, 422, "invalid", ["role"]),
        ({"status": "approved"}, 422, "invalid", ["status"]),
        ({"id": "x"}, 422, "invalid", ["id"]),
        ({"passwordHash": "x"}, 422, "invalid", ["passwordHash"]),
        ({"displayName": " "}, 422, "invalid", ["displayName"]),
        ({"displayName": "x" * 101}, 422, "invalid", ["displayName"]),
        ({"displayName": "a\x07b"}, 422, "invalid", ["displayName"]),
        ({"email": None}, 422, "invalid", ["email"]),
    ],
    ids=str,
)
def test_what_a_moderator_may_not_make_is_named(api, moderator, editor, fields, status, code, named):
    new = {"email": "n@example.com", "displayName": "N", "username": "newcomer"}
    answer = api.post("/api/users", moderator, new | fields)
    assert (answer.status_code, answer.json["code"], list(answer.json["errors"])) == (status, code, named)
    assert people_of(api, moderator) == {moderator.id, editor.id}


def test_invites_are_the_managers_own_business(api, app, owner, moderator, editor, people):
    other_owner = people.owner()
    assert api.post(f"/api/users/{editor.id}/invite", moderator).status_code == 201
    assert api.post(f"/api/users/{moderator.id}/invite", owner).status_code == 201
    for by, whom in ((moderator, owner), (moderator, people.moderator()), (editor, editor), (editor, owner)):
        assert api.post(f"/api/users/{whom.id}/invite", by).status_code == 403
    assert api.post(f"/api/users/{other_owner.id}/invite", owner).status_code == 201
    assert api.post(f"/api/users/{uuid7()}/invite", owner).status_code == 404
    found = api.get("/api/audit", owner, query_string={"objectId": editor.id}).json["data"]
    assert [(row["action"], row["actor"]["id"]) for row in found] == [("user.invited", moderator.id)]


# -- one's own profile -----------------------------------------------------------------------------------------------

PROFILE = {
    "username": "Asha.V",
    "displayName": "Asha Verma",
    "photoURL": "https://example.com/a.jpg",
    "location": "Pune",
    "software": "Resolve",
    "portfolioLink": "https://example.com/asha",
    "contact": "+91 98",
    "theme": "light",
    "soundEnabled": False,
}


def test_people_edit_their_own_profile(api, editor, pending):
    for person, username in ((editor, "Asha.V"), (pending, "pia-p")):
        answer = edit(api, person, person, **PROFILE | {"username": username})
        assert answer.status_code == 200
        assert answer.json.items() >= (PROFILE | {"username": username}).items()
    assert log_in(api, "asha.v").status_code == 200


def test_only_what_is_sent_changes_and_empty_is_null(api, editor):
    edit(api, editor, editor, **PROFILE)
    answer = api.patch(f"/api/users/{editor.id}", editor, {"location": " ", "photoURL": "", "contact": None})
    cleared = {"location": None, "photoURL": None, "contact": None}
    assert answer.json.items() >= (PROFILE | cleared).items()


def test_a_form_may_send_back_a_username_that_nobody_chose(api, owner):
    made = api.post("/api/users", owner, {"email": "n@example.com", "displayName": "N"}).json
    for empty in ("", None):
        answer = api.put(f"/api/users/{made['id']}", owner, {"username": empty, "location": "Goa"})
        assert (answer.status_code, answer.json["username"]) == (200, None)


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "createdAt",
        "updatedAt",
        "approved",
        "passwordHash",
        "password_hash",
        "removedAt",
        "display_name",
        "nonsense",
    ],
)
def test_what_is_read_only_or_unknown_is_refused_and_nothing_is_done(api, editor, owner, field):
    for by in (editor, owner):
        answer = edit(api, by, editor, **{"location": "Goa", field: True})
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    assert seen(api, editor, editor).json["location"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("displayName", ""), ("displayName", None), ("displayName", 7), ("theme", "pink"), ("theme", None),
        ("soundEnabled", "yes"), ("soundEnabled", 1), ("photoURL", "javascript:alert(1)"), ("photoURL", "//x/y"),
        ("portfolioLink", "https://me:pw@example.com"), ("portfolioLink", "https://example.com/" + "x" * 2048),
        ("location", "x" * 201), ("contact", "a\nb"), ("username", "a"), ("email", "x"), ("status", "pending"),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_value_is_named(api, owner, editor, field, value):
    answer = edit(api, owner, editor, **{field: value})
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


@pytest.mark.parametrize("field", ["password", "email"])
@pytest.mark.parametrize("current", [None, "", "wrong-password"])
def test_password_and_email_need_the_current_password(api, editor, field, current):
    changes = {field: "new@example.com", "location": "Goa"} | ({} if current is None else {"currentPassword": current})
    answer = edit(api, editor, editor, **changes)
    assert (answer.status_code, answer.json["code"]) == (403, "current_password_wrong")
    assert list(answer.json["errors"]) == ["currentPassword"]
    assert log_in(api, editor.email).json["user"]["location"] is None


def test_a_new_email_is_the_log_in_from_then_on(api, editor, other_editor):
    answer = edit(api, editor, editor, email="New@Example.com", currentPassword=PASSWORD)
    assert (answer.status_code, answer.json["email"]) == (200, "new@example.com")
    assert log_in(api, "new@example.com").status_code == 200
    assert refused(log_in(api, editor.email), "invalid_credentials")
    taken = edit(api, editor, editor, email=other_editor.email.upper(), currentPassword=PASSWORD)
    assert (taken.status_code, taken.json["code"]) == (409, "email_taken")
    taken = edit(api, editor, editor, username=other_editor.username.upper())
    assert (taken.status_code, taken.json["code"]) == (409, "username_taken")


def test_a_new_password_ends_all_other_sessions(api, editor):
    elsewhere = log_in(api, editor.email).json
    assert edit(api, editor, editor, password="four-new-minutes", currentPassword=PASSWORD).status_code == 200
    assert api.get("/api/auth/me", editor).status_code == 200
    assert refresh(api, editor.refresh_token).status_code == 200
    assert refused(api.get("/api/auth/me", elsewhere["accessToken"]))
    assert refused(refresh(api, elsewhere["refreshToken"]))
    assert refused(log_in(api, editor.email), "invalid_credentials")
    assert log_in(api, editor.email, "four-new-minutes").status_code == 200
