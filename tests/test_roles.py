"""Who changes what of whom, roles, and the last owner."""

import threading
from contextlib import contextmanager

import pytest
from conftest import DATABASE, PASSWORD, Api
from doors import log_in, refresh, refused
from sqlalchemy import event, select

from idyll.database import execute
from idyll.extensions import db
from idyll.transactions import transaction
from idyll.users.models import User
from idyll.users.roles import Role

pytestmark = pytest.mark.database


def edit(api, by, whom, **changes):
    return api.put(f"/api/users/{whom.id}", by, changes)


def seen(api, by, whom):
    return api.get(f"/api/users/{whom.id}", by)


# -- others ----------------------------------------------------------------------------------------------------------


def test_moderators_manage_editors_alone_and_the_owner_everybody(api, owner, moderator, editor, other_editor, people):
    another = people.moderator()
    cases = [
        (owner, moderator, 200), (owner, editor, 200), (owner, people.owner(), 200),
        (moderator, editor, 200), (moderator, another, 403), (moderator, owner, 403),
        (editor, other_editor, 403), (editor, owner, 403),
    ]  # fmt: skip
    for by, whom, status in cases:
        assert edit(api, by, whom, location="Goa").status_code == status, (by.role, whom.role)
        assert seen(api, owner, whom).json["location"] == ("Goa" if status == 200 else None)


@pytest.mark.parametrize("field", ["password", "currentPassword"])
def test_nobody_sets_anothers_password(api, owner, editor, field):
    answer = edit(api, owner, editor, **{field: "four-new-minutes", "location": "Goa"})
    assert (answer.status_code, list(answer.json["errors"])) == (403, [field])
    assert log_in(api, editor.email).json["user"]["location"] is None


def test_a_manager_corrects_an_email_without_a_password(api, moderator, editor):
    assert edit(api, moderator, editor, email="right@example.com").status_code == 200
    assert log_in(api, "right@example.com").status_code == 200


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("field", ["role", "status"])
def test_nobody_changes_their_own_role_or_status(api, people, role, field):
    person = people(role)
    value = "owner" if field == "role" else "approved"
    answer = edit(api, person, person, **{field: value, "location": "Goa"})
    assert (answer.status_code, list(answer.json["errors"])) == (403, [field])
    assert seen(api, person, person).json.items() >= {"role": role.value, "location": None}.items()


@pytest.mark.parametrize("role", ["moderator", "owner"])
def test_only_the_owner_makes_managers(api, owner, moderator, editor, role):
    answer = edit(api, moderator, editor, role=role, location="Goa")
    assert (answer.status_code, list(answer.json["errors"])) == (403, ["role"])
    assert seen(api, owner, editor).json.items() >= {"role": "editor", "location": None}.items()
    assert edit(api, moderator, editor, role="editor").status_code == 200
    assert edit(api, owner, editor, role=role).json["role"] == role
    assert api.get("/api/audit", editor).status_code == 200
    [news] = api.get("/api/notifications", editor).json["data"]
    assert (news["type"], news["entityId"]) == ("user", editor.id)


def test_a_demotion_ends_the_persons_sessions_and_a_promotion_none(api, owner, moderator, editor):
    assert edit(api, owner, editor, role="moderator").status_code == 200
    assert api.get("/api/auth/me", editor).json["role"] == "moderator"
    assert edit(api, owner, moderator, role="editor").status_code == 200
    assert refused(api.get("/api/auth/me", moderator))
    assert refused(refresh(api, moderator.refresh_token))
    token = log_in(api, moderator.email).json["accessToken"]
    assert api.get("/api/audit", token).status_code == 403


def test_a_change_is_audited_without_its_personal_values_and_told_to_those_concerned(api, owner, editor, other_editor):
    edit(api, owner, editor, displayName="Secret Name", role="moderator", theme="light", contact="secret")
    row = api.get("/api/audit", owner, query_string={"objectId": editor.id}).json["data"][0]
    assert (row["action"], row["actor"]["id"]) == ("user.updated", owner.id)
    left_out = [None, None]
    given = {"role": ["editor", "moderator"], "theme": ["dark", "light"]}
    assert row["changes"] == {"displayName": left_out, "contact": left_out, **given}
    with event_log(api, owner, editor, other_editor) as told:
        edit(api, owner, editor, location="Pune")
        edit(api, owner, editor, location="Pune")
    assert [len(told[person.id]) for person in (owner, editor, other_editor)] == [1, 1, 0]
    [update] = told[editor.id]
    assert (update["event"], update["data"]["userId"]) == ("user_updated", editor.id)
    assert update["data"]["updates"].keys() == {"location", "updatedAt"}


@contextmanager
def event_log(api, *people):
    """What each of them is told of inside of the block."""
    begun = {person.id: api.get("/api/events", person).json["lastEventId"] for person in people}
    told = {}
    yield told
    for person in people:
        told[person.id] = api.get("/api/events", person, query_string={"since": begun[person.id]}).json["events"]


# -- the last owner --------------------------------------------------------------------------------------------------


def test_the_last_owner_stays(api, owner, moderator, people):
    other = people.owner()
    assert edit(api, owner, other, role="moderator").status_code == 200
    answer = api.delete(f"/api/users/{owner.id}", owner, {"currentPassword": PASSWORD})
    assert (answer.status_code, answer.json["code"]) == (409, "last_owner")
    for by in (moderator, people.editor()):
        assert api.delete(f"/api/users/{owner.id}", by).status_code == 403
        assert edit(api, by, owner, role="editor").status_code == 403
    assert seen(api, owner, owner).json["role"] == "owner"


@pytest.mark.parametrize("how", ["demote", "remove"])
def test_of_two_owners_who_turn_on_each_other_one_is_left(api, app, people, how):
    """Both are signed in before either acts: the test holds what they wait for until they are."""
    pair = [people.owner(), people.owner()]
    answers = []
    signed_in = threading.Semaphore(0)

    def act(by, whom):
        path = f"/api/users/{whom.id}"
        client = Api(app)
        answers.append(client.put(path, by, {"role": "editor"}) if how == "demote" else client.delete(path, by))

    def reading_done(*_):
        signed_in.release()

    threads = [threading.Thread(target=act, args=order) for order in (pair, pair[::-1])]
    with app.app_context():
        with transaction():
            execute(select(User.id).order_by(User.id).with_for_update())
            # A request gives back the connection that it read its person through before it begins to write.
            event.listen(db.engine, "checkin", reading_done)
            for thread in threads:
                thread.start()
            both = [signed_in.acquire(timeout=5) for _ in threads]
        for thread in threads:
            thread.join(10)
        event.remove(db.engine, "checkin", reading_done)
    assert both == [True, True]
    done, refusal = sorted(answers, key=lambda answer: answer.status_code)
    assert done.status_code in (200, 204)
    # SQLite lets nobody begin before the other one is done: who comes second then has no session any more.
    expected = (401, "invalid_token") if DATABASE == "sqlite" else (409, "last_owner")
    assert (refusal.status_code, refusal.json["code"]) == expected
    with app.app_context():
        owners = db.session.scalars(select(User.id).where(User.role == Role.OWNER, User.there())).all()
    assert len(owners) == 1
