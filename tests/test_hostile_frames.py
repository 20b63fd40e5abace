"""Hostile WebSockets: frames that no client sends. Nobody else notices, and the log has one line for it at most."""

import json
import struct
import threading
import time
import zlib
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from attacks import PACKETS, memory_of, under_attack
from frames import BINARY, CLOSE, PING, PONG, frame
from talk import join

from idyll.live.frames import MAX_BYTES

pytestmark = pytest.mark.only_on("postgresql")
PART = b"x" * 1000
BOMB = zlib.compressobj(wbits=-15)
ESTABLISHED = "01"
MALFORMED, WRONG_TYPE, TOO_BIG = 1002, 1007, 1009


@pytest.fixture
def target(live):
    with under_attack(live) as target:
        yield target


@pytest.fixture
def people(live):
    return live.people


# -- frames ----------------------------------------------------------------------------------------------------------


BROKEN = {
    "not masked": (frame("40", masked=False), MALFORMED),
    "a reserved opcode": (frame("40", 3), MALFORMED),
    "a reserved control opcode": (frame("", 11), MALFORMED),
    "a reserved bit": (frame("40", reserved=4), MALFORMED),
    "compressed, which was not agreed on": (
        frame(BOMB.compress(b"4" + b"0" * 50_000_000) + BOMB.flush(), reserved=4),
        MALFORMED,
    ),
    "no UTF-8": (frame(b"4\xff\xfe"), WRONG_TYPE),
    "a character cut in two by another": (frame(b"4\xc3", final=False) + frame(b"4", 0), WRONG_TYPE),
    "a surrogate in UTF-8": (frame(b"4\xed\xa0\x80"), WRONG_TYPE),
    "a byte too long": (frame(b"4" * (MAX_BYTES + 1)), TOO_BIG),
    "so long that no memory holds it": (frame("4", form=127, length=2**63 + 1), TOO_BIG),
    "too long in sum": (frame("4", final=False) + frame(PART, 0, final=False) * 66, TOO_BIG),
    "fragments without end or content": (frame("4", final=False) + frame("", 0, final=False) * 2000, TOO_BIG),
    "a fragment of nothing": (frame("4", 0), MALFORMED),
    "a message within another": (frame("4", final=False) + frame("40"), MALFORMED),
    "a long ping": (frame(b"x" * 126, PING), MALFORMED),
    "a ping in fragments": (frame("x", PING, final=False), MALFORMED),
    "half a reason to close": (frame("x", CLOSE), MALFORMED),
    "no reason to close": (frame(struct.pack("!H", 1005), CLOSE), MALFORMED),
    "a reason that is no text": (frame(struct.pack("!H", 1000) + b"\xff", CLOSE), MALFORMED),
}


@pytest.mark.parametrize(("sent", "code"), BROKEN.values(), ids=BROKEN)
def test_a_broken_frame_ends_its_own_connection_only(target, sent, code):
    with target.websocket() as wire:
        try:
            wire.raw(sent)
        except OSError:
            assert code == TOO_BIG  # it hung up before it had all
        assert wire.hung_up(10)
        assert wire.code in (code, None if code == TOO_BIG else code)
    assert target.logged() == []


def test_unusual_frames_are_read(target, people):
    said = '4{}{}["sync",{{}}]'
    with target.websocket() as wire:
        assert wire.log_in(people.editor().token).startswith("40")
        whole = said.format(2, 1)
        wire.raw(frame(whole[0], final=False))
        for letter in whole[1:]:
            wire.raw(frame(letter, 0, final=False) + frame("?", PING) + frame("", PONG) + frame("", 0, final=False))
        wire.raw(frame("", 0))
        assert wire.next().startswith("431[")
        wire.raw(frame(said.format(2, 2), form=127) + frame(said.format(2, 3), form=126))
        assert wire.next().startswith("432[")
        assert wire.next().startswith("433[")
        padded = said.format(2, 4)
        wire.raw(frame(padded[:-1] + " " * (MAX_BYTES - len(padded)) + "]"))
        assert wire.next().startswith("434[")
        for byte in frame(said.format(2, 5)):
            wire.raw(bytes([byte]))
            time.sleep(0.005)
        assert wire.next().startswith("435[")


