"""Tabs of a browser, with the front end of README.md and docs/live.md in them."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from cable import Cable
from conftest import PASSWORD, Someone, actor
from driver import Driver
from live import Live
from typescript import built, on_the_pages

from idyll.chat import service as chat
from idyll.events.catalogue import CATALOGUE
from idyll.limits import forget_counts
from idyll.transactions import transaction

OWN_EVENTS = ("state", "members")


class Tab:
    """One tab. What waits takes what it waited for and all before; `heard` has everything."""

    def __init__(self, front_end: Path, url: str) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._taken = 0
        self._changed = threading.Condition()
        self._driver = Driver("tab.mjs", str(front_end), url, *CATALOGUE, *OWN_EVENTS)
        self._driver.listen("tab", self._receive)

    def later(self, command: str, *args: Any) -> Future[Any]:
        """Does a command of tests/js/tab.mjs, without waiting."""
        return self._driver.ask(command, "tab", args=args)

    def do(self, command: str, *args: Any) -> Any:
        """The answer. Raises `NoAck` with the error."""
        return self.later(command, *args).result(30)

    def send(self, text: str, room: str = "team", client_id: str | None = None) -> Future[Any]:
        return self.later("send", text, room, client_id)

    def wait(self, name: str, where: Callable[[Any], object] = lambda data: True, timeout: float = 30) -> Any:
        """The data of the next such event."""

        def found() -> int | None:
            heard = enumerate(self.heard[self._taken :], self._taken + 1)
            return next((place for place, (key, data) in heard if key == name and where(data)), None)

        with self._changed:
            assert self._changed.wait_for(found, timeout), f"no such {name} in {timeout} s, only {self.heard[-20:]}"
            self._taken = found() or 0
            return self.heard[self._taken - 1][1]

    def is_in(self, state: str) -> None:
        """Waits until it comes into a state."""
        self.wait("state", lambda now: now == state)

    def hears(self, text: str) -> None:
        """Waits until somebody says so."""
        self.wait("new_message", lambda message: message["message"] == text)

    def all(self, name: str) -> list[Any]:
        """The data of all such events so far."""
        return [data for key, data in list(self.heard) if key == name]

    def texts(self) -> list[str]:
        """What it heard being said."""
        return [data["message"] for data in self.all("new_message")]

    def close(self) -> None:
        self._driver.end()

    def _receive(self, kind: str, name: str, at: float, text: str) -> None:
        with self._changed:
            self.heard.append((name, json.loads(text)))
            self._changed.notify_all()


OpenTab = Callable[..., Tab]


def post(live: Live, who: Someone, texts: Sequence[str]) -> None:
    """Many messages at once, more than the limit of one who types."""
    with live.inside.app_context(), transaction():
        for text in texts:
            forget_counts()
            chat.send(text, room="team", client_id=None, by=actor(who))


@pytest.fixture(scope="session")
def front_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(on_the_pages(), tmp_path_factory.mktemp("front_end"))


@pytest.fixture
def open_tab(front_end: Path, live: Live) -> Iterator[OpenTab]:
    """A tab with somebody signed in; with a command, one that is live by it."""
    tabs = []

    def opened(who: Someone, command: str = "", *args: Any, url: str = live.url) -> Tab:
        tab = Tab(front_end, url)
        tabs.append(tab)
        tab.do("signIn", who.username, PASSWORD)
        if command:
            tab.do(command, *args)
            tab.is_in("live")
        return tab

    yield opened
    for tab in tabs:
        tab.close()


@pytest.fixture
def cable(live: Live) -> Iterator[Cable]:
    cable = Cable(live.app.port)
    yield cable
    cable.end()


@pytest.fixture
def in_the_team(open_tab: OpenTab, editor: Someone, cable: Cable) -> Tab:
    """Asha's tab, live and in the room, at the other end of the cable."""
    tab = open_tab(editor, "open", url=cable.url)
    tab.do("join", "team")
    return tab
