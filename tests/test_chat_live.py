"""The chat while people talk: rooms apart, one order for all, nothing twice, read marks, and a server that restarts."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from live import environment
from servers import start_app
from talk import done, join, made, refused, say, told, until

MESSAGES = "/api/chat/messages"


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def history(api, by, room="team"):
    return made(api.get(MESSAGES, by, query_string={"room": room, "limit": 100}))["data"]


def heard(client, name="new_message"):
    return [event.data for event in client.events(name)]


def unread(api, by):
    return {room["room"]: room["unread"] for room in made(api.get("/api/chat/rooms", by))["data"]}


# -- rooms -----------------------------------------------------------------------------------------------------------


def test_a_message_is_heard_in_its_room_alone(live, api, owner, moderator, editor, other_editor):
    hers, his = f"editor:{editor.id}", f"editor:{other_editor.id}"
    rooms = {"team", "management", hers, his}
    olga, max_, asha, ravi = (live.connect(one) for one in (owner, moderator, editor, other_editor))
    listening = {olga: rooms, max_: {"management", hers}, asha: {"team", hers}, ravi: {"team", his}}
    for client, joined in listening.items():
        for room in joined:
            join(client, room)
    sent = {room: say(olga, f"in {room}", room=room) for room in rooms}
    by_rest = {room: made(api.post(MESSAGES, owner, {"message": f"by REST in {room}", "room": room})) for room in rooms}
    ends = say(asha, "the end")
    for client in (olga, ravi, asha):
        assert told(client.wait("new_message", lambda data: data["id"] == ends["id"])) == ends
    until(lambda: len(heard(max_)) == 4)
    for client, joined in listening.items():
        came = [told(data) for data in heard(client) if data["id"] != ends["id"]]
        wanted = [message for room in joined for message in (sent[room], by_rest[room])]
        assert sorted(came, key=lambda message: message["id"]) == sorted(wanted, key=lambda message: message["id"])


def test_who_joined_no_room_sends_and_hears_nothing(live, editor, other_editor):
    asha, ravi = live.connect(editor), live.connect(other_editor)
    join(ravi)
    sent = say(asha, "From the corridor")
    assert told(ravi.wait("new_message")) == sent
    asha.silent()


# -- order -----------------------------------------------------------------------------------------------------------


def test_all_hear_one_order_and_each_message_says_its_place_in_the_history(live, api, people):
    talkers = [people.editor() for _ in range(4)]
    clients = [live.connect(person, namespace=space) for person in talkers for space in ("/", "/ws/chat")]
    for client in clients:
        join(client)

    def talk(number):
        person = talkers[number // 2]
        for turn in range(5):
            words = {"message": f"{number}.{turn}"}
            if number % 2:
                made(api.post(MESSAGES, person, words))
            else:
                done(clients[number], "send_message", words)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, range(8)))
    stored = history(api, talkers[0])
    assert len(stored) == 40
    for client in clients:
        until(lambda client=client: len(heard(client)) >= 40)
        assert heard(client) == heard(clients[0])
    live_ones = [told(data) for data in heard(clients[0])]
    assert sorted(live_ones, key=lambda message: message["seq"]) == stored
    assert len({data["eventId"] for data in heard(clients[0])}) == 40
    # What one said after the other comes after the other, live too.
    for messages in (stored, live_ones):
        for number in range(8):
            mine = [message["message"] for message in messages if message["message"].startswith(f"{number}.")]
            assert mine == [f"{number}.{turn}" for turn in range(5)]


# -- once ------------------------------------------------------------------------------------------------------------


def test_what_is_sent_twenty_times_at_once_is_stored_and_heard_once(live, api, editor, other_editor):
    asha, other_tab = live.connect(editor), live.connect(editor, transports=["polling"])
    ravi = live.connect(other_editor)
    join(ravi)
    payload = {"message": "Once, please", "clientId": "c-1"}

    with ThreadPoolExecutor(6) as pool:
        by_rest = [pool.submit(api.post, MESSAGES, editor, payload) for _ in range(6)]
        by_socket = [client.send("send_message", payload) for client in (asha, other_tab) for _ in range(7)]
        answers = [answer.result(20) for answer in by_socket] + [made(answer.result(20)) for answer in by_rest]
    assert len(answers) == 20
    assert len({answer["id"] for answer in answers}) == 1
    assert answers == [answers[0]] * 20
    assert sum(answer.result().status_code == 201 for answer in by_rest) <= 1
    assert history(api, editor) == [answers[0]]
    assert told(ravi.wait("new_message")) == answers[0]
    # The first words stand, and another person's id is another one's.
    assert say(asha, "Something else", clientId="c-1") == answers[0]
    assert say(asha, "Elsewhere", clientId="c-1", room=f"editor:{editor.id}") == answers[0]
    assert say(ravi, "Mine", clientId="c-1")["message"] == "Mine"
    assert ravi.wait("new_message")["message"] == "Mine"
    ravi.silent("new_message")
    assert len(history(api, editor)) == 2


# -- edited and deleted ----------------------------------------------------------------------------------------------


def test_what_is_edited_or_deleted_changes_before_everybodys_eyes(live, api, owner, moderator, editor, other_editor):
    asha, ravi = live.connect(editor), live.connect(other_editor)
    max_ = live.connect(moderator)  # in another room
    join(asha)
    join(ravi)
    join(max_, "management")
    sent = say(asha, "Frist")
    path = f"{MESSAGES}/{sent['id']}"
    assert api.put(path, other_editor, {"message": "Not mine"}).status_code == 403
    edited = made(api.put(path, editor, {"message": "First"}))
    made(api.put(path, editor, {"message": "First"}))  # nothing new
    for client in (asha, ravi):
        assert told(client.wait("message_updated")) == {"message": edited}
    assert api.delete(path, other_editor).status_code == 403
    assert api.delete(path, owner).status_code == 204
    assert api.delete(path, owner).status_code == 204  # nothing new
    for client in (asha, ravi):
        assert told(client.wait("message_deleted")) == {"messageId": sent["id"], "room": "team"}
    say(asha, "Next")
    for client in (asha, ravi):
        until(lambda client=client: len(heard(client)) == 2)
        assert len(heard(client, "message_updated")) == len(heard(client, "message_deleted")) == 1
    assert [name for name in ("new_message", "message_updated", "message_deleted") if heard(max_, name)] == []
    assert edited | {"message": None, "deletedAt": ""} == history(api, editor)[0] | {"deletedAt": ""}


# -- read and unread -------------------------------------------------------------------------------------------------


def test_what_was_not_read_is_counted_for_each_and_never_counts_back(live, api, owner, editor, other_editor):
    olga, asha = live.connect(owner), live.connect(editor)
    hers = f"editor:{editor.id}"
    join(asha)
    sent = [say(olga, f"{number}") for number in range(3)]
    say(asha, "One's own is read")
    say(olga, "For you", room=hers)
    say(olga, "Among us", room="management")
    assert unread(api, editor) == {"team": 3, hers: 1}
    assert unread(api, other_editor) == {"team": 4, f"editor:{other_editor.id}": 0}
    assert unread(api, owner) == {"team": 1, "management": 0, hers: 0, f"editor:{other_editor.id}": 0}

    def read(message):
        return made(api.put("/api/chat/rooms/team/read", editor, {"messageId": message["id"]}))["unread"]

    assert read(asha.wait("new_message")) == 2
    assert read(sent[2]) == 0
    assert read(sent[0]) == 0
    made(api.delete(f"{MESSAGES}/{say(olga, 'Never mind')['id']}", owner))
    assert unread(api, editor) == {"team": 0, hers: 1}
    latest = say(olga, "And now?")
    [team, own] = made(api.get("/api/chat/rooms", editor))["data"]
    assert (team["unread"], team["lastMessage"]) == (1, latest)
    assert (own["room"], own["lastMessage"]["message"]) == (hers, "For you")
    assert unread(api, other_editor)["team"] == 5


# -- a server that restarts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["stop", "kill"])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_after_a_restart_one_gets_exactly_what_one_missed(live, editor, other_editor, ends, transport):
    there = live.start()
    ravi = there.connect(other_editor, transports=[transport], reconnection=True, reconnection_delay=100)
    asha = live.connect(editor)  # at another process, which goes on
    joined = done(ravi, "join_room")
    say(asha, "before")
    last = ravi.wait("new_message")["eventId"]
    getattr(there.app, ends)()
    assert ravi.disconnected() in ("transport close", "transport error")
    missed = [say(asha, f"missed {number}") for number in range(3)]
    made(live.api.delete(f"{MESSAGES}/{missed[1]['id']}", editor))

    again = start_app(environment(live.inside), there.app.port)
    try:
        ravi.connected(30, times=2)
        answer = done(ravi, "sync", {"since": last})
        events = [(event["event"], event["data"].get("message")) for event in answer["events"]]
        assert events == [("new_message", "missed 0"), ("new_message", "missed 2"), ("message_deleted", None)]
        assert answer["more"] is False
        everything = done(ravi, "sync", {"since": joined["lastEventId"]})["events"]
        assert [event["data"]["message"] for event in everything[:1]] == ["before"]
        assert everything[1:] == answer["events"]
        # Rooms are joined anew; nothing was heard meanwhile.
        assert heard(ravi)[-1]["eventId"] == last
        assert join(ravi) == {other_editor.id}
        after = say(asha, "after")
        assert told(ravi.wait("new_message", lambda data: data["id"] == after["id"])) == after
        assert done(ravi, "sync", {"since": answer["lastEventId"]})["events"][0]["data"]["id"] == after["id"]
        assert refused(ravi, "sync", {"since": last[:-1] + "x"}) == (422, "invalid", ["since"])
    finally:
        again.stop()


def test_pages_of_a_sync_join_to_the_whole(live, editor, other_editor):
    asha, ravi = live.connect(editor), live.connect(other_editor)
    since = done(ravi, "sync")["lastEventId"]
    sent = [say(asha, f"{number}") for number in range(10)]
    got, more = [], True
    while more:
        answer = done(ravi, "sync", {"since": since, "limit": 3})
        assert len(answer["events"]) == 3 or not answer["more"]
        got, since, more = got + answer["events"], answer["lastEventId"], answer["more"]
    assert [told(event["data"]) for event in got] == sent
    by_rest = made(live.api.get("/api/events", other_editor, query_string={"since": got[4]["eventId"]}))
    assert by_rest["events"] == got[5:]
