"""Who is here: people, not tabs; a reload is no leaving, and nobody overhears who they don't sit with."""

import time

import pytest
from sqlalchemy import update
from talk import done, join, made, refused, say, until

from idyll.extensions import db
from idyll.users.models import User

LEFT_WITHIN = 3.0  # the contract says two; the machine may be busy
BOTH = pytest.mark.parametrize("transport", ["websocket", "polling"])


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


@pytest.fixture
def olga(live, owner):
    """Sits in the team's room and listens."""
    client = live.connect(owner)
    join(client)
    client.wait("user_joined")
    return client


def card(someone, **other):
    return {"id": someone.id, "displayName": someone.name, "role": someone.role, "photoURL": None, **other}


def leaves(client):
    client.disconnect()
    client.disconnected()


# -- people, not tabs ------------------------------------------------------------------------------------------------


@BOTH
def test_a_person_comes_once_and_goes_once_however_many_tabs_they_have(live, olga, editor, transport):
    tabs = [
        live.connect(editor, transports=[transport], namespace=space, path=path)
        for space, path in (("/", "/socket.io"), ("/ws/chat", "/socket.io"), ("/", "/ws/chat"))
    ]
    for tab in tabs:
        join(tab)
    assert olga.wait("user_joined") == {"user": card(editor), "room": "team"}
    for tab in tabs[:2]:
        leaves(tab)
    olga.silent(for_seconds=LEFT_WITHIN)
    gone_at = time.monotonic()
    leaves(tabs[2])
    assert olga.wait("user_left", timeout=LEFT_WITHIN) == {"user": card(editor), "room": "team"}
    assert olga.events("user_left")[0].at > gone_at
    olga.silent(for_seconds=1)


@pytest.mark.parametrize(
    ("transport", "goes"), [("websocket", "disconnect"), ("polling", "disconnect"), ("websocket", "drop")]
)
def test_a_reload_of_the_page_tells_nobody(live, olga, editor, transport, goes):
    asha = live.connect(editor, transports=[transport])
    join(asha)
    olga.wait("user_joined")
    for _ in range(3):
        getattr(asha, goes)()
        asha.disconnected()
        time.sleep(0.2)
        assert join(asha.reconnect()) == {editor.id, olga_id(olga)}
    olga.silent(for_seconds=LEFT_WITHIN)
    leaves(asha)
    olga.wait("user_left", timeout=LEFT_WITHIN)
    assert join(asha.reconnect()) == {editor.id, olga_id(olga)}
    olga.wait("user_joined")


def olga_id(olga):
    return olga.events("user_joined")[0].data["user"]["id"]


def test_who_broke_off_has_left_as_well(live, olga, editor):
    asha = live.connect(editor)
    join(asha)
    olga.wait("user_joined")
    asha.drop()
    assert olga.wait("user_left", timeout=LEFT_WITHIN)["user"]["id"] == editor.id
    olga.silent(for_seconds=0.5)


def test_leaving_a_room_is_told_when_the_last_tab_did(live, olga, editor):
    first, second = live.connect(editor), live.connect(editor)
    join(first)
    join(second)
    olga.wait("user_joined")
    for _ in range(2):
        assert done(first, "leave_room") == {"room": "team"}
    olga.silent(for_seconds=0.5)
    done(second, "leave_room", {"room": "team"})
    assert olga.wait("user_left")["user"] == card(editor)
    done(second, "leave_room", {"room": "team"})
    leaves(second)
    olga.silent(for_seconds=LEFT_WITHIN)
    join(first)
    join(first)
    assert olga.wait("user_joined")["user"] == card(editor)
    olga.silent(for_seconds=0.5)


def test_the_members_are_those_who_are_there(live, owner, moderator, editor, other_editor):
    asha, ravi, max_ = live.connect(editor), live.connect(other_editor), live.connect(moderator)
    live.connect(owner)  # connected, but in no room
    assert join(asha) == {editor.id}
    assert join(ravi) == {editor.id, other_editor.id}
    assert join(max_, "management") == {moderator.id}
    members = done(max_, "join_room", {"room": "team"})["members"]
    assert sorted(members, key=lambda member: member["id"]) == [card(moderator), card(editor), card(other_editor)]
    done(asha, "leave_room")
    leaves(ravi)
    max_.wait("user_left", lambda data: data["user"]["id"] == other_editor.id, timeout=LEFT_WITHIN)
    assert join(max_) == {moderator.id}


