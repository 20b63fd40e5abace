"""A hundred thousand malformed frames: nothing breaks, nothing grows, and a good client is served all the while."""

import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from attacks import Target, memory_of, under_attack
from frames import SEPARATOR, Polls

from . import size
from .noise import Burst, Noise

pytestmark = pytest.mark.only_on("postgresql")
FRAMES = size(10_000, 100_000)
WARM_UP = 1_000
ATTACKERS = 4
MOST_GROWTH = 20 * 1024  # KiB
SEED = 20_251_103


@pytest.fixture
def target(live):
    with under_attack(live) as target:
        target.lines_allowed = 10**9  # counted below
        yield target


class Attacker:
    """One of several, each with a seed and an account of their own."""

    def __init__(self, target: Target, number: int) -> None:
        self.target = target
        self.noise = Noise(SEED + number)
        self.token = target.live.people.editor().token
        self.sent: Counter[str] = Counter()
        self.connections = 0

    def attack(self, frames: int) -> None:
        goal = self.sent.total() + frames
        while self.sent.total() < goal:
            burst = self.noise.burst()
            kind = (
                f"{'WebSocket' if burst.by_websocket else 'polling'}, {'logged in' if burst.logged_in else 'anonymous'}"
            )
            (self.by_websocket if burst.by_websocket else self.by_polls)(burst)
            self.sent[kind] += len(burst.packets)
            self.connections += 1

    def by_websocket(self, burst: Burst) -> None:
        with self.target.websocket() as wire:
            if burst.logged_in:
                assert wire.log_in(self.token).startswith("40{")
            # It may be thrown out at any moment.
            with suppress(OSError):
                sent = b"".join(burst.frames)
                wire.raw(sent[: len(sent) // 2] if burst.ending == "cut" else sent)
            if burst.ending == "reset":
                wire.close(reset=True)
            elif burst.ending != "close":
                with suppress(OSError):
                    wire.wire.shutdown(socket.SHUT_WR)
                assert wire.hung_up(30)

    def by_polls(self, burst: Burst) -> None:
        with self.target.polls() as polls:
            if burst.logged_in:
                assert polls.log_in(self.token).startswith("40{")
            half = len(burst.packets) // 2
            for part in (burst.packets[:half], burst.packets[half:]):
                status, _ = polls.post(SEPARATOR.join(part).encode("utf-8", "surrogatepass"))
                assert status in (200, 400)
            if burst.ending == "cut":
                self.cut_short(polls)
            # Also what "cut" or a malformed packet closed: the next of this session is refused, and no more.
            assert polls.say("1")[0] in (200, 400)

    def cut_short(self, polls: Polls) -> None:
        with socket.create_connection(("127.0.0.1", polls.port)) as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.sendall(f"POST /socket.io/?{polls.query} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n4".encode())


class Watch(threading.Thread):
    """Asks for acknowledgements and looks at the memory, until it is told to stop."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self.stopped = threading.Event()
        self.seconds: list[float] = []
        self.memory = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stopped.wait(0.02):
                begun = time.monotonic()
                assert self.target.acknowledges()
                self.seconds.append(time.monotonic() - begun)
                self.memory = max(self.memory, memory_of(self.target.worker))
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.error = error

    def end(self) -> None:
        self.stopped.set()
        self.join()
        if self.error:
            raise self.error


def all_attack(attackers: list[Attacker], frames: int) -> None:
    with ThreadPoolExecutor(ATTACKERS) as pool:
        for done in [pool.submit(attacker.attack, frames // ATTACKERS) for attacker in attackers]:
            done.result()


def test_noise_breaks_nothing(target, measured):
    attackers = [Attacker(target, number) for number in range(ATTACKERS)]
    all_attack(attackers, WARM_UP)
    for attacker in attackers:
        attacker.sent.clear()
        attacker.connections = 0
    target.seen = len(target.log())
    before = memory_of(target.worker)
    watch = Watch(target)
    watch.start()
    begun = time.monotonic()
    try:
        all_attack(attackers, FRAMES)
    finally:
        watch.end()
    seconds = time.monotonic() - begun
    growth = memory_of(target.worker) - before

    sent: Counter[str] = sum((attacker.sent for attacker in attackers), Counter())
    acks = sorted(watch.seconds)
    lines = target.logged()
    measured("frames", f"{sent.total()} in {seconds:.0f} s: {dict(sent)}")
    measured("connections", sum(attacker.connections for attacker in attackers))
    measured("acknowledgements of a good client", len(acks))
    measured(
        "p50, p99 and longest", ", ".join(f"{acks[int(len(acks) * p)] * 1000:.0f} ms" for p in (0.5, 0.99, 0.9999))
    )
    measured("memory before, at most and after", f"{before // 1024}, {watch.memory // 1024}, {growth // 1024:+} MiB")
    measured("lines in the log", len(lines))
    assert sent.total() >= FRAMES
    assert len(sent) == 4
    assert min(sent.values()) > FRAMES / 20
    assert len(acks) > seconds  # one a second at the very least
    assert growth <= MOST_GROWTH
    assert not [line for line in lines if "closed a socket of 127.0.0.1 after" not in line]
    assert len(lines) <= sum(attacker.connections for attacker in attackers)