# -- packets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", PACKETS, ids=[ascii(packet[:30]) for packet in PACKETS])
def test_the_fifth_malformed_packet_ends_a_socket_and_no_other(target, people, packet):
    target.lines_allowed = 2
    with target.websocket() as anonymous, target.websocket() as logged_in:
        assert logged_in.log_in(people.editor().token).startswith("40{")
        for wire, asked, answer in ((anonymous, '40{"token":"x"}', "44{"), (logged_in, '421["sync",{}]', "431[")):
            wire.say(*[packet] * 4, asked)
            assert wire.next().startswith(answer)
            wire.say(packet, asked)
            assert wire.hung_up(10)
            assert answer.encode() not in wire.came
    assert all("malformed" in line for line in target.logged())
    assert len(target.logged()) == 2


def test_binary_messages_are_malformed(target):
    with target.websocket() as wire:
        wire.raw(frame(b"40", BINARY) * 4)
        assert not wire.hung_up(0.2)
        wire.raw(frame(b"40", BINARY))
        assert wire.hung_up(10)


def test_refused_payloads_never_close(target, people):
    with target.websocket() as wire:
        wire.log_in(people.editor().token)
        for number in range(50):
            wire.say(f'42{number}["send_message",{json.dumps([{}, [], 5, {"message": 5}, {"x": 1}][number % 5])}]')
        refusals = [json.loads(wire.next().removeprefix(f"43{number}"))[0] for number in range(50)]
        assert {refusal["status"] for refusal in refusals} == {422}
        assert wire.ask("sync", {})["lastEventId"]
    assert target.logged() == []


def test_nobody_disconnects_by_an_event_of_that_name(target, people):
    editor = people.editor()
    join(target.client)
    with target.websocket() as wire:
        wire.log_in(editor.token)
        wire.ask("join_room", {})
        target.client.wait("user_joined", lambda data: data["user"]["id"] == editor.id)
        wire.say('42["disconnect"]', '421["disconnect","x"]', '42["connect"]', '42["connect",{"token":"x"}]')
        assert wire.ask("sync", {}, 2)["lastEventId"]
        target.client.silent("user_left", for_seconds=2.5)


# -- too much --------------------------------------------------------------------------------------------------------


FLOODS = {"pings": frame("", PING), "pongs": frame("", PONG), "packets": frame("3"), "namespaces": frame("40/x")}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_one_leaves_room_for_others(target, flood):
    stop = threading.Event()

    def pour() -> None:
        while not stop.is_set():
            with target.websocket() as wire:
                try:
                    while not stop.is_set():
                        wire.raw(flood * 1000)
                except OSError:
                    pass

    threads = [threading.Thread(target=pour) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        begun = time.monotonic()
        assert all(target.acknowledges() for _ in range(20))
        assert time.monotonic() < begun + 20
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_who_never_reads_is_cut_off_before_it_costs_memory(target):
    before = memory_of(target.worker)
    asked = frame("40/" + "x" * 60_000)
    for _ in range(5):
        with target.websocket(buffer=4096) as wire:
            wire.wire.settimeout(20)
            with pytest.raises(OSError, match=r"reset|pipe"):
                wire.raw(asked * 2000)
    assert memory_of(target.worker) < before + 40_000


def test_who_reads_slowly_gets_everything_whole_and_in_order(target, people):
    asked = [f"{n:02}" for n in range(60)]
    with target.websocket(buffer=4096) as wire:
        wire.log_in(people.editor().token)
        # More than the kernel keeps for it, and less than it is cut off for.
        wire.raw(b"".join([frame(f"40/{name}{'x' * 60_000}") for name in asked]))
        time.sleep(1)
        answers = islice((text for text in wire.texts() if text.startswith("44/")), len(asked))
        assert [(text[3:5], len(text) > 60_000) for text in answers] == [(name, True) for name in asked]


def test_who_is_slow_to_send_or_to_read_and_never_logs_in_is_gone_soon(target):
    with target.websocket() as sends, target.websocket(buffer=4096) as reads, target.websocket() as neither:
        # As the server's side has them: whoever doesn't read would not see the end.
        theirs = [f":{wire.wire.getsockname()[1]:04X}" for wire in (sends, reads, neither)]

        def are_open() -> bool:
            rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            ours = [row for row in rows if row[1].endswith(f":{target.port:04X}") and row[3] == ESTABLISHED]
            return any(row[2][-5:] in theirs for row in ours)

        assert are_open()
        slow = iter(frame("4" * 60_000))
        # More than the kernel keeps for it, and less than it is cut off for.
        reads.raw(frame("40/" + "x" * 60_000) * 60)
        neither.raw(frame("x", final=False)[:3])
        ends = time.monotonic() + 30
        while are_open() and time.monotonic() < ends:
            with suppress(OSError):
                sends.raw(bytes([next(slow)]))
            time.sleep(0.1)
        assert not are_open()
