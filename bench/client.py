"""Requests of the measuring side itself: log-ins, and what is looked at before measuring."""

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .data import PASSWORD


@dataclass(frozen=True)
class Person:
    """Somebody signed in at one server; as JSON it is what the socket scripts read."""

    login: str
    token: str
    id: str
    role: str


def call(url: str, method: str = "GET", *, token: str = "", body: Any = None, timeout: float = 60) -> tuple[int, Any]:
    """Status and parsed body, of refusals too."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        # bandit asks about schemes: the addresses are those of servers started here.
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # nosec B310
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read()
    return status, json.loads(content) if content else None


def log_in(url: str, login: str) -> Person:
    status, answer = call(f"{url}/api/auth/login", "POST", body={"login": login, "password": PASSWORD})
    if status != 200:
        raise RuntimeError(f"{login} cannot log in at {url}: {status} {answer}")
    user = answer["user"]
    return Person(login, answer["accessToken"], user["id"], user["role"])


class PacedLogIns:
    """So many log-ins a second beside the load, whether or not the ones before are answered.

    What became of them is known after the block.
    """

    def __init__(self, url: str, login: str, per_second: float) -> None:
        self.url, self.login, self.pause = url, login, 1 / per_second
        self.pool = ThreadPoolExecutor(64)
        self.sent: list[Future[float | None]] = []
        self.ended = False

    def __enter__(self) -> "PacedLogIns":
        self.sending = self.pool.submit(self._send_all)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        self.sending.result()
        self.pool.shutdown(wait=True)

    @property
    def refused(self) -> list[str]:
        """Why, for each that came to nothing, also after the end."""
        return [str(error) for one in self.sent if (error := one.exception())]

    @property
    def waits(self) -> list[float]:
        """Seconds that each took that was answered before the end."""
        return [wait for one in self.sent if not one.exception() and (wait := one.result()) is not None]

    def _send_all(self) -> None:
        due = time.monotonic()
        while not self.ended:
            self.sent.append(self.pool.submit(self._one, time.monotonic()))
            due += self.pause
            time.sleep(max(0.0, due - time.monotonic()))

    def _one(self, sent_at: float) -> float | None:
        log_in(self.url, self.login)
        return None if self.ended else time.monotonic() - sent_at
