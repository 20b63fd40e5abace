"""Tabs that listen, and what each received held against the reference."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from conftest import Api, Someone
from live import Live
from sockets import Client
from talk import done, until

from idyll.events.catalogue import CATALOGUE

from .reference import Person, Session, Timeline, Told, World, key_of

KEPT = {event.name for event in CATALOGUE.values() if event.kept}
LISTS = {
    "task": "/api/tasks",
    "payout": "/api/payouts",
    "meeting": "/api/meetings",
    "application": "/api/applications",
    "user": "/api/users",
    "notification": "/api/notifications",
}
IN_ROOMS = ("typing", "user_joined", "user_left")


@dataclass(eq=False)
class Tab:
    client: Client
    person: Person
    session: Session
    opened: Timeline  # whether its connection stands
    joined: Timeline  # the rooms
    mark: tuple[str, int] | None = None  # an eventId with the step up to which everything is behind it
    seen: int = 0
    place: int = 0

    def listens(self, step: int) -> bool:
        return bool(self.session.lives.at(step) and self.opened.at(step))

    def news(self) -> list[Any]:
        """What came since it was looked at last."""
        events = self.client.events()
        found, self.seen = events[self.seen :], len(events)
        return found


@dataclass
class Counts:
    """What the proof can say of itself at its end."""

    received: int = 0
    replayed: int = 0
    silenced: int = 0
    overtaken: int = 0  # would have been received, had they not gone out of sight before they were sent
    leaks: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Audience:
    """All tabs, at one or more processes."""

    def __init__(self, world: World, doors: Sequence[Live], dice: Any) -> None:
        self.world, self.doors, self.dice = world, doors, dice
        self.tabs: list[Tab] = []
        self.counts = Counts()

    def open(self, person: Person, session: Session) -> Tab:
        """At any process, by any path, namespace and transport."""
        way = {
            "path": self.dice.choice(["/socket.io", "/ws/chat"]),
            "namespace": self.dice.choice(["/", "/ws/chat"]),
            "transports": self.dice.choice([["websocket"], ["websocket"], ["websocket"], ["polling"]]),
        }
        client = self.dice.choice(self.doors).connect(session.token, label=person.name, **way)
        step = self.world.step
        tab = Tab(client, person, session, Timeline(True, step), Timeline(frozenset(), step))
        self.tabs.append(tab)
        return tab

    def close(self, tab: Tab) -> None:
        tab.client.close()
        self.tabs.remove(tab)

    # -- what one received ---------------------------------------------------------------------------------------------

    def check(self, start: int, told: Sequence[Told], *, at_the_end: bool, sentinel: str) -> list[tuple[Tab, Any]]:
        """Since the step `start`. An event is sent at any moment from its step on, or `at_the_end` of the window.

        Gives all that was received, with its receiver.
        """
        end, received = self.world.step, []
        for tab in self.tabs:
            news = tab.news()
            self._check_rooms(tab, news, start, end)
            heard = {event.data["eventId"]: event for event in news if event.name in KEPT}
            self._check_order(tab, list(heard))
            received += [(tab, event) for event in heard.values()]
            must: Counter[Any] = Counter()
            may: Counter[Any] = Counter()
            for event in told:
                if not event.groups and tab.person.id not in event.names:
                    continue
                moments = [end] if at_the_end else range(event.step, end + 1)
                reached = [self._reaches(event, tab, step, strictly=True) for step in moments]
                if at_the_end and tab.listens(end) and not reached[0]:
                    self.counts.overtaken += self._reaches(event, tab, event.step, strictly=True)
                must[event.key] += all(reached)
                may[event.key] += any(self._reaches(event, tab, step, strictly=False) for step in moments)
            self._compare(tab.person.name, "live", Counter(key_of(e.name, e.data) for e in heard.values()), must, may)
            for key, event in heard.items():
                if tab.listens(end) and sentinel in str(event.data.get("notification")):
                    tab.mark = (key, end)
            self.counts.received += len(heard)
        return received

    @staticmethod
    def _reaches(event: Told, tab: Tab, step: int, *, strictly: bool) -> bool:
        return tab.listens(step) and event.reaches(tab.person, step, tab.joined.at(step), strictly=strictly)

    def _check_rooms(self, tab: Tab, news: Iterable[Any], start: int, end: int) -> None:
        """What is not kept: only of rooms that the tab was in at some time."""
        # Who left is said some two seconds later, and a person may be in several windows meanwhile.
        rooms = {room for step in range(start, end + 1) for room in tab.joined.at(step) or ()}
        strange = [event for event in news if event.name in IN_ROOMS and event.data["room"] not in rooms]
        self.counts.leaks += [f"{tab.person.name}: {event}" for event in strange]

    def _check_order(self, tab: Tab, keys: Iterable[str]) -> None:
        for key in keys:
            place = int(key[1:].partition("-")[0])
            assert place > tab.place, f"{tab.person.name} received {key} after e{tab.place}"
            tab.place = place

    def _compare(self, who: str, how: str, got: Counter[Any], must: Counter[Any], may: Counter[Any]) -> None:
        self.counts.leaks += [f"{who} {how}: {key}, {n} instead of {may[key]}" for key, n in (got - may).items()]
        self.counts.missing += [f"{who} {how}: {key}" for key in (must - got)]

    # -- what one missed -----------------------------------------------------------------------------------------------

    def check_replay(self, person: Person, events: Sequence[Any], since: int, *, how: str) -> None:
        """Everything that happened after the step `since`, filtered by what may be seen now."""
        step, must, may = self.world.step, Counter(), Counter()
        for event in self.world.told:
            if event.step > since:
                must[event.key] += event.reaches(person, step, None, strictly=True)
                may[event.key] += event.reaches(person, step, None, strictly=False)
        got = Counter(key_of(event["event"], event["data"]) for event in events)
        assert all(event["data"]["eventId"] == event["eventId"] for event in events)
        self._compare(person.name, how, got, must, may)
        self.counts.replayed += len(events)

    def come_back(self, tab: Tab) -> None:
        """Connects again and asks for what it missed; whose rights have ended meanwhile is not let in."""
        tab.news()
        if not tab.session.lives.now:
            self._is_refused(tab)
            self.close(tab)
            return
        tab.client.reconnect()
        step = self.world.step
        tab.opened.set(True, step)
        tab.joined.set(frozenset(), step)
        if tab.mark is None or not tab.person.is_member(step):
            return
        since, more, missed = tab.mark[0], True, []
        while more:
            answer = done(tab.client, "sync", {"since": since, "limit": self.dice.choice([3, 50, 500])})
            missed += answer["events"]
            since, more = answer["lastEventId"], answer["more"]
        self.check_replay(tab.person, missed, tab.mark[1], how="after being away")
        tab.mark = (since, step)

    @staticmethod
    def _is_refused(tab: Tab) -> None:
        tab.client._driver.tell("connect", tab.client.name)
        assert tab.client.refused().data["status"] == 401, tab.person.name

    def silence_check(self) -> None:
        """Whose rights have ended heard that, and nothing after it."""
        for tab in [tab for tab in self.tabs if not tab.session.lives.now and tab.opened.now]:
            until(lambda tab=tab: not tab.client.is_connected, 5)
            assert tab.client.events()[-1].name == "token_expired", tab.person.name
            self._is_refused(tab)
            self.counts.silenced += 1
            self.close(tab)


def check_against_lists(api: Api, person: Person, is_manager: bool, events: Sequence[Any]) -> None:
    """Every thing that was told of is in its reader's lists, with every field, and as new as was said last."""
    rows = {}
    for kind, path in LISTS.items():
        if kind != "application" or is_manager:
            by = Someone(person.id, "", "", person.name, "", person.token or "", "")
            more = {"cancelled": "true"} if kind == "meeting" else {}
            rows |= {(kind, row["id"]): row for row in api.pages(path, by, limit=100, **more)}
    versions: dict[Any, int] = {}
    for event in events:
        name, data = event["event"], event["data"]
        kind = "notification" if name == "new_notification" else name.partition("_")[0]
        told = data.get(kind) or data.get("updates") or {}
        parting = name.endswith(("_deleted", "_removed")) or told.keys() in ({"assignedTo"}, {"attendees"})
        if kind in LISTS and not parting:
            key = (kind, told["id"] if kind in data else data[f"{kind}Id"])
            assert told.keys() <= rows[key].keys(), (person.name, event)
            if "version" in told:
                versions[key] = told["version"]
    # Who came later is told of what was made for all members, and not when it was for few in between.
    if person.is_member(0):
        assert versions == {key: rows[key]["version"] for key in versions}, person.name
