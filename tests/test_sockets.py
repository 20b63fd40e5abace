"""Both paths, both namespaces, every transport: a client's whole life, with the payloads of the contract."""

from itertools import product

import pytest
from sockets import Refused
from talk import done, join, made, say, told, until

PATHS = ("/socket.io", "/ws/chat")
NAMESPACES = ("/", "/ws/chat")
TRANSPORTS = (["websocket"], ["polling"], ["polling", "websocket"])
DOORS = [
    pytest.param({"path": path, "namespace": namespace, "transports": transports}, id=f"{path} {namespace} {words}")
    for path, namespace, transports in product(PATHS, NAMESPACES, TRANSPORTS)
    for words in [" to ".join(transports)]
]
every_door = pytest.mark.parametrize("door", DOORS)
MESSAGE = {"id", "room", "message", "sender", "senderId", "senderRole", "type", "clientId", "timestamp"}


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def card(someone):
    return {"id": someone.id, "displayName": someone.name, "role": someone.role, "photoURL": None}


def changes(before, after):
    return {name: value for name, value in after.items() if before[name] != value}


@every_door
def test_a_working_day_in_the_chat(live, api, moderator, editor, door):
    max_, asha = live.connect(moderator, **door), live.connect(editor, **door)
    until(lambda: max_.state()["transport"] == asha.state()["transport"] == door["transports"][-1])

    joined = done(max_, "join_room", {"userId": moderator.id, "role": "moderator"})
    assert joined == {"room": "team", "members": [card(moderator)], "lastEventId": joined["lastEventId"]}
    assert isinstance(joined["lastEventId"], str)
    asked = done(asha, "join_room", {"userId": editor.id, "role": "editor", "room": "team"})
    assert asked["members"] == sorted([card(moderator), card(editor)], key=lambda member: member["id"])
    assert max_.wait("user_joined", lambda data: data["user"]["id"] == editor.id) == {
        "user": card(editor),
        "room": "team",
    }

    assert done(asha, "typing", {"room": "team", "typing": True}) == {"room": "team", "typing": True}
    who = {"id": editor.id, "displayName": "Asha Editor"}
    assert max_.wait("typing") == {"room": "team", "user": who, "typing": True}

    sent = done(asha, "send_message", {"message": "The grade looks good.", "clientId": "c-1"})
    assert sent.keys() >= MESSAGE
    assert sent | {"id": "", "timestamp": "", "seq": 0} == {
        "id": "",
        "room": "team",
        "message": "The grade looks good.",
        "sender": "Asha Editor",
        "senderId": editor.id,
        "senderRole": "editor",
        "type": "user",
        "clientId": "c-1",
        "timestamp": "",
        "editedAt": None,
        "deletedAt": None,
        "seq": 0,
    }
    assert api.get("/api/chat/messages", moderator).json["data"] == [sent]
    for client in (max_, asha):
        assert told(client.wait("new_message")) == sent

    path = f"/api/chat/messages/{sent['id']}"
    edited = made(api.put(path, editor, {"message": "It looks very good."}))
    assert edited["editedAt"]
    for client in (max_, asha):
        assert told(client.wait("message_updated")) == {"message": edited}
    made(api.delete(path, moderator))
    for client in (max_, asha):
        assert told(client.wait("message_deleted")) == {"messageId": sent["id"], "room": "team"}

    assert done(asha, "leave_room", {"room": "team"}) == {"room": "team"}
    assert max_.wait("user_left") == {"user": card(editor), "room": "team"}
    asha.forget()
    say(max_, "Has she gone?")
    max_.wait("new_message")
    asha.silent("new_message")

    missed = done(asha, "sync", {"since": joined["lastEventId"]})
    assert missed.keys() == {"events", "lastEventId", "more"}
    assert missed["more"] is False
    for event in missed["events"]:
        assert event.keys() == {"eventId", "event", "data"}
        assert event["data"]["eventId"] == event["eventId"]
    # The deleted message is told no more, not even that it was edited.
    assert [event["event"] for event in missed["events"]] == ["message_deleted", "new_message"]
    assert missed["events"][1]["data"] == max_.events("new_message")[-1].data
    assert done(asha, "sync") == {"events": [], "lastEventId": missed["lastEventId"], "more": False}

    asha.disconnect()
    assert asha.disconnected() == "io client disconnect"
    assert join(asha.reconnect()) == {moderator.id, editor.id}


