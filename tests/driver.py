"""The Node.js process that holds the official Socket.IO clients of the tests: tests/js/driver.mjs, seen from Python."""

import json
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from servers import ROOT

# Told of everything that comes for one client: its kind, its name, when it came, and the JSON of it.
Listener = Callable[[str, str, float, str], None]


class NoAck(AssertionError):
    """The server didn't acknowledge in time, or the socket was gone."""


class Refused(Exception):
    """A `connect_error`: its message and data, or what answered a handshake by long polling."""

    def __init__(self, message: str, data: Any, status: int | None, body: str | None) -> None:
        super().__init__(message, data, status, body)
        self.message, self.data, self.status, self.body = message, data, status, body


@dataclass(frozen=True, slots=True)
class Event:
    """What a client received, and when by `time.monotonic()`. The data may be shared: don't change it."""

    name: str
    data: Any
    at: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The end of a connection."""

    reason: str
    at: float


class Driver:
    """One process for hundreds of clients, or of another script that takes and tells lines like it."""

    def __init__(self, script: str = "driver.mjs", *arguments: str) -> None:
        self.process = subprocess.Popen(
            [ROOT / "bin" / "node", ROOT / "tests" / "js" / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C at the terminal is for the tests to handle; at the end of its input it goes by itself.
            start_new_session=True,
        )
        self._numbers = count(1)
        self._listeners: dict[str, Listener] = {}
        self._answers: dict[str, tuple[Future[Any], Callable[[Any], None]]] = {}
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="driver", daemon=True)
        self._reader.start()

    def new_name(self) -> str:
        return f"c{next(self._numbers)}"

    def listen(self, client: str, listener: Listener | None) -> None:
        if listener:
            self._listeners[client] = listener
        else:
            self._listeners.pop(client, None)

    def tell(self, do: str, client: str, **more: Any) -> None:
        line = json.dumps({"do": do, "client": client, **more}, default=_bytes)
        assert self.process.stdin
        with self._writing:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def ask(self, do: str, client: str, check: Callable[[Any], None] = lambda answer: None, **more: Any) -> Future[Any]:
        """The future has what is answered, or `NoAck`; `check` sees the answer first."""
        key = str(next(self._numbers))
        answer: Future[Any] = Future()
        self._answers[key] = answer, check
        self.tell(do, client, id=key, **more)
        if self.process.poll() is not None:
            self._give_up()
        return answer

    def end(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(10)
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            client, kind, name, nanoseconds, text = line.rstrip("\n").split("\t", 4)
            if kind == "ack":
                self._answered(name, json.loads(text))
            elif listener := self._listeners.get(client):
                listener(kind, name, int(nanoseconds) / 1e9, text)
        self._give_up()

    def _answered(self, key: str, told: dict[str, Any]) -> None:
        answer, check = self._answers.pop(key)
        if told["error"]:
            answer.set_exception(NoAck(told["error"]))
        elif len(told["answers"]) > 1:
            answer.set_exception(AssertionError(f"acknowledged with several values: {told['answers']}"))
        else:
            value = told["answers"][0] if told["answers"] else None
            check(value)
            answer.set_result(value)

    def _give_up(self) -> None:
        while self._answers:
            with suppress(KeyError):
                self._answers.popitem()[1][0].set_exception(NoAck("the Node.js process ended"))


def _bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    raise TypeError(f"{value!r} is no JSON")
