"""The agency as the contract has it, in memory: which events a change makes, and who may see them when.

Time is counted in steps, one for each change; whatever can change is kept as it was after each step.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

ALL, GONE = "everybody", "gone"


class Timeline:
    """A value, and what it was before."""

    def __init__(self, value: Any, step: int = 0) -> None:
        self.changes = [(step, value)]

    @property
    def now(self) -> Any:
        return self.changes[-1][1]

    def set(self, value: Any, step: int) -> None:
        self.changes.append((step, value))

    def at(self, step: int) -> Any:
        return next((value for since, value in reversed(self.changes) if since <= step), None)


@dataclass(eq=False)
class Session:
    token: str
    lives: Timeline


@dataclass(eq=False)
class Person:
    id: str
    name: str
    standing: Timeline  # (role, status)
    words: set[str] = field(default_factory=set)  # personal ones, which nobody else uses
    login: str = ""
    application: "Thing | None" = None
    sessions: list[Session] = field(default_factory=list)

    @property
    def token(self) -> str | None:
        """Of a session that lives."""
        return next((session.token for session in self.sessions if session.lives.now), None)

    def is_member(self, step: int) -> bool:
        return bool(self.standing.at(step) and self.standing.at(step)[1] == "approved")

    def is_manager(self, step: int) -> bool:
        return self.is_member(step) and self.standing.at(step)[0] != "editor"

    def rooms(self, step: int) -> set[str]:
        """Those that one may enter, but for the editors' rooms, which managers enter all."""
        if not self.is_member(step):
            return set()
        return {"team", f"editor:{self.id}"} | ({"management"} if self.is_manager(step) else set())

    def may_enter(self, room: str, step: int) -> bool:
        return room in self.rooms(step) or (self.is_manager(step) and room.startswith("editor:"))


@dataclass(eq=False)
class Thing:
    """`whose` is a task's assignee, a payout's editor, a meeting's attendees (or all), a message's room, a
    notification's owner; GONE once nobody is shown it."""

    kind: str
    id: str
    whose: Timeline
    version: int = 1
    forgotten: int | None = None  # since when nothing is told of it any more
    facts: dict[str, Any] = field(default_factory=dict)

    def is_shown_to(self, person: Person, step: int) -> bool:
        whose, manager = self.whose.at(step), person.is_manager(step)
        if whose == GONE:
            return False
        if self.kind == "user":
            return manager or self.id == person.id
        if self.kind == "message":
            return person.may_enter(whose, step)
        if self.kind == "notification":
            return bool(whose == person.id)
        if self.kind == "meeting":
            return manager or whose == ALL or person.id in whose
        return manager or (self.kind != "application" and whose == person.id)


@dataclass(frozen=True)
class Told:
    """One event, and to whom it is addressed: persons by their ids, and groups."""

    step: int
    key: tuple[Any, ...]
    thing: Thing | None  # none for parting words
    names: frozenset[str]
    groups: frozenset[str]
    perhaps: frozenset[str]  # those who may be told, or not: they were managers then

    def reaches(self, person: Person, step: int, joined: Iterable[str] | None, *, strictly: bool) -> bool:
        """Whether a person is told of it who is told of it at that step: live in the rooms that they joined, in a
        replay (`None`) in all that they may enter."""
        if self.thing is not None:
            if self.thing.forgotten is not None and self.step < self.thing.forgotten <= step:
                return False
            if not self.thing.is_shown_to(person, step):
                return False
        if not person.is_member(step):
            waits = person.standing.at(step) and person.standing.at(step)[1] == "pending"
            return bool(waits and self.key[0] == "user_updated" and person.id in self.names)
        if person.id in self.names or (not strictly and person.id in self.perhaps):
            return True
        if "members" in self.groups or ("managers" in self.groups and person.is_manager(step)):
            return True
        rooms = self.groups - {"members", "managers"}
        return any(person.may_enter(room, step) and (joined is None or room in joined) for room in rooms)


def key_of(name: str, data: dict[str, Any]) -> tuple[Any, ...]:
    """What tells one event from another, as far as the reference can know it."""
    kind, _, what = name.partition("_")
    if name == "new_notification":
        note = data["notification"]
        broadcast = note["entityType"] == "broadcast"
        return (name, note["title"]) if broadcast else (name, note["entityType"], note["entityId"])
    if name == "new_message":
        return (name, data["id"])
    if name == "message_updated":
        return (name, data["message"]["id"])
    if kind in ("task", "payout", "meeting") and what != "deleted":
        if what == "created":
            return (name, data[kind]["id"], data[kind]["version"])
        return (name, data[f"{kind}Id"], data["updates"].get("version"))
    if name == "user_updated":
        return (name, data["userId"], *sorted(data["updates"].keys() - {"updatedAt"}))
    if what == "created":
        return (name, data[kind]["id"])
    return (name, data[f"{kind}Id"], *([data["status"]] if name == "application_updated" else []))


