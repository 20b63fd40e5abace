"""A socket and its access token: it ends with the token, unless a new one is shown in time."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from doors import log_in
from forgeries import forgeries
from frames import WebSocket
from talk import SOON, done, join, made, refused, stays, token_for

BOTH = pytest.mark.parametrize("transport", ["websocket", "polling"])


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


@BOTH
@pytest.mark.parametrize("namespace", ["/", "/ws/chat"])
def test_a_token_ends_and_its_socket_with_it(live, api, owner, editor, transport, namespace):
    short = live.connect(token_for(live.inside, editor, 2), transports=[transport], namespace=namespace)
    long = live.connect(editor)
    for client in (short, long):
        join(client)
    made(api.post("/api/chat/messages", owner, {"message": "before"}))
    assert short.wait("new_message")["message"] == "before"
    assert short.wait("token_expired", timeout=2 + SOON) == {}
    assert short.disconnected(SOON) == "io server disconnect"
    made(api.post("/api/chat/messages", owner, {"message": "after"}))
    long.wait("new_message", lambda data: data["message"] == "after")
    short.silent("new_message", for_seconds=0.2)
    short.set_token(editor.token)
    missed = done(short.reconnect(), "sync", {"since": short.events("new_message")[-1].data["eventId"]})
    assert [event["data"]["message"] for event in missed["events"]] == ["after"]
    assert stays(long)


@BOTH
def test_who_shows_a_new_token_in_time_carries_on(live, editor, other_editor, transport):
    client = live.connect(token_for(live.inside, editor, 3), transports=[transport])
    join(client)
    for bad in ("nonsense", "", editor.refresh_token, token_for(live.inside, editor, -1)):
        assert refused(client, "authenticate", {"token": bad}) == (401, "invalid_token", []), bad
    assert refused(client, "authenticate", {"token": other_editor.token}) == (403, "forbidden", ["token"])
    before = int(time.time())
    answer = done(client, "authenticate", {"token": token_for(live.inside, editor, 600)})
    assert answer.keys() == {"expiresAt"}
    ends = datetime.fromisoformat(answer["expiresAt"]).timestamp()
    assert before + 590 <= ends <= time.time() + 610
    client.silent("token_expired", for_seconds=4.5)
    assert stays(client)
    assert join(client) == {editor.id}


@pytest.mark.parametrize("namespace", ["", "/ws/chat,"])
def test_of_all_forgeries_not_one_opens_a_socket_or_prolongs_one(live, editor, other_editor, namespace):
    forged = list(forgeries(live.inside, editor, other_editor).items())
    assert len(forged) >= 40
    client = live.connect(editor, namespace=namespace.rstrip(",") or "/")
    for few in (forged[at : at + 10] for at in range(0, len(forged), 10)):
        with WebSocket(live.app.port) as wire:
            for name, token in few:
                wire.say(f"40{namespace}{json.dumps({'token': token})}", f'42{namespace}7["sync",{{}}]')
                answer = wire.next()
                assert answer.startswith(f"44{namespace}{{"), (name, answer)
                assert json.loads(answer.removeprefix(f"44{namespace}"))["data"]["status"] == 401, name
            assert not wire.hung_up(0.2)
            assert wire.came == b""
    for name, token in forged:
        # A text of more than 1,024 characters is refused for its length.
        assert refused(client, "authenticate", {"token": token})[0] in (401, 422), name
    assert stays(client)


def test_a_refused_token_prolongs_nothing(live, editor, other_editor):
    client = live.connect(token_for(live.inside, editor, 2))
    for bad in (other_editor.token, "nonsense", token_for(live.inside, editor, -1)):
        assert refused(client, "authenticate", {"token": bad})[0] in (401, 403)
    client.wait("token_expired", timeout=2 + SOON)


def test_a_socket_belongs_to_the_session_whose_token_it_showed_last(live, api, editor):
    tokens = made(log_in(api, editor.email))
    client = live.connect(editor)
    done(client, "authenticate", {"token": tokens["accessToken"]})
    assert api.post("/api/auth/logout", editor).status_code == 204
    time.sleep(SOON / 2)
    assert stays(client)
    assert api.post("/api/auth/logout", tokens["accessToken"]).status_code == 204
    client.wait("token_expired", timeout=SOON)
    assert client.disconnected(SOON) == "io server disconnect"


def test_going_on_with_another_session_is_no_loss_whatever_happens_meanwhile(live, api, people, editor):
    """Whenever anybody's rights change, those of all are looked at; a socket may change its session at that moment."""
    tokens = [editor.token, made(log_in(api, editor.email))["accessToken"]]
    leavers = [people.editor() for _ in range(60)]
    clients = [live.connect(editor) for _ in range(6)]
    with ThreadPoolExecutor(8) as pool:
        leaving = [pool.submit(api.post, "/api/auth/logout", leaver) for leaver in leavers]
        turn = 0
        while not all(one.done() for one in leaving):
            turn += 1
            waiting = [client.send("authenticate", {"token": tokens[turn % 2]}) for client in clients * 3]
            assert all("expiresAt" in one.result(10) for one in waiting)
    assert all(stays(client) for client in clients)
