"""Official Socket.IO clients in a test's hands. Every event of the server is checked against the AsyncAPI document."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Self

from driver import Driver, Event, Gone, Refused
from messages import check_ack, check_message


class Client:
    """One socket. What waits takes what it waited for, also when that came before; `events()` has everything."""

    def __init__(self, clients: "Clients", name: str, label: str) -> None:
        self.name, self.label = name, label
        self.connections = 0
        self.is_connected = False
        self.gone: list[Gone] = []
        self.refusals: list[Refused] = []
        self._clients = clients
        self._driver = clients.driver
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._untaken: dict[str, list[Event]] = {}
        self._ends_taken = 0
        self._refusals_taken = 0
        self._refused_for_good = False

    # -- saying

    def emit(self, event: str, *payload: Any, ack: bool = True, timeout: float = 10) -> Any:
        """The acknowledgement, or None without `ack`. Raises `NoAck`."""
        if ack:
            answer = self.send(event, *payload, timeout=timeout).result(timeout + 10)
            self._clients.raise_faults()
            return answer
        self._driver.tell("emit", self.name, id=None, event=event, payload=payload)
        return None

    def send(self, event: str, *payload: Any, timeout: float = 10) -> Future[Any]:
        """Like `emit`, without waiting: the future has the acknowledgement."""
        checked = partial(self._checked_ack, event)
        return self._driver.ask("emit", self.name, checked, event=event, payload=payload, timeout=timeout * 1000)

    # -- hearing

    def events(self, name: str | None = None) -> list[Event]:
        """All that came so far, in order."""
        self._clients.raise_faults()
        with self._changed:
            return [event for event in self._events if name in (None, event.name)]

    def wait(self, name: str, where: Callable[[Any], object] = lambda data: True, timeout: float = 10) -> Any:
        """The data of the first event of this name that passes and was not waited for before."""
        looked = 0

        def found() -> bool:
            nonlocal looked
            untaken = self._untaken.get(name, [])
            while looked < len(untaken) and not where(untaken[looked].data):
                looked += 1
            return looked < len(untaken)

        with self._changed:
            self._until(found, timeout, f"no such {name}")
            return self._untaken[name].pop(looked).data

    def forget(self) -> None:
        """What came so far is not waited for any more, and `silent` takes no offence."""
        with self._changed:
            self._untaken.clear()

    def silent(self, name: str | None = None, for_seconds: float = 0.7) -> None:
        """Nothing (of this name) came that was not waited for or forgotten, and nothing comes so long."""

        def heard() -> list[Event]:
            return [event for key, events in self._untaken.items() if name in (None, key) for event in events]

        with self._changed:
            self._changed.wait_for(heard, for_seconds)
            assert not heard(), f"{self.label} heard {heard()}"
        self._clients.raise_faults()

    # -- coming and going

    def connected(self, timeout: float = 10, *, times: int = 1) -> Self:
        """Waits until it is connected, for the so-many-th time. Raises `Refused` when it doesn't try any more."""
        with self._changed:
            self._until(
                lambda: (self.is_connected and self.connections >= times) or self._refused_for_good,
                timeout,
                f"not connected {times} times",
            )
            if self._refused_for_good:
                raise self.refused()
        return self

    def refused(self, timeout: float = 10) -> Refused:
        """The next `connect_error`."""
        with self._changed:
            self._until(lambda: len(self.refusals) > self._refusals_taken, timeout, "no connect_error")
            self._refusals_taken += 1
            return self.refusals[self._refusals_taken - 1]

    def disconnected(self, timeout: float = 10) -> str:
        """The reason of the next end of a connection, as the client library names it."""
        with self._changed:
            self._until(lambda: len(self.gone) > self._ends_taken, timeout, "not disconnected")
            self._ends_taken += 1
            return self.gone[self._ends_taken - 1].reason

    def reconnect(self, timeout: float = 10) -> Self:
        """Connects again, if need be after a `disconnect` of its own, with the token of now."""
        if self.is_connected:
            self._ends_taken = len(self.gone)
            self.disconnect()
            self.disconnected()
        times = self.connections + 1
        self._refused_for_good = False
        self._refusals_taken = len(self.refusals)
        self._driver.tell("connect", self.name)
        return self.connected(timeout, times=times)

    def set_token(self, token: str) -> None:
        """What the next connect logs in with."""
        self.set_auth({"token": token})

    def set_auth(self, auth: Any) -> None:
        self._driver.tell("auth", self.name, auth=auth)

    def disconnect(self) -> None:
        """Leaves politely; `reconnect` comes back."""
        self._driver.tell("disconnect", self.name)

    def drop(self) -> None:
        """Its network goes away without a word; with `reconnection=True` it comes back by itself."""
        self._driver.tell("drop", self.name)

    def close(self) -> None:
        self._driver.tell("close", self.name)
        self._driver.listen(self.name, None)
        self.is_connected = False

    def state(self) -> dict[str, Any]:
        """`connected`, `active`, `id` and the `transport` in use."""
        return self._driver.ask("state", self.name).result(10)

    # -- inside

    def _until(self, done: Callable[[], object], timeout: float, otherwise: str) -> None:
        came = self._changed.wait_for(lambda: self._clients.faults or done(), timeout)
        self._clients.raise_faults()
        if not came or not done():
            last = "\n".join(f"  {event.name} {event.data}" for event in self._events[-20:]) or "  nothing"
            ends, refusals = [end.reason for end in self.gone], self.refusals
            state = "connected" if self.is_connected else f"not connected, {ends=}, {refusals=}"
            raise AssertionError(f"{otherwise} in {timeout} s. {self.label} is {state} and received:\n{last}")

    def _checked_ack(self, event: str, answer: Any) -> None:
        with self._noted(f"the acknowledgement of {event}", answer):
            check_ack(event, answer)

    @contextmanager
    def _noted(self, what: str, received: Any) -> Iterator[None]:
        """In the driver's thread nobody would see an error: the test hears of it, and the thread goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._clients.faults.append(f"{self.label}: {what} is not as promised: {error}\n{received}")

    def receive(self, kind: str, name: str, at: float, text: str) -> None:
        """Called by the driver's thread."""
        told: Any = None
        if kind == "event":
            with self._noted(name, text):
                told = _checked(name, text)
        else:
            told = json.loads(text)
        with self._changed:
            getattr(self, f"_on_{kind}")(told, name, at)
            self._changed.notify_all()

    def _on_event(self, data: Any, name: str, at: float) -> None:
        event = Event(name, data, at)
        self._events.append(event)
        self._untaken.setdefault(name, []).append(event)

    def _on_connect(self, told: Any, name: str, at: float) -> None:
        self.is_connected = True
        self.connections += 1

    def _on_disconnect(self, told: Any, name: str, at: float) -> None:
        self.is_connected = False
        self.gone.append(Gone(told["reason"], at))

    def _on_refused(self, told: Any, name: str, at: float) -> None:
        self._refused_for_good = told.pop("final")
        self.refusals.append(Refused(**told))


