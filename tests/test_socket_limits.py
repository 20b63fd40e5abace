"""How many sockets, messages and events: what is too much is said, and what was refused doesn't count."""

import time
from contextlib import suppress

import pytest
from sockets import Refused
from talk import done, join, made, refused, say, until

MESSAGES = "/api/chat/messages"


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def is_full(live, who, **options):
    with pytest.raises(Refused) as caught:
        live.connect(who, **options)
    problem = caught.value.data
    assert (problem["status"], problem["code"]) == (429, "rate_limited"), problem
    assert problem["retryAfter"] > 0
    return True


def gets_in(live, who, **options):
    """The client, once there is a place."""
    inside = []

    def tried():
        with suppress(Refused):
            inside.append(live.connect(who, **options))
        return inside

    until(tried)
    return inside[0]


# -- sockets ---------------------------------------------------------------------------------------------------------


def test_a_person_has_so_many_sockets_and_no_more(live, editor, other_editor):
    there = live.start(SOCKETS_PER_USER="2")
    first = there.connect(editor)
    second = there.connect(editor, transports=["polling"], namespace="/ws/chat", path="/ws/chat")
    assert is_full(there, editor)
    assert is_full(there, editor, namespace="/ws/chat", transports=["polling"])
    assert join(there.connect(other_editor)) == {other_editor.id}
    assert join(first) == join(second) == {editor.id, other_editor.id}
    first.drop()
    gets_in(there, editor)


def test_unless_told_otherwise_it_is_ten_a_person(live, editor):
    clients = [live.connect(editor, namespace=space) for space in ("/", "/ws/chat") for _ in range(5)]
    assert is_full(live, editor)
    assert all(done(client, "sync")["lastEventId"] for client in clients)


def test_a_place_is_free_once_its_socket_closed(live, editor):
    there = live.start(SOCKETS_PER_USER="1")
    for transport in ("websocket", "polling", "websocket"):
        client = gets_in(there, editor, transports=[transport])
        assert is_full(there, editor)
        client.disconnect()
        client.disconnected()


def test_who_is_full_takes_no_place_from_another_on_the_same_connection(live, people):
    """Two people may share a connection, one in each namespace: each holds a place."""
    there = live.start(SOCKETS_PER_USER="1", SOCKETS_PER_ADDRESS="3")
    full, shrewd = people.editor(), people.editor()
    there.connect(full)
    there.connect(shrewd, force_new=False)
    with pytest.raises(Refused):
        there.connect(full, namespace="/ws/chat", force_new=False)
    assert is_full(there, shrewd)
    last = there.connect(people.editor())
    assert is_full(there, people.editor())
    last.close()
    gets_in(there, people.editor())


def test_an_address_has_so_many_sockets_whoever_they_are_of(live, people):
    there = live.start(SOCKETS_PER_ADDRESS="3", TRUSTED_PROXIES="1")
    clients = [there.connect(people.editor()) for _ in range(3)]
    assert is_full(there, people.editor())
    elsewhere = {"X-Forwarded-For": "203.0.113.7"}
    there.connect(people.editor(), headers=elsewhere)
    for address in ("2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::3"):
        there.connect(people.editor(), headers={"X-Forwarded-For": address})
    assert is_full(there, people.editor(), headers={"X-Forwarded-For": "2001:db8:1:2::4"})
    there.connect(people.editor(), headers={"X-Forwarded-For": "2001:db8:1:3::1"})
    clients.pop().close()
    gets_in(there, people.editor())


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_full_server_says_so_and_goes_on_for_those_inside(live, people, transport):
    there = live.start(SOCKETS_TOTAL="3")
    clients = [there.connect(people.editor(), transports=[transport]) for _ in range(3)]
    with pytest.raises(Refused) as caught:
        there.connect(people.editor(), transports=[transport])
    assert caught.value.status == 503
    origin = there.inside.config["CORS_ORIGINS"][0]
    answer = there.api.get("/ws/chat/?EIO=4&transport=polling", headers={"Origin": origin})
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "unavailable", "2")
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert all(done(client, "sync")["lastEventId"] for client in clients)
    assert there.api.get("/healthz").status_code == 200
    clients.pop().close()
    gets_in(there, people.editor())


# -- messages --------------------------------------------------------------------------------------------------------


def test_ten_messages_in_ten_seconds_over_both_doors_together(live, api, editor, other_editor):
    asha, other_tab, ravi = live.connect(editor), live.connect(editor, namespace="/ws/chat"), live.connect(other_editor)
    join(ravi)
    began = time.monotonic()
    for number in range(3):
        say(asha, f"a{number}", clientId=f"c{number}")
        say(other_tab, f"b{number}")
        made(api.post(MESSAGES, editor, {"message": f"c{number}"}))
    # What is refused or was stored before is no message.
    for _ in range(5):
        assert refused(asha, "send_message", {"message": ""}) == (422, "invalid", ["message"])
        assert refused(asha, "send_message", {"message": "x", "room": "management"})[0] == 403
        assert api.post(MESSAGES, editor, {"message": "x", "clientId": 5}).status_code == 422
        assert say(asha, "again", clientId="c1")["message"] == "a1"
        assert made(api.post(MESSAGES, editor, {"message": "again", "clientId": "c2"}))["message"] == "a2"
    say(other_tab, "the tenth")
    for client in (asha, other_tab):
        problem = client.emit("send_message", {"message": "one too many"})
        assert (problem["status"], problem["code"]) == (429, "rate_limited")
        assert 1 <= problem["retryAfter"] <= 10
    answer = api.post(MESSAGES, editor, {"message": "one too many"})
    assert (answer.status_code, answer.json["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10
    assert time.monotonic() < began + 10, "too slow to tell"
    assert say(asha, "again", clientId="c1")["message"] == "a1"
    say(ravi, "another person is not concerned")

    time.sleep(problem["retryAfter"])
    say(asha, "after a while")
    until(lambda: len(ravi.events("new_message")) == 12)
    ravi.wait("new_message", lambda data: data["message"] == "after a while")
    assert not [event for event in ravi.events("new_message") if "too many" in event.data["message"]]


# -- events ----------------------------------------------------------------------------------------------------------


def test_a_client_that_asks_without_end_is_slowed_down(live, editor, other_editor):
    there = live.start(RATELIMIT_ENABLED="on", RATE_LIMIT_PER_MINUTE="5")
    client = there.connect(editor)
    answers = [client.emit("typing", {"typing": True}) for _ in range(11)]
    assert ["code" in answer for answer in answers] == [False] * 10 + [True]
    problem = client.emit("sync")
    assert (problem["status"], problem["code"]) == (429, "rate_limited")
    assert 1 <= problem["retryAfter"] <= 60
    # Messages have a limit of their own, unless they are refused.
    say(client, "Hello")
    assert refused(client, "send_message", {"message": ""})[:2] == (429, "rate_limited")
    assert done(there.connect(other_editor), "sync")["lastEventId"]
    assert client.gone == []
