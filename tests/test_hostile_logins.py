"""Hostile log-ins: nobody comes in but by a token, whatever else is sent, and in whatever order."""

import json

import pytest
from attacks import under_attack
from frames import Handshake, Polls, WebSocket
from live import environment
from servers import ROOT, start_app, web_command

pytestmark = pytest.mark.only_on("postgresql")


@pytest.fixture
def target(live):
    with under_attack(live) as target:
        yield target


@pytest.fixture
def people(live):
    return live.people


TOKENS = ["null", "5", '["x"]', '{"token":"x"}', '""', '"\\u0000"', '"a.b.c"', f'"{"x" * 60_000}"']
AUTHS = [
    *("", "{}", "[]", '["token"]', '[{"token":"x"}]', "0", "1", "-1.5e300", "true", "false", "null", '"x"', '""'),
    *(f'{{"token":{token}}}' for token in TOKENS),
    *('{"Token":"x"}', '{"a":' * 200 + "1" + "}" * 200),
]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: auth[:30] or "nothing")
def test_only_a_token_lets_anybody_in_whatever_else_is_sent(target, auth):
    with target.websocket() as wire:
        for space in ("", "/ws/chat,"):
            wire.say(f"40{space}{auth}", f'42{space}1["sync",{{}}]', f'42{space}2["join_room",{{}}]')
            refusal = wire.next()
            assert refusal.startswith(f"44{space}{{"), refusal
            assert json.loads(refusal.removeprefix(f"44{space}"))["data"]["status"] == 401
        assert not wire.hung_up(0.2)
        assert wire.came == b""
    assert target.logged() == []


def test_a_namespace_that_isnt_there_is_refused_and_nothing_else_happens(target, people):
    with target.websocket() as wire:
        for space in ("/x", "/ws", "/ws/chat/", "/%2f", "/" + "x" * 60_000, "/ä\x1b", "//", "/admin"):
            wire.say(f"40{space},")
            assert wire.next() == f'44{space},{{"message":"Invalid namespace"}}'
            wire.say(f'42{space},1["sync",{{}}]', f"41{space},", f"43{space},1[]")
        assert wire.log_in(people.editor().token).startswith("40{")
        wire.say("40")
        assert wire.next().startswith("44{")
        assert wire.ask("sync", {})["lastEventId"]
    assert target.logged() == []


def test_what_nobody_asked_for_is_ignored(target, people):
    token = people.editor().token
    with target.websocket() as wire:
        strange = (
            "41",
            "41/ws/chat,",
            '42["sync",{}]',
            '421["sync",{}]',
            "43[]",
            '431["x"]',
            f"43{'9' * 100}[]",
            "3",
            "3x",
        )
        wire.say(*strange, *strange)
        assert wire.log_in(token).startswith("40{")
        wire.say('42["nonsense"]', '421["nonsense",1,2,3]', "43[]", '431["x"]', f"43{'9' * 100}[]", "3", "5", "5x")
        assert wire.ask("sync", {}, 7)["lastEventId"]
        wire.say("41", '428["sync",{}]')
        assert not wire.hung_up(0.3)
        assert b"438[" not in wire.came
        assert wire.log_in(token).startswith("40{")
    assert target.logged() == []


HANDSHAKES = {
    "the protocol of 2010": {"Sec-WebSocket-Version": "", "Sec-WebSocket-Key": "", "Sec-WebSocket-Key1": "1 2"},
    "and its other half": {"Sec-WebSocket-Version": "", "Sec-WebSocket-Key2": "1 2", "Origin": "http://localhost:5173"},
    "an old version": {"Sec-WebSocket-Version": "7"},
    "no key": {"Sec-WebSocket-Key": ""},
    "not asked to upgrade": {"Connection": "close"},
    "no upgrade": {"Upgrade": ""},
    "another upgrade": {"Upgrade": "h2c"},
    "another origin": {"Origin": "https://evil.example"},
    "no origin": {"Origin": "null"},
}


@pytest.mark.parametrize("headers", HANDSHAKES.values(), ids=HANDSHAKES)
def test_a_handshake_that_is_none_is_refused(target, headers):
    with pytest.raises(Handshake) as caught:
        target.websocket(headers=headers)
    assert caught.value.status in (400, 426)


@pytest.mark.parametrize(
    "asked", ["permessage-deflate; client_max_window_bits", "permessage-deflate; a=;;=,b", ";,=,;"]
)
def test_nothing_is_compressed(target, asked):
    with target.websocket(headers={"Sec-WebSocket-Extensions": asked}) as wire:
        assert "extensions" not in wire.head.lower()
        assert wire.log_in().startswith("44")


KINDS = (
    "pool",
    "database",
    "constraint",
    "disconnected",
    "timeout",
    "killed",
    "exit",
    "interrupted",
    "generator",
    "type",
)


def test_whatever_happens_to_the_look_at_a_token_lets_nobody_in(live, people):
    command = web_command().replace("wsgi:app", f"--pythonpath {ROOT / 'tests' / 'apps'} gate_breaks:app")
    running = start_app(environment(live.inside), command=command)
    live.started.append(running)
    good = people.editor().token
    with WebSocket(running.port) as before:
        assert before.log_in(good).startswith("40{")
        for kind in KINDS:
            with WebSocket(running.port) as wire, Polls(running.port) as polls:
                for space in ("", "/ws/chat,"):
                    packets = (
                        f'40{space}{{"token":"{kind}"}}',
                        f'42{space}1["sync",{{}}]',
                        f'42{space}2["join_room",{{}}]',
                    )
                    wire.say(*packets)
                    polls.say(*packets)
                wire.hung_up(0.3)
                heard = wire.came.decode(errors="replace")
                polls.say("5")  # so that there is something to hear
                heard += polls.get()[1]
                for sign in ("40{", "40/ws/chat,{", "lastEventId", '"members"'):
                    assert sign not in heard, (kind, heard)
            with WebSocket(running.port) as after:
                assert after.log_in(good).startswith("40{"), kind
        assert before.ask("sync", {})["lastEventId"]
