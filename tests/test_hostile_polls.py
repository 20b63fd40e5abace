"""Hostile long polling: what is no call of Socket.IO, several at once, and the way from there to a WebSocket."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from attacks import PACKETS, Target, under_attack
from frames import SEPARATOR, Handshake, Polls, WebSocket
from servers import RunningApp

from idyll.live.frames import MAX_BYTES

pytestmark = pytest.mark.only_on("postgresql")
HOST = "Host: 127.0.0.1"


@pytest.fixture
def target(live):
    with under_attack(live) as target:
        yield target


@pytest.fixture
def people(live):
    return live.people


def raw(target: Target | RunningApp, head: str, body: bytes = b"", *, cut: bool = False) -> bytes:
    """All that is answered to bytes on a new connection; `cut` says that no more will come."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=10) as wire:
        wire.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        if cut:
            wire.shutdown(socket.SHUT_WR)
        answer = b""
        while data := wire.recv(1 << 16):
            answer += data
    return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


# -- one POST --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 16, 17, 500])
def test_as_many_packets_as_fit_are_all_taken(target, people, count):
    with target.polls() as polls:
        polls.log_in(people.editor().token)
        packets = [f'42{number}["leave_room",{{}}]' for number in range(count)]
        assert polls.say(*packets) == (200, "OK")
        answers: list[str] = []
        while len(answers) < count:
            answers += polls.get()[1].split(SEPARATOR)
        assert answers == [f'43{number}[{{"room":"team"}}]' for number in range(count)]


def test_three_thousand_packets_too(target):
    with target.polls() as polls:
        assert polls.say(*["3"] * 3000, "40") == (200, "OK")
        assert polls.hear(lambda text: text.startswith("44"))


def test_a_body_may_be_64_kib_and_no_more(target):
    with target.polls() as polls:
        assert polls.post(b"4" * MAX_BYTES) == (200, "OK")
        assert polls.is_open()
        assert polls.post(b"4" * (MAX_BYTES + 1))[0] == 400
        assert not polls.is_open()
    with target.polls() as polls:
        piece = b"8000\r\n" + b"4" * 0x8000 + b"\r\n"
        head = f"POST /socket.io/?{polls.query} HTTP/1.1\n{HOST}\nConnection: close\nTransfer-Encoding: chunked"
        assert status(raw(target, head, piece * 3 + b"0\r\n\r\n")) == 400
        assert not polls.is_open()


def test_a_body_of_unsaid_length_is_read(target):
    with target.polls() as polls:
        head = f"POST /socket.io/?{polls.query} HTTP/1.1\n{HOST}\nConnection: close\n"
        assert status(raw(target, head + "Transfer-Encoding: chunked", b"1\r\n4\r\n1\r\n0\r\n0\r\n\r\n")) == 200
        assert polls.hear(lambda text: text.startswith("44"))
        assert status(raw(target, head + "X-No-Length: x", b"40")) == 200
        assert polls.is_open()


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ("Content-Length: 100", b"40"),
        ("Content-Length: 99999999999999", b"40"),
        ("Transfer-Encoding: chunked", b"zz\r\n"),
    ],
    ids=["cut short", "endless", "badly chunked"],
)
def test_a_broken_body_ends_its_own_session_only(target, more, body):
    with target.polls() as polls:
        assert status(raw(target, f"POST /socket.io/?{polls.query} HTTP/1.1\n{HOST}\n{more}", body, cut=True)) == 400
        assert not polls.is_open()


def test_the_fifth_malformed_packet_ends_a_session(target):
    target.lines_allowed = 2 * len(PACKETS)
    for packet in PACKETS:
        if packet == "\x1e":
            continue  # the separator: two packets of nothing
        with target.polls() as one_by_one, target.polls() as at_once:
            assert one_by_one.say(*[packet] * 4) == (200, "OK")
            assert one_by_one.is_open(), packet
            one_by_one.say(packet)
            assert not one_by_one.is_open(), packet
            assert at_once.say(*[packet] * 5, "40")[0] == 400
            assert not at_once.is_open(), packet


def test_bytes_that_are_no_text_are_malformed(target):
    with target.polls() as polls:
        for _ in range(4):
            assert polls.post(b"4\xff\xfe") == (200, "OK")
        assert polls.is_open()
        polls.post(b"\xff")
        assert not polls.is_open()


# -- several calls at once -------------------------------------------------------------------------------------------


def test_a_second_poll_beside_the_first_ends_the_session(target):
    with target.polls() as polls, ThreadPoolExecutor() as pool:
        first = pool.submit(polls.get)
        time.sleep(0.3)
        second = Polls.__new__(Polls)
        second.__dict__.update(polls.__dict__)
        second.connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
        assert second.get()[0] == 400
        assert first.result(10) == (200, "6")
        assert not polls.is_open()
        second.close()


def test_a_second_post_beside_the_first_ends_the_session(target):
    with target.polls() as polls, socket.create_connection(("127.0.0.1", target.port)) as slow:
        head = f"POST /socket.io/?{polls.query} HTTP/1.1\r\n{HOST}\r\nContent-Length: 100\r\n\r\n"
        slow.sendall(head.encode() + b"4")
        time.sleep(0.3)
        assert polls.say("40")[0] == 400
        assert not polls.is_open()


def test_who_leaves_while_coming_in_was_never_here(target, people):
    token = people.editor().token
    for moment in range(30):
        with target.polls() as polls, socket.create_connection(("127.0.0.1", target.port)) as other:
            body = f'40{{"token":"{token}"}}'
            head = f"POST /socket.io/?{polls.query} HTTP/1.1\r\n{HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
            other.sendall((head + body).encode())
            time.sleep(moment * 0.0003)
            polls.say("1")
    # More than one person may have open: none of them counts.
    with target.websocket() as wire:
        assert wire.log_in(token).startswith("40{")