def test_each_room_has_its_own_people(live, owner, moderator, editor, other_editor):
    theirs = f"editor:{editor.id}"
    olga, asha, ravi = live.connect(owner), live.connect(editor), live.connect(other_editor)
    for room in ("team", "management", theirs):
        join(olga, room)
    join(asha, theirs)
    join(ravi)
    max_ = live.connect(moderator)
    join(max_, "management")
    until(lambda: len(olga.events("user_joined")) == 6)
    came = [(event.data["room"], event.data["user"]["id"]) for event in olga.events("user_joined")]
    assert sorted(came[3:]) == sorted([(theirs, editor.id), ("team", other_editor.id), ("management", moderator.id)])
    leaves(max_)
    assert olga.wait("user_left")["room"] == "management"
    for client, room in ((asha, theirs), (ravi, "team")):
        assert {event.data["room"] for event in client.events("user_joined")} == {room}
        assert client.events("user_left") == []


def test_a_card_shows_the_person_of_now(live, api, olga, editor):
    made(api.put(f"/api/users/{editor.id}", editor, {"displayName": "Asha New", "photoURL": "https://example.com/a"}))
    asha = live.connect(editor)
    now = card(editor, displayName="Asha New", photoURL="https://example.com/a")
    assert now in done(asha, "join_room")["members"]
    assert olga.wait("user_joined")["user"] == now
    say(asha, "Hello")
    assert olga.wait("new_message")["sender"] == "Asha New"


def test_a_removed_person_leaves_without_their_name(live, api, olga, owner, editor):
    asha = live.connect(editor)
    join(asha)
    olga.wait("user_joined")
    assert api.delete(f"/api/users/{editor.id}", owner).status_code == 204
    left = olga.wait("user_left", timeout=LEFT_WITHIN + 1)
    assert left == {"user": card(editor, displayName="Former member"), "room": "team"}
    assert join(olga) == {owner.id}


def test_who_may_no_longer_enter_has_left(live, owner, moderator):
    olga, max_ = live.connect(owner), live.connect(moderator)
    for client in (olga, max_):
        join(client, "management")
        join(client)
    with live.inside.app_context(), db.engine.begin() as connection:
        connection.execute(update(User).where(User.id == moderator.id).values(role="editor"))
    assert olga.wait("user_left", timeout=LEFT_WITHIN)["room"] == "management"
    assert join(olga, "management") == {owner.id}
    assert join(olga) == {owner.id, moderator.id}
    olga.silent("user_left")


# -- typing ----------------------------------------------------------------------------------------------------------


def test_who_types_is_told_to_the_others_in_the_room_alone(live, olga, owner, editor, other_editor):
    asha, her_other_tab = live.connect(editor), live.connect(editor, namespace="/ws/chat")
    ravi, elsewhere = live.connect(other_editor), live.connect(other_editor)
    her_room = f"editor:{editor.id}"
    for client in (asha, her_other_tab, ravi):
        join(client)
    join(olga, her_room)
    join(asha, her_room)
    until(lambda: len(olga.events("user_joined")) == 5)
    for client in (olga, asha, her_other_tab, ravi):
        client.forget()

    who = {"id": editor.id, "displayName": editor.name}
    for typing in (True, False):
        assert done(asha, "typing", {"typing": typing}) == {"room": "team", "typing": typing}
        for client in (olga, ravi):
            assert client.wait("typing") == {"room": "team", "user": who, "typing": typing}
    done(asha, "typing", {"room": her_room, "typing": True})
    assert olga.wait("typing") == {"room": her_room, "user": who, "typing": True}
    done(ravi, "leave_room")
    done(asha, "typing", {"typing": True})
    assert olga.wait("typing")["room"] == "team"
    for client in (asha, her_other_tab, ravi, elsewhere):
        client.silent("typing", for_seconds=0.3)
    olga.silent("typing", for_seconds=0)


def test_nobody_keeps_who_was_here_or_typed(live, olga, editor):
    asha = live.connect(editor)
    since = done(asha, "sync")["lastEventId"]
    join(asha)
    done(asha, "typing", {"typing": True})
    olga.wait("typing")
    done(asha, "leave_room")
    olga.wait("user_left")
    assert done(asha, "sync", {"since": since}) == {"events": [], "lastEventId": since, "more": False}
    for event in olga.events():
        assert "eventId" not in event.data
    assert refused(asha, "typing", {"room": "management", "typing": True}) == (403, "forbidden", [])
