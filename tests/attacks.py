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
        return self.log()[self.seen :].splitlines()

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