# Fifty clients hear the same message: it is parsed, and held to its schema, once.
@lru_cache(maxsize=20_000)
def _checked(name: str, text: str) -> Any:
    payload = json.loads(text)
    assert len(payload) == 1, f"{len(payload)} values instead of one"
    check_message(name, payload[0])
    return payload[0]


class Clients:
    """The clients of one test; leaving the block closes them, and fails if any of them received something malformed."""

    def __init__(self, driver: Driver | None = None) -> None:
        self.driver = driver or Driver()
        self.faults: list[str] = []
        self._own = driver is None
        self._all: list[Client] = []

    @property
    def dead(self) -> bool:
        return self.driver.process.poll() is not None

    def raise_faults(self) -> None:
        if self.faults:
            raise AssertionError("\n".join(self.faults))
        assert not self.dead, "the Node.js process ended"

    def open(
        self,
        url: str,
        token: str | None = None,
        *,
        path: str = "/socket.io",
        namespace: str = "/",
        transports: Sequence[str] = ("websocket",),
        headers: dict[str, str] | None = None,
        auth: Any = None,
        label: str = "",
        wait: bool = True,
        timeout: float = 10,
        **options: Any,
    ) -> Client:
        """Connects; raises `Refused`. With `wait=False` it returns at once: see `connected` and `refused`.

        `auth` goes instead of `{"token": token}`. Further options are those of the JavaScript client, in snake_case,
        with two defaults of our own: `reconnection=False`, `force_new=True`.
        """
        name = self.driver.new_name()
        client = Client(self, name, label or name)
        self._all.append(client)
        self.driver.listen(name, client.receive)
        given = {
            "path": path,
            "transports": transports,
            "reconnection": False,
            **({"extraHeaders": headers} if headers else {}),
            **{_camel(key): value for key, value in options.items()},
        }
        auth = {"token": token} if auth is None and token is not None else auth
        self.driver.tell("open", name, url=url, namespace=namespace, auth=auth, options=given)
        return client.connected(timeout) if wait else client

    def close(self) -> None:
        for client in self._all:
            if not self.dead:
                client.close()
        self._all.clear()
        if self._own:
            self.driver.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        dead, faults = self.dead, self.faults[:]
        self.close()
        if error is None:
            assert not dead, "the Node.js process ended"
            assert not faults, "\n".join(faults)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