class World:
    def __init__(self) -> None:
        self.step = 0
        self.people: dict[str, Person] = {}
        self.things: dict[str, Thing] = {}
        self.told: list[Told] = []
        self.unsaid: set[str] = set()  # texts that were taken back

    def person(self, key: str, name: str, role: str, status: str, *words: str) -> Person:
        made = Person(key, name, Timeline((role, status), self.step), set(words))
        self.people[key] = made
        self.things[key] = Thing("user", key, Timeline(key, self.step))
        return made

    def make(self, kind: str, key: str, whose: Any, **facts: Any) -> Thing:
        made = Thing(kind, key, Timeline(whose, self.step), facts=facts)
        self.things[key] = made
        return made

    def of_kind(self, kind: str) -> list[Thing]:
        return [thing for thing in self.things.values() if thing.kind == kind and thing.whose.now != GONE]

    @property
    def managers(self) -> set[str]:
        return {person.id for person in self.people.values() if person.is_manager(self.step)}

    @property
    def members(self) -> set[str]:
        return {person.id for person in self.people.values() if person.is_member(self.step)}

    # -- what is told --------------------------------------------------------------------------------------------------

    def say(
        self,
        name: str,
        *key: Any,
        about: Thing | None,
        names: Iterable[str | None] = (),
        groups: Iterable[str] = ("managers",),
        perhaps: Iterable[str] = (),
    ) -> None:
        told = frozenset(name for name in names if name)
        self.told.append(Told(self.step, (name, *key), about, told, frozenset(groups), frozenset(perhaps)))

    def notify(self, people: Iterable[str | None], *key: Any) -> None:
        for person in {person for person in people if person}:
            note = Thing("notification", "", Timeline(person, self.step))
            self.things[f"{key} to {person}"] = note
            self.say("new_notification", *key, about=note, names=[person], groups=())

    def updated(self, thing: Thing, *, names: Iterable[str | None] = (), **more: Any) -> None:
        thing.version += 1
        self.say(f"{thing.kind}_updated", thing.id, thing.version, about=thing, names=names, **more)

    def forget(self, thing: Thing) -> None:
        thing.forgotten = self.step

    def gone(self, thing: Thing) -> None:
        self.forget(thing)
        thing.whose.set(GONE, self.step)

    # -- what follows from what ----------------------------------------------------------------------------------------

    def hand_over(self, task: Thing, to: str | None) -> None:
        old, always = task.whose.now, self.managers
        task.whose.set(to, self.step)
        self.updated(task, names=[to] if to in always else [])
        if old and old not in always:
            self.say("task_updated", task.id, None, about=None, names=[old], groups=())
        if to and to not in always:
            self.say("task_created", task.id, task.version, about=task, names=[to], groups=())
        self.notify([to], "task", task.id)

    def seat(self, meeting: Thing, attendees: Any) -> None:
        """Others attend: a set of ids, or ALL."""
        always, everybody = self.managers, self.members
        before, after = (everybody if who == ALL else who for who in (meeting.whose.now, attendees))
        both_all = meeting.whose.now == attendees == ALL
        meeting.whose.set(attendees, self.step)
        was, now_in = always | before, always | after
        stayed = after & was
        groups = ("managers", "members") if both_all else ("managers",)
        self.updated(meeting, names=stayed, groups=groups, perhaps=always)
        if came := now_in - was:
            self.say("meeting_created", meeting.id, meeting.version, about=meeting, names=came, groups=())
        if went := was - now_in:
            self.say("meeting_updated", meeting.id, None, about=None, names=went, groups=())

    def cancel_payout(self, payout: Thing) -> None:
        payout.facts["status"] = "cancelled"
        self.updated(payout, names=[payout.whose.now])

    def decide_applications_of(self, person: Person, decision: str) -> None:
        filed = person.application
        if filed and filed.facts["status"] == "pending":
            filed.facts["status"] = decision
            self.say("application_updated", filed.id, decision, about=filed)

    def log_in(self, person: Person, token: str) -> Session:
        person.sessions.append(Session(token, Timeline(True, self.step)))
        return person.sessions[-1]

    def log_out(self, person: Person, *sessions: Session) -> None:
        for session in sessions or person.sessions:
            if session.lives.now:
                session.lives.set(False, self.step)

    def update_person(self, person: Person, *fields: str) -> None:
        self.say("user_updated", person.id, *sorted(fields), about=self.things[person.id], names=[person.id])

    def remove(self, person: Person) -> None:
        """Whatever of theirs is open is handed back, cancelled or left; nothing personal is told any more."""
        for task in self.of_kind("task"):
            if task.whose.now == person.id and task.facts["status"] != "completed":
                self.hand_over(task, None)
        for payout in self.of_kind("payout"):
            if payout.whose.now == person.id and payout.facts["status"] == "pending":
                self.cancel_payout(payout)
        self._leave_meetings(person)
        for note in self.of_kind("notification"):
            if note.whose.now == person.id:
                self.gone(note)
        if person.application is not None:
            self.forget(person.application)
        person.standing.set((person.standing.now[0], "removed"), self.step)
        self.log_out(person)
        self.gone(self.things[person.id])
        self.say("user_removed", person.id, about=None)

    def _leave_meetings(self, person: Person) -> None:
        for meeting in self.of_kind("meeting"):
            if meeting.whose.now != ALL and person.id in meeting.whose.now:
                left = meeting.whose.now - {person.id}
                if meeting.forgotten is None:
                    self.seat(meeting, left)
                else:
                    meeting.whose.set(left, self.step)