@every_door
def test_work_and_money_as_they_happen(live, api, owner, editor, door):
    olga, asha = live.connect(owner, **door), live.connect(editor, **door)

    task = made(api.post("/api/tasks", owner, {"name": "Trailer", "deadline": "2030-01-01", "assignedTo": editor.id}))
    for client in (olga, asha):
        assert told(client.wait("task_created")) == {"task": task}
    [note] = api.get("/api/notifications", editor).json["data"]
    assert told(asha.wait("new_notification")) == {"notification": note}
    path = f"/api/tasks/{task['id']}"
    now = made(api.put(path, editor, {"status": "in-progress"}))
    for client in (olga, asha):
        assert told(client.wait("task_updated")) == {"taskId": task["id"], "updates": changes(task, now)}
    made(api.delete(path, owner))
    for client in (olga, asha):
        assert told(client.wait("task_deleted")) == {"taskId": task["id"]}

    payout = made(api.post("/api/payouts", editor, {"projectName": "Trailer", "amount": 10.5}))
    now = made(api.put(f"/api/payouts/{payout['id']}", owner, {"status": "approved"}))
    decided = {"payoutId": payout["id"], "status": "approved", "updates": changes(payout, now)}
    for client in (olga, asha):
        assert told(client.wait("payout_created")) == {"payout": payout}
        assert told(client.wait("payout_updated")) == decided

    plan = {"title": "M", "startsAt": "2030-01-01T10:00:00Z", "attendees": [editor.id]}
    meeting = made(api.post("/api/meetings", owner, plan))
    path = f"/api/meetings/{meeting['id']}"
    moved = made(api.put(path, owner, {"title": "Moved"}))
    for client in (olga, asha):
        assert told(client.wait("meeting_created")) == {"meeting": meeting}
        assert told(client.wait("meeting_updated")) == {"meetingId": meeting["id"], "updates": changes(meeting, moved)}
    # Only now: of what was deleted before it was sent, nothing more is told.
    made(api.delete(path, owner))
    for client in (olga, asha):
        assert told(client.wait("meeting_deleted")) == {"meetingId": meeting["id"]}

    before = api.get(f"/api/users/{editor.id}", owner).json
    updates = changes(before, made(api.put(f"/api/users/{editor.id}", editor, {"location": "Kochi"})))
    for client in (olga, asha):
        assert told(client.wait("user_updated")) == {"userId": editor.id, "updates": updates}

    asha.forget()
    filed = made(api.post("/api/applications", json={"fullName": "Ravi Nair", "email": "ravi@example.com"}))
    application = api.get(f"/api/applications/{filed['id']}", owner).json
    made(api.put(f"/api/applications/{filed['id']}/reject", owner, {}))
    assert told(olga.wait("application_created")) == {"application": application}
    assert told(olga.wait("application_updated")) == {"applicationId": filed["id"], "status": "rejected"}
    asha.silent()


def test_through_whichever_door_one_comes_all_meet_in_the_same_room(live, people):
    clients = [live.connect(people.editor(), label=door.id, **door.values[0]) for door in DOORS]
    here = set()
    for client in clients:
        here.add(client.state()["id"])
        present = join(client)
    assert len(here) == len(present) == len(DOORS)
    sent = [say(client, client.label)["id"] for client in clients]
    for client in clients:
        until(lambda client=client: len(client.events("new_message")) == len(sent))
        assert [event.data["id"] for event in client.events("new_message")] == sent


def test_two_namespaces_share_one_connection_and_live_apart(live, editor, moderator):
    # A process of its own: the client library shares a connection by the server's address.
    there = live.start(SOCKETS_PER_USER="1")
    main, chat = (there.connect(editor, namespace=space, force_new=False) for space in NAMESPACES)
    with pytest.raises(Refused):
        there.connect(editor)
    other = there.connect(moderator)
    assert join(chat) == {editor.id}
    join(other)
    say(other, "Only to who joined")
    assert chat.wait("new_message")["message"] == "Only to who joined"
    main.silent("new_message")
    chat.disconnect()
    chat.disconnected()
    assert other.wait("user_left")["user"]["id"] == editor.id
    assert join(main) == {moderator.id, editor.id}


def test_what_one_sends_without_waiting_keeps_its_order(live, editor):
    client = live.connect(editor)
    waiting = [client.send("send_message", {"message": f"{number}"}) for number in range(10)]
    assert [answer.result(10)["message"] for answer in waiting] == [f"{number}" for number in range(10)]
    history = live.api.get("/api/chat/messages", editor).json["data"]
    assert [message["message"] for message in history] == [f"{number}" for number in range(10)]
