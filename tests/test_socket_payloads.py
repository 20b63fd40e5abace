"""What clients send: a wrong payload is refused by name and closes nothing; who one is and where, the server knows."""

import pytest
from talk import done, join, made, refused, say, told

from idyll.ids import uuid7
from idyll.live.events import EVENTS

NO_OBJECT = [("text", "body"), ([{"room": "team"}], "body"), (5, "body"), (True, "body")]
ROOMS = [({"room": room}, "room") for room in ("Team", " team", 5, ["team"], {"a": 1}, "editor:", "editor:1")]
LONG = [({"room": f"editor:{'x' * 5000}"}, "room"), ({"room": "team", "rooms": ["management"]}, "rooms")]
WRONG = {
    "join_room": [
        *NO_OBJECT,
        *ROOMS,
        *LONG,
        ({"userId": 5}, "userId"),
        ({"role": ["owner"]}, "role"),
        ({"user_id": "x"}, "user_id"),
    ],
    "leave_room": [*NO_OBJECT, *ROOMS, *LONG, ({"userId": "x"}, "userId")],
    "send_message": [
        *NO_OBJECT,
        *[({"message": "x", **payload}, field) for payload, field in ROOMS + LONG],
        ({}, "message"),
        *[({"message": text}, "message") for text in (None, 5, "", " \n ", ["x"], "x" * 4001, "a\x00b", "a\x1bb")],
        *[({"message": "x", "clientId": key}, "clientId") for key in (5, ["c"], "c" * 65, "c\x00", {"a": 1})],
        ({"message": "x", "senderId": "x"}, "senderId"),
        ({"message": "x", "type": "system"}, "type"),
        ({"message": "x", "timestamp": "2030-01-01T00:00:00Z"}, "timestamp"),
    ],
    "typing": [
        *NO_OBJECT,
        *[({"typing": True, **payload}, field) for payload, field in ROOMS + LONG],
        ({}, "typing"),
        *[({"typing": value}, "typing") for value in (None, "true", 1, 0, "", [True])],
        ({"typing": True, "user": {"id": "x"}}, "user"),
    ],
    "authenticate": [
        *NO_OBJECT,
        ({}, "token"),
        *[({"token": token}, "token") for token in (None, 5, True, ["x"], {"a": "x"})],
        ({"token": "x", "userId": "x"}, "userId"),
    ],
    "sync": [
        *NO_OBJECT,
        *[({"since": since}, "since") for since in (5, "x", "e0", "e1-00000000", "x" * 5000, ["e0"])],
        *[({"limit": limit}, "limit") for limit in (0, 501, -1, 1.5, "10", True)],
        ({"room": "team"}, "room"),
    ],
}


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def test_every_event_is_tried():
    assert WRONG.keys() == EVENTS.keys()


@pytest.mark.parametrize("event", WRONG)
def test_a_wrong_payload_is_refused_by_name_and_the_socket_stays(live, editor, event):
    client = live.connect(editor)
    join(client)
    client.wait("user_joined")
    assert len(WRONG[event]) >= 10
    for payload, field in WRONG[event]:
        assert refused(client, event, payload) == (422, "invalid", [field]), payload
    assert refused(client, event, {}, {}) == (422, "invalid", ["body"])
    client.silent()
    assert join(client) == {editor.id}
    assert client.gone == []


@pytest.mark.parametrize("event", WRONG)
def test_an_event_without_acknowledgement_is_taken_all_the_same(live, editor, event):
    client = live.connect(editor)
    for payload, _ in WRONG[event]:
        client.emit(event, payload, ack=False)
    assert join(client) == {editor.id}


def test_what_is_optional_may_be_left_out_null_or_empty(live, editor):
    client = live.connect(editor)
    for payload in ([], [{}], [None]):
        assert done(client, "join_room", *payload)["room"] == "team"
        assert done(client, "sync", *payload)["events"] == []
        assert done(client, "leave_room", *payload) == {"room": "team"}
    for nothing in (None, "", " "):
        assert done(client, "join_room", {"room": nothing, "userId": nothing, "role": nothing})["room"] == "team"
        assert say(client, "x", room=nothing, clientId=nothing)["clientId"] is None
        assert done(client, "sync", {"since": nothing})["events"] == []


# -- who one is ------------------------------------------------------------------------------------------------------


def test_who_one_is_must_be_true_when_it_is_said(live, editor, other_editor, owner):
    client = live.connect(editor)
    for said, fields in (
        ({"userId": other_editor.id}, ["userId"]),
        ({"userId": owner.id, "role": "owner"}, ["userId", "role"]),
        ({"role": "owner"}, ["role"]),
        ({"role": "moderator"}, ["role"]),
        ({"role": "Editor"}, ["role"]),
        ({"userId": editor.username}, ["userId"]),
        ({"userId": editor.id.upper()}, ["userId"]),
    ):
        assert refused(client, "join_room", said) == (403, "forbidden", fields), said
    for said in ({}, {"userId": editor.id}, {"role": "editor"}, {"userId": editor.id, "role": "editor"}):
        assert done(client, "join_room", said)["room"] == "team"


def test_a_role_is_the_one_of_now(live, api, owner, editor):
    client = live.connect(editor)
    made(api.put(f"/api/users/{editor.id}", owner, {"role": "moderator"}))
    assert refused(client, "join_room", {"role": "editor"}) == (403, "forbidden", ["role"])
    assert done(client, "join_room", {"role": "moderator", "room": "management"})["room"] == "management"


@pytest.mark.parametrize("sender", ["Olga Owner", 5, None, {"id": "x", "role": "owner"}, ["x"], True])
def test_a_sender_that_is_sent_is_ignored_here_and_refused_over_rest(live, api, editor, owner, sender):
    client = live.connect(editor)
    join(client)
    sent = say(client, "It was me", sender=sender)
    assert (sent["sender"], sent["senderId"], sent["senderRole"]) == ("Asha Editor", editor.id, "editor")
    assert told(client.wait("new_message")) == sent
    answer = api.post("/api/chat/messages", editor, {"message": "It was me", "sender": sender})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["sender"])


# -- where one may be ------------------------------------------------------------------------------------------------


def test_a_room_that_isnt_yours_is_closed_to_every_event(live, editor, other_editor, moderator, owner):
    client, manager = live.connect(editor), live.connect(moderator)
    theirs, nobodys = f"editor:{other_editor.id}", f"editor:{uuid7()}"
    join(manager, "management")
    join(manager, theirs)
    for _ in range(2):
        manager.wait("user_joined")
    for room in ("management", theirs, nobodys, f"editor:{owner.id}"):
        for event, payload in (
            ("join_room", {"room": room}),
            ("send_message", {"message": "Let me in", "room": room}),
            ("typing", {"room": room, "typing": True}),
        ):
            assert refused(client, event, payload) == (403, "forbidden", []), (room, event)
    for event, payload in (("join_room", {}), ("send_message", {"message": "x"}), ("typing", {"typing": True})):
        assert refused(manager, event, {**payload, "room": nobodys}) == (404, "not_found", []), event
    say(manager, "Between us", room="management")
    say(manager, "For Ravi", room=theirs)
    assert [manager.wait("new_message")["room"] for _ in range(2)] == ["management", theirs]
    manager.silent()
    client.silent()
    assert client.gone == []
