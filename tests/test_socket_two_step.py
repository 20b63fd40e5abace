"""Sockets and two-step log-in: who may only enrol hears nothing of the agency's."""

import pytest
from authenticator import code_of, enrol, steady
from conftest import PASSWORD
from sockets import Refused
from talk import SOON, done, join, made, refused, say, stays, until

ENROLMENT = (403, "two_step_enrolment_required", [])


@pytest.fixture
def strict(live):
    """A process for which moderators must use it."""
    return live.start(REQUIRE_TWO_STEP="moderator")


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(strict):
    return strict.api


def turned_away(live, who):
    with pytest.raises(Refused) as caught:
        live.connect(who)
    return caught.value.data["status"], caught.value.data["code"], list(caught.value.data.get("errors", {}))


@pytest.mark.parametrize("namespace", ["/", "/ws/chat"])
def test_who_must_and_does_not_yet_gets_no_socket(strict, api, moderator, editor, namespace):
    assert turned_away(strict, moderator) == ENROLMENT
    join(strict.connect(editor, namespace=namespace))
    steady()
    secret, _ = enrol(api, moderator)
    assert join(strict.connect(moderator, namespace=namespace)) == {editor.id, moderator.id}
    body = {"login": moderator.email, "password": PASSWORD, "code": code_of(secret)}
    join(strict.connect(made(api.post("/api/auth/login", json=body))["accessToken"]))


def test_who_comes_to_a_role_that_must_is_told_so_and_nothing_else(strict, api, owner, editor, other_editor):
    other = strict.connect(other_editor)
    client = strict.connect(editor)
    for one in (other, client):
        join(one)
    made(api.put(f"/api/users/{editor.id}", owner, {"role": "moderator"}))
    assert client.wait("user_updated", timeout=SOON)["updates"]["role"] == "moderator"
    for event, payload in (
        ("join_room", {}),
        ("send_message", {"message": "Hi"}),
        ("sync", {}),
        ("typing", {"typing": True}),
    ):
        assert refused(client, event, payload) == ENROLMENT
    client.forget()
    say(other, "Psst")
    made(api.post("/api/tasks", owner, {"name": "Film", "deadline": "2030-01-01"}))
    other.wait("new_message")
    client.silent(for_seconds=1)
    steady()
    enrol(api, editor)
    until(lambda: "members" in client.emit("join_room", {}), SOON)
    say(other, "Welcome")
    assert client.wait("new_message")["message"] == "Welcome"
    assert stays(client)


def test_who_switches_it_off_hears_nothing_from_then_on(strict, api, owner, moderator):
    steady()
    enrol(api, moderator)
    client, other = strict.connect(moderator), strict.connect(owner)
    for one in (client, other):
        join(one)
    assert api.delete("/api/auth/two-step", moderator, {"currentPassword": PASSWORD}).status_code == 204
    until(lambda: client.emit("sync", {}).get("code") == ENROLMENT[1], SOON)
    client.forget()
    say(other, "Psst")
    client.silent(for_seconds=1)
    assert turned_away(strict, moderator) == ENROLMENT
    assert done(other, "sync", {})["lastEventId"]


def test_switching_it_on_ends_the_sockets_of_the_persons_other_sessions(strict, api, editor):
    elsewhere = made(api.post("/api/auth/login", json={"login": editor.email, "password": PASSWORD}))["accessToken"]
    here, there = strict.connect(editor), strict.connect(elsewhere)
    steady()
    enrol(api, editor)
    there.wait("token_expired", timeout=SOON)
    assert there.disconnected(SOON) == "io server disconnect"
    assert stays(here)
