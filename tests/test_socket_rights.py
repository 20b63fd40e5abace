"""Rights as they are now: who loses them falls silent and is shown out, who gains them stays and hears more."""

import time
from datetime import UTC, datetime

import pytest
from conftest import PASSWORD
from doors import token_of
from frames import Polls, WebSocket
from sqlalchemy import update
from talk import SOON, join, made, refused, say, stays, until

from idyll.auth.models import RefreshToken, Session
from idyll.extensions import db
from idyll.users.models import User

NEW_PASSWORD = "another-four-minutes"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
BOTH = pytest.mark.parametrize("transport", ["websocket", "polling"])


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def change_row(live, statement):
    """As somebody at the database would, without a word to the application."""
    with live.inside.app_context(), db.engine.begin() as connection:
        assert connection.execute(statement).rowcount


def log_in(api, someone):
    """The tokens of one more session."""
    return made(api.post("/api/auth/login", json={"login": someone.email, "password": PASSWORD}))


def is_shown_out(client):
    """Told so, then disconnected, and told nothing else."""
    client.wait("token_expired", timeout=SOON)
    assert client.disconnected(SOON) == "io server disconnect"
    client.silent(for_seconds=0)
    return True


def make_noise(api, by, words):
    """Something for managers, and something for the rooms."""
    made(api.post("/api/tasks", by, {"name": words, "deadline": "2030-01-01"}))
    for room in ("team", "management"):
        made(api.post("/api/chat/messages", by, {"message": words, "room": room}))


# -- losing them -----------------------------------------------------------------------------------------------------


def reset(live, by, who):
    link = token_of(made(live.api.post(f"/api/users/{who.id}/invite", by))["invite"])
    assert live.api.post("/api/auth/password/reset", json={"token": link, "password": NEW_PASSWORD}).status_code == 204


def present_again(live, by, who):
    """A refresh token that was used long ago, as a thief would."""
    again = {"refreshToken": who.refresh_token}
    made(live.api.post("/api/auth/refresh", json=again))
    change_row(live, update(RefreshToken).where(RefreshToken.used_at.is_not(None)).values(used_at=LONG_AGO))
    assert live.api.post("/api/auth/refresh", json=again).status_code == 401


def end_session(live, by, who):
    [session] = live.api.get("/api/auth/sessions", who).json["data"]
    assert live.api.delete(f"/api/auth/sessions/{session['id']}", who).status_code == 204


LOSSES = {
    "log-out": lambda live, by, who: live.api.post("/api/auth/logout", who),
    "a session ended": end_session,
    "removal": lambda live, by, who: live.api.delete(f"/api/users/{who.id}", by),
    "demotion": lambda live, by, who: made(live.api.put(f"/api/users/{who.id}", by, {"role": "editor"})),
    "reset": reset,
    "a token presented again": present_again,
}
ROWS = {
    "removed": lambda who: update(User).where(User.id == who.id).values(removed_at=LONG_AGO),
    "rejected": lambda who: update(User).where(User.id == who.id).values(status="rejected"),
    "logged out": lambda who: update(Session).where(Session.user_id == who.id).values(ended_at=LONG_AGO),
}


@BOTH
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_who_loses_their_rights_hears_nothing_more(live, api, owner, moderator, editor, loss, transport):
    theirs = [
        live.connect(moderator, transports=[transport]),
        live.connect(moderator, transports=[transport], namespace="/ws/chat", path="/ws/chat"),
    ]
    asha = live.connect(editor)
    join(asha)
    for client in theirs:
        join(client)
        join(client, "management")
    until(lambda: sum(event.data["user"]["id"] == moderator.id for event in theirs[0].events("user_joined")) == 2)
    for client in theirs:
        client.forget()
    loss(live, owner, moderator)
    make_noise(api, owner, "at once")
    for client in theirs:
        assert is_shown_out(client)
    make_noise(api, owner, "later")
    assert [asha.wait("new_message")["message"] for _ in range(2)] == ["at once", "later"]
    assert asha.wait("user_left")["user"]["id"] == moderator.id
    for client in theirs:
        client.silent(for_seconds=0)
    assert stays(asha)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_changed_by_hand_is_noticed_too(live, api, owner, moderator, row):
    max_, olga = live.connect(moderator), live.connect(owner)
    join(max_)
    join(olga)
    change_row(live, row(moderator))
    max_.wait("token_expired", timeout=SOON)
    assert max_.disconnected(SOON) == "io server disconnect"
    make_noise(api, owner, "later")
    olga.wait("new_message")
    max_.silent("new_message", for_seconds=0.2)
    max_.silent("task_created", for_seconds=0)
    assert stays(olga)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_who_lost_their_rights_a_moment_ago_says_nothing_more(live, api, owner, moderator, row):
    max_ = live.connect(moderator)
    join(max_)
    assert max_.emit("send_message", {"message": "first"})["id"]
    change_row(live, row(moderator))
    # Within the half second in which nobody else may have noticed.
    assert max_.emit("send_message", {"message": "and then"})["code"] == "invalid_token"
    assert [one["message"] for one in api.get("/api/chat/messages", owner).json["data"]] == ["first"]


