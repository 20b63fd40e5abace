"""Malformed frames without end, the same for the same seed."""

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attacks import PACKETS
from frames import BINARY, CLOSE, PING, PONG, TEXT, frame

LONGEST = 70_000  # a little more than is taken
CHARACTERS = '0123456789-/,[]{}":\\ abcnullTRUE\x00\x1e\x1b\n\r²٣😀ä\ufeff\ud7ff'
EVENTS = ("join_room", "leave_room", "send_message", "typing", "authenticate", "sync", "connect", "disconnect", "", "x")
FIELDS = (
    "room",
    "message",
    "token",
    "userId",
    "role",
    "since",
    "limit",
    "typing",
    "clientId",
    "__proto__",
    "_placeholder",
)
SPACES = ("", "/", "/ws/chat,", "/ws/chat", "/ws/chat?x=1,", "/nowhere,", "/,", "ws,", "/\x00,")


@dataclass
class Burst:
    """What one attacker sends over one connection."""

    by_websocket: bool
    logged_in: bool
    packets: list[str]
    frames: list[bytes]  # the same packets in WebSocket frames, sound or not
    ending: str


class Noise:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def burst(self) -> Burst:
        pick = self.random
        packets = [self.packet() for _ in range(pick.randint(1, 12))]
        return Burst(
            by_websocket=pick.random() < 0.7,
            logged_in=pick.random() < 0.5,
            packets=packets,
            frames=[self.frame(packet) for packet in packets],
            ending=pick.choice(["end", "end", "close", "reset", "cut"]),
        )

    # -- packets

    def packet(self) -> str:
        makers: list[Callable[[], str]] = [
            lambda: self.random.choice(PACKETS),
            lambda: self.mutated(self.random.choice(PACKETS)),
            lambda: self.mutated(self.event()),
            self.event,
            self.scraps,
            self.connect,
        ]
        return self.random.choice(makers)()[:LONGEST]

    def event(self) -> str:
        pick = self.random
        number = pick.choice(["", "0", "7", "9" * 20, "9" * 99, "-1", "x"])
        arguments = [pick.choice(EVENTS), *(self.value(0) for _ in range(pick.randint(0, 3)))]
        kind = pick.choice(["42", "42", "42", "43", "45", "451-", "46", "4599-"])
        return f"{kind}{pick.choice(SPACES)}{number}{json.dumps(arguments, ensure_ascii=pick.random() < 0.5)}"

    def connect(self) -> str:
        return f"4{self.random.choice('01')}{self.random.choice(SPACES)}{json.dumps(self.value(0))}"

    def value(self, depth: int) -> Any:
        pick = self.random
        plain = [
            None,
            True,
            0,
            -1,
            2**53,
            1e308,
            "",
            "x",
            "\x00",
            "\ud800",
            "ä😀",
            "9" * 400,
            float("nan"),
            float("inf"),
        ]
        if depth > 3 or pick.random() < 0.5:
            return pick.choice(plain)
        if pick.random() < 0.4:
            return [self.value(depth + 1) for _ in range(pick.randint(0, 3))]
        return {pick.choice(FIELDS): self.value(depth + 1) for _ in range(pick.randint(0, 4))}

    def scraps(self) -> str:
        length = self.random.choice([0, 1, 2, 3, 5, 20, 500, 10_000])
        return self.random.choice(["", "4", "42", "40", "43"]) + "".join(self.random.choices(CHARACTERS, k=length))

    def mutated(self, text: str) -> str:
        pick = self.random
        at = pick.randint(0, len(text))
        return pick.choice(
            [
                text[:at],
                text[at:],
                text[:at] + pick.choice(CHARACTERS) + text[at:],
                text[:at] + pick.choice(CHARACTERS) + text[at + 1 :],
                text + text,
                text.replace('"', "'"),
                text.replace("[", "[" * pick.randint(2, 2000)),
            ]
        )

    # -- frames

    def frame(self, packet: str) -> bytes:
        pick = self.random
        data = packet.encode("utf-8", "surrogatepass")
        if pick.random() < 0.85:
            return frame(data)
        at = pick.randint(0, len(data))
        return pick.choice(
            [
                lambda: frame(data, BINARY),
                lambda: frame(data[:at], final=False) + frame(data[at:], 0),
                lambda: frame(data[:at], final=False) + frame("", PING) + frame(data[at:], 0),
                lambda: frame(data[:at], final=False) + frame(data[at:], TEXT),
                lambda: frame(data, 0),
                lambda: frame(data, masked=False),
                lambda: frame(data, pick.randint(3, 15)),
                lambda: frame(data, reserved=pick.randint(1, 7)),
                lambda: frame(data, form=127, length=pick.choice([0, 5, 65_537, 2**40, 2**64 - 1])),
                lambda: frame(data[:125], pick.choice([PING, PONG])),
                lambda: frame(data, PING),
                lambda: frame(struct.pack("!H", pick.randint(0, 65_535)) + data[:60], CLOSE),
                lambda: frame("4", final=False) + frame("x" * 700, 0, final=False) * 100,
                lambda: bytes(pick.choices(range(256), k=pick.randint(1, 300))),
                lambda: frame(bytes(pick.choices(range(256), k=pick.randint(1, 300)))),
            ]
        )()