def test_who_never_polls_is_cut_off(target):
    with target.polls() as polls:
        assert polls.say(*["5"] * 6000)[0] == 400
        assert not polls.is_open()


# -- what is no call -------------------------------------------------------------------------------------------------

START = "EIO=4&transport=polling"
ODD = [
    *("", "EIO=4", "transport=polling", "EIO=3&transport=polling", "EIO=four&transport=polling", "EIO=4&transport="),
    *("EIO=4&transport=flash", "EIO=4&transport=websocket", "EIO=4&EIO=3&transport=polling", "%ff%fe=%ff", "&&&=&;"),
    *(f"{START}&j=0", f"{START}&j=x", f"{START}&j={'9' * 5000}", f"{START}&sid=x", f"{START}&sid={'x' * 5000}"),
    *(f"{START}&sid=%0d%0a", f"{START}&sid=%00", f"{START}&sid=../../etc", f"{START}&sid=%ff"),
]


@pytest.mark.parametrize("query", ODD, ids=lambda query: query[:50])
def test_what_is_no_call_is_refused(target, query):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"):
        answer = raw(target, f"{method} /socket.io/?{query} HTTP/1.1\n{HOST}\nConnection: close")
        assert status(answer) == 400, (method, answer)
    assert target.logged() == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_only_get_and_post_are_calls(target, method):
    with target.polls() as polls:
        for query in (START, polls.query):
            assert status(raw(target, f"{method} /socket.io/?{query} HTTP/1.1\n{HOST}\nConnection: close")) == 400
        assert polls.is_open()


def test_what_a_stranger_sends_is_logged_as_text_of_one_line(live):
    """In a process of its own: each is said only the first time."""
    new = live.start()
    for head in (
        f"GET /socket.io/?{START}&sid=%0d%0aERROR%20forged%1b[2J%c2%85{'x' * 500} HTTP/1.1\n{HOST}",
        f"GET /socket.io/?{START} HTTP/1.1\n{HOST}\nOrigin: http://evil\x85\x9b31m\xff",
    ):
        assert status(raw(new.app, f"{head}\nConnection: close")) == 400
    said = [line for line in new.app.log.read_text().split("\n") if "forged" in line or "evil" in line]
    assert len(said) == 2
    assert all(line.startswith("ERROR idyll.sockets.library: ") and line.isprintable() for line in said)
    assert all(len(line) < 300 for line in said)


def test_an_empty_session_id_opens_no_way_round_a_full_server(live):
    small = live.start(SOCKETS_TOTAL="2")
    with Polls(small.app.port), Polls(small.app.port):
        for more in ("", "&sid=", "&sid=&sid="):
            answer = raw(small.app, f"GET /socket.io/?{START}{more} HTTP/1.1\n{HOST}\nConnection: close")
            assert status(answer) == 503, more


# -- the way to a WebSocket ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [["40"], ["2"], ["2x"], ["2probe", "2probe"], ["2probe", "40"], ["2probe", "6"], ["3probe"], []]
)
def test_an_upgrade_that_fails_leaves_the_session_with_its_polls(target, sent):
    with target.polls() as polls:
        with target.websocket(session=polls.sid) as wire:
            wire.say(*sent)
            time.sleep(0.2)
        assert polls.say("40") == (200, "OK")
        assert polls.hear(lambda text: text.startswith("44{"))


def test_a_websocket_that_only_looks_open_holds_nothing_up(target, people):
    with target.polls() as polls, target.websocket(session=polls.sid):
        begun = time.monotonic()
        assert polls.log_in(people.editor().token).startswith("40{")
        polls.say('421["sync",{}]')
        assert polls.hear(lambda text: text.startswith("431["))
        assert time.monotonic() < begun + 5


def test_a_session_is_taken_over_once(target, people):
    with target.polls() as polls:
        polls.log_in(people.editor().token)
        with target.websocket(session=polls.sid) as wire, target.websocket(session=polls.sid) as second:
            assert second.hung_up(5)
            wire.say("2probe")
            assert wire.wait(lambda text: text == "3probe")
            wire.say("5")
            assert wire.ask("sync", {})["lastEventId"]
            with target.websocket(session=polls.sid) as third:
                assert third.hung_up(5)
            assert polls.get()[0] == 400
            assert polls.say("40")[0] == 400
            assert wire.ask("sync", {}, 2)["lastEventId"]


def test_many_who_would_take_over_at_once(target, people):
    """Whoever wins, the session has one WebSocket, and the others are closed."""
    with target.polls() as polls, ThreadPoolExecutor(8) as pool:
        polls.log_in(people.editor().token)
        together = threading.Barrier(8)

        def take_over(_: int) -> str | None:
            together.wait(10)
            with target.websocket(session=polls.sid) as wire:
                try:
                    wire.say("2probe", "5", '421["sync",{}]')
                    return wire.wait(lambda text: text.startswith("431["), timeout=5)
                except (AssertionError, OSError):
                    return None

        won = [answer for answer in pool.map(take_over, range(8)) if answer]
        assert len(won) == 1
        assert json.loads(won[0][3:])[0]["lastEventId"]


def test_a_session_of_somebody_else_cant_be_guessed(target):
    for session in ("x", "A" * 20, "%00", "../", "0"):
        with pytest.raises(Handshake) as caught:
            WebSocket(target.port, session=session)
        assert caught.value.status == 400