def test_a_rejected_applicant_is_shown_out(live, api, owner, pending):
    client = live.connect(pending)
    made(api.put(f"/api/users/{pending.id}", owner, {"status": "rejected"}))
    assert is_shown_out(client)


def test_a_demoted_manager_stops_hearing_what_is_the_managers_at_once(live, api, owner, moderator, people):
    """By hand in the row, so that the session lives on with fewer rights."""
    max_, olga = live.connect(moderator), live.connect(owner)
    theirs = people.editor()
    for room in ("team", "management", f"editor:{theirs.id}"):
        join(max_, room)
        join(olga, room)
    change_row(live, update(User).where(User.id == moderator.id).values(role="editor"))
    assert refused(max_, "send_message", {"message": "x", "room": "management"}) == (403, "forbidden", [])
    max_.forget()
    make_noise(api, owner, "after the demotion")
    say(olga, "of him", room=f"editor:{theirs.id}")
    assert max_.wait("new_message")["room"] == "team"
    left = [olga.wait("user_left", timeout=SOON)["room"] for _ in range(2)]
    assert sorted(left) == [f"editor:{theirs.id}", "management"]
    max_.silent("new_message")
    max_.silent("task_created", for_seconds=0)
    assert refused(max_, "join_room", {"room": "management"}) == (403, "forbidden", [])
    assert stays(max_)


def test_who_does_not_go_by_themselves_is_closed(live, api, editor):
    """Clients of another make: both transports end, and nothing is answered until then."""
    port = live.app.port
    with WebSocket(port) as wire, Polls(port) as polls:
        assert wire.log_in(editor.token).startswith("40")
        assert polls.log_in(editor.token).startswith("40")
        api.post("/api/auth/logout", editor)
        wire.wait(lambda heard: heard.startswith('42["token_expired"'), timeout=SOON)
        wire.say('421["sync",{}]')
        assert [heard for heard in wire.texts() if heard.startswith(("42", "43"))] == []
        assert wire.hung_up(SOON)
        until(lambda: not polls.is_open())


# -- only where it must be -------------------------------------------------------------------------------------------


def test_logging_out_concerns_its_own_session_alone(live, api, editor):
    elsewhere = log_in(api, editor)["accessToken"]
    here, there = live.connect(editor), live.connect(elsewhere)
    assert api.post("/api/auth/logout", elsewhere).status_code == 204
    assert is_shown_out(there)
    assert stays(here)
    assert api.post("/api/auth/logout", editor).status_code == 204
    assert is_shown_out(here)


def test_a_new_password_ends_all_sessions_but_ones_own(live, api, editor, other_editor):
    elsewhere = log_in(api, editor)["accessToken"]
    here, there, other = live.connect(editor), live.connect(elsewhere), live.connect(other_editor)
    new = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
    made(api.put(f"/api/users/{editor.id}", editor, new))
    assert is_shown_out(there)
    time.sleep(SOON / 2)
    assert stays(here)
    assert stays(other)


# -- gaining them ----------------------------------------------------------------------------------------------------


@BOTH
def test_a_promoted_person_hears_what_managers_hear_on_the_socket_that_is_open(live, api, owner, editor, transport):
    asha = live.connect(editor, transports=[transport])
    join(asha)
    make_noise(api, owner, "before")
    assert refused(asha, "join_room", {"room": "management"}) == (403, "forbidden", [])
    made(api.put(f"/api/users/{editor.id}", owner, {"role": "moderator"}))
    updated = asha.wait("user_updated", timeout=SOON)
    assert (updated["userId"], updated["updates"]["role"]) == (editor.id, "moderator")
    join(asha, "management")
    make_noise(api, owner, "after")
    assert asha.wait("task_created")["task"]["name"] == "after"
    assert asha.wait("new_message", lambda data: data["room"] == "management")["message"] == "after"
    made(api.post("/api/applications", json={"fullName": "Ravi Nair", "email": "ravi@example.com"}))
    asha.wait("application_created")
    assert [event.data["task"]["name"] for event in asha.events("task_created")] == ["after"]
    assert stays(asha)


def test_an_approved_person_is_a_member_on_the_socket_that_is_open(live, api, owner, pending):
    pia = live.connect(pending)
    make_noise(api, owner, "before")
    assert refused(pia, "join_room") == (403, "account_pending", [])
    made(api.put(f"/api/users/{pending.id}", owner, {"status": "approved"}))
    assert pia.wait("user_updated", timeout=SOON)["updates"]["status"] == "approved"
    assert pia.wait("new_notification")["notification"]["type"] == "user"
    join(pia)
    make_noise(api, owner, "after")
    assert pia.wait("new_message")["message"] == "after"
    assert stays(pia)
