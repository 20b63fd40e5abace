"""Attacks on the running application, and what it must be like after each of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from conftest import Someone
from frames import Polls, WebSocket
from live import Live
from talk import done

ONCE = "further occurrences of this error will be logged with level INFO"

DEEP = "[" * 6000
# Each is malformed, by itself.
PACKETS = [
    *("", " ", "0", "2", "2probe", "6", "7", "9", "a", "{}", "null", "\x1e", "\x00", "-1", "²"),  # Engine.IO
    *("b", "bAAAA", "b====", "4", "4 ", "4abc", "4²", "4\x00", "4[1]", '4"x"', "4null", "4NaN", f"4{DEEP}", "49" * 50),
    *("42", "42{}", "42[]", "42[1]", "42[null]", '42"x"', "42[[]]", "42[NaN]", f"42{DEEP}", '42["\\ud800"]', "42['a']"),
    *('42["a"', '42["a"]]', '42abc["a"]', f'42{"9" * 101}["a"]', f'42{"9" * 5000}["a"]', '42²["a"]', '421-["a"]'),
    *('42["connect"]', '42["disconnect"]', '421["connect",{}]', '42["disconnect","transport close"]'),
    *("43", "43{}", "43null", "431", "44", '44{"message":"x"}', "47", "48[]", "40NaN", "40{", '40{"token":'),
    *("45", "46", "450-[]", '451-["a",{"_placeholder":true,"num":0}]', '459999999999-["a"]', '4599999999999-["a"]'),
    *("461-1[]", '451-/ws/chat,["a",{"_placeholder":true,"num":9}]', '452-["connect",{"_placeholder":true,"num":0}]'),
]


def worker_of(live: Live) -> int:
    """The process id of gunicorn's one worker: another one means that it crashed."""
    master = live.app.process.pid
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(worker)


def memory_of(process: int) -> int:
    """Resident, in KiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1])


class Target:
    """The application under attack, with a client that means well."""

    def __init__(self, live: Live, good: Someone) -> None:
        self.live = live
        self.port = live.app.port
        self.lines_allowed = 1
        self.client = live.connect(good)
        self.worker = worker_of(live)
        self.seen = len(self.log())

    def log(self) -> str:
        return self.live.app.log.read_text()

    def logged(self) -> list[str]:
        """But for what is said once in a process's life."""
        return [line for line in self.log()[self.seen :].splitlines() if ONCE not in line]

    def websocket(self, **options: object) -> WebSocket:
        return WebSocket(self.port, **options)

    def polls(self) -> Polls:
        return Polls(self.port)

    def acknowledges(self) -> bool:
        """Whether the good client is served."""
        return bool(done(self.client, "sync", {})["lastEventId"])

    def is_unharmed(self) -> bool:
        assert requests.get(f"{self.live.url}/healthz", timeout=10).status_code == 200
        assert self.acknowledges()
        assert self.client.connections == 1, "the good client was cut off"
        assert worker_of(self.live) == self.worker
        lines = self.logged()
        assert "Traceback" not in "\n".join(lines), lines
        assert len(lines) <= self.lines_allowed, lines
        return True


@contextmanager
def under_attack(live: Live) -> Iterator[Target]:
    target = Target(live, live.people.moderator())
    yield target
    assert target.is_unharmed()
