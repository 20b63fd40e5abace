"""Who is in a chat room now: people, not tabs, over all instances.

Each process says who entered and left its own sockets' rooms, and keeps what the others say. Whoever was in no process
and now is in one joined; whoever was in one and now is in none left. So every process tells its own sockets by itself,
and the people of a killed one leave when its word runs out.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

GONE_AFTER = 15.0  # seconds of silence after which another process counts as killed
BACK_WITHIN = 1.5


@dataclass
class Other:
    """What another process said last."""

    heard_at: float
    rooms: dict[str, set[str]] = field(default_factory=dict)


class Presence:
    def __init__(self, tell: Callable[[str, str, bool], None]) -> None:
        """`tell(room, user, there)` is called for each person who joined or left, once."""
        self.tell = tell
        self.here: dict[str, set[str]] = {}
        self.others: dict[str, Other] = {}

    def present(self, room: str) -> set[str]:
        return set().union(self.here.get(room, ()), *(other.rooms.get(room, ()) for other in self.others.values()))

    def enter(self, room: str, user: str) -> bool:
        """Whether this process did not have them there before."""
        if user in self.here.get(room, ()):
            return False
        with self._telling([(room, user)]):
            self.here.setdefault(room, set()).add(user)
        return True

    def leave(self, room: str, user: str) -> bool:
        if user not in self.here.get(room, ()):
            return False
        with self._telling([(room, user)]):
            self.here[room].discard(user)
        return True

    def hear(self, process: str, room: str, user: str, there: bool) -> None:
        other = self._other(process)
        with self._telling([(room, user)]):
            people = other.rooms.setdefault(room, set())
            (people.add if there else people.discard)(user)

    def hear_all(self, process: str, rooms: dict[str, list[str]]) -> None:
        other = self._other(process)
        with self._telling([*_places(other.rooms), *_places(rooms)]):
            other.rooms = {room: set(people) for room, people in rooms.items()}

    def forget(self, process: str) -> None:
        with self._telling(_places(self.others[process].rooms)):
            del self.others[process]

    def expect_back(self, process: str) -> None:
        """It is stopping: its people are about to come to another one."""
        if (other := self.others.get(process)) is not None:
            other.heard_at = time.monotonic() - GONE_AFTER + BACK_WITHIN

    def forget_the_silent(self) -> None:
        oldest = time.monotonic() - GONE_AFTER
        for process in [key for key, other in self.others.items() if other.heard_at < oldest]:
            self.forget(process)

    def said(self) -> dict[str, list[str]]:
        """What this process tells the others of itself."""
        return {room: sorted(people) for room, people in self.here.items() if people}

    def _other(self, process: str) -> Other:
        other = self.others.setdefault(process, Other(0.0))
        other.heard_at = time.monotonic()
        return other

    def _telling(self, places: Iterable[tuple[str, str]]) -> "_Telling":
        return _Telling(self, set(places))


@dataclass
class _Telling:
    """Tells what a change made of the places that it touches."""

    presence: Presence
    places: set[tuple[str, str]]
    before: set[tuple[str, str]] = field(default_factory=set)

    def __enter__(self) -> None:
        self.before = self._there()

    def __exit__(self, *_: object) -> None:
        after = self._there()
        for room, user in sorted(after ^ self.before):
            self.presence.tell(room, user, (room, user) in after)

    def _there(self) -> set[tuple[str, str]]:
        rooms = {room for room, _ in self.places}
        present = {room: self.presence.present(room) for room in rooms}
        return {(room, user) for room, user in self.places if user in present[room]}


def _places(rooms: "dict[str, set[str]] | dict[str, list[str]]") -> Iterator[tuple[str, str]]:
    return ((room, user) for room, people in rooms.items() for user in people)
