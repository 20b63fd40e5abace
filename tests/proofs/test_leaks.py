"""Thirty people of all roles listen while everything changes at random: nobody hears too much or too little."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from random import Random
from typing import Any

import orjson
import pytest
from conftest import Someone
from listeners import nothing_told
from servers import available, redis_url
from sqlalchemy import select
from talk import done, made

from idyll.events.models import Event
from idyll.extensions import db

from . import size
from .company import RIGHTS, TALK, Company
from .listening import Audience, Tab, check_against_lists
from .reference import Person, World
from .work import WORK, Work

pytestmark = pytest.mark.only_on("postgresql")
DEEDS = size(200, 2_000)
SEED = int(os.environ.get("PROOFS_SEED", "4"))
CROWD = {"owner": 1, "moderator": 6, "editor": 18, "pending": 4}  # and the owner who stays
TABS_AT_ONCE = 60
READERS_OF_LISTS = size(10, 40)
HOW = {"one by one": 4, "in a row": 4, "held back": 3, "side by side": 2}
# What is held back is to be overtaken by what takes it out of sight.
HELD_BACK = RIGHTS | {
    "say": 4,
    "say_otherwise": 3,
    "take_back": 3,
    "make_task": 8,
    "rename_task": 14,
    "hand_task_over": 24,
    "seat_others": 20,
    "rename_meeting": 16,
}
SIDE_BY_SIDE = {name: weight for name, weight in (WORK | TALK).items() if name != "decide_on_form"}


class Agency(Work, Company):
    """Everything that may happen."""


class Proof:
    def __init__(self, live, doors, dice):
        self.live, self.dice, self.world = live, dice, World()
        anchor = self.meet(live.people.owner(name="Anchor"))
        self.agency = Agency(self.world, live.api, dice, anchor)
        self.audience = Audience(self.world, doors, dice)
        for role, number in CROWD.items():
            for _ in range(number):
                self.meet(getattr(live.people, role)(name=f"{role}-{len(self.world.people)}-x"))
        self.start = made(live.api.get("/api/events", anchor.token))["lastEventId"]
        self.done = 0
        self.ways = dict.fromkeys(HOW, 0)
        self.sentinel = ""

    def meet(self, someone: Someone) -> Person:
        status = "pending" if someone.name.startswith("pending") else "approved"
        person = self.world.person(someone.id, someone.name, someone.role, status, someone.name, someone.email)
        person.login = someone.email
        self.world.log_in(person, someone.token)
        return person

    # -- one window after the other ------------------------------------------------------------------------------------

    def run(self) -> None:
        while self.done < DEEDS:
            start, told = self.world.step, len(self.world.told)
            self.tend_tabs()
            how = self.dice.choices(list(HOW), list(HOW.values()))[0]
            deeds = self.act(how)
            self.ways[how] += len(deeds)
            self.done += len(deeds)
            self.settle()
            happened = self.world.told[told:]
            at_the_end = how == "held back"
            received = self.audience.check(start, happened, at_the_end=at_the_end, sentinel=self.sentinel)
            counts = self.audience.counts
            assert not counts.leaks + counts.missing, self.report(how, deeds)
            if how in ("one by one", "side by side"):
                self.compare_with_rest(received)
            self.audience.silence_check()

    def report(self, how: str, deeds: list[str]) -> str:
        counts = self.audience.counts
        lines = [f"seed {SEED}, after {self.done} deeds, {how}:", *deeds]
        return "\n".join([*lines, "leaked:", *counts.leaks, "missing:", *counts.missing])

    def act(self, how: str) -> list[str]:
        kinds = HELD_BACK if how == "held back" else WORK | TALK | RIGHTS
        if how == "one by one":
            return [self.do(self.agency.next(kinds))]
        number = self.dice.randint(4, 9) if how == "held back" else self.dice.randint(2, 7)
        if how == "side by side":
            return self.do_beside_each_other(number)
        words: list[str] = []
        self.agency.hot.clear()
        self.agency.heed = 0.9 if how == "held back" else 0.6
        with nothing_told(self.live.inside) if how == "held back" else nullcontext():
            for _ in range(number):
                words.append(self.do(self.agency.next(kinds)))
                if how == "in a row" and self.dice.random() < 0.15:
                    words.append(self.drop_somebody())
        return words

    def do(self, deed: Any) -> str:
        answer = deed.call()
        self.world.step += 1
        deed.then(answer)
        return deed.words

    def do_beside_each_other(self, number: int) -> list[str]:
        deeds, touched = [], set()
        self.agency.heed = 0.2
        for _ in range(number):
            deed = self.agency.next(SIDE_BY_SIDE)
            if not deed.touches & touched:
                deeds.append(deed)
                touched |= deed.touches
        with ThreadPoolExecutor(len(deeds)) as pool:
            answers = list(pool.map(lambda deed: deed.call(), deeds))
        for deed, answer in zip(deeds, answers, strict=True):
            self.world.step += 1
            deed.then(answer)
        return [deed.words for deed in deeds]

    def settle(self) -> None:
        """All who listen have heard whatever was to be heard: a last word to every member came, after all else."""
        self.sentinel = self.agency.word("settled")
        self.do(self.agency.broadcast("all", self.sentinel))
        listening = [tab for tab in self.audience.tabs if tab.listens(self.world.step)]
        members = [tab for tab in listening if tab.person.is_member(self.world.step)]
        for tab in members:
            tab.client.wait("new_notification", lambda data: data["notification"]["title"] == self.sentinel)
        for tab in listening:
            if tab not in members:
                # Its events went out before the last words to others; an answer comes after them.
                assert tab.client.emit("sync", {})["code"] == "account_pending"
        for tab in listening:
            tab.client.forget()

    # -- tabs ----------------------------------------------------------------------------------------------------------

    def tend_tabs(self) -> None:
        """New sessions get a tab or two; some go away, some come back; some enter rooms and some leave them."""
        self.world.step += 1
        tabs = self.audience.tabs
        for tab in [tab for tab in tabs if not tab.opened.now and self.dice.random() < 0.5]:
            self.audience.come_back(tab)
        used = {tab.session for tab in tabs}
        for person in self.world.people.values():
            for session in person.sessions:
                if session.lives.now and session not in used and len(tabs) < TABS_AT_ONCE:
                    for _ in range(self.dice.choice([1, 1, 2])):
                        self.visit_rooms(self.audience.open(person, session))
        listening = [tab for tab in tabs if tab.listens(self.world.step)]
        for tab in self.dice.sample(listening, 3):
            self.visit_rooms(tab)
        for tab in [tab for tab in listening if tab.mark and self.dice.random() < 0.03]:
            tab.client.disconnect()
            tab.client.disconnected()
            tab.opened.set(False, self.world.step)

    def visit_rooms(self, tab: Tab) -> None:
        """Into one more room, or out of one; into no room that isn't theirs."""
        self.world.step += 1
        step, rooms = self.world.step, set(tab.joined.now)
        editors = sorted(person.id for person in self.world.people.values() if person.standing.now[0] == "editor")
        room = self.dice.choice(
            ["team", "team", "management", f"editor:{self.dice.choice(editors)}", f"editor:{tab.person.id}"]
        )
        if room in rooms and self.dice.random() < 0.5:
            done(tab.client, "leave_room", {"room": room})
            rooms.discard(room)
        elif tab.person.may_enter(room, step):
            done(tab.client, "join_room", {"room": room})
            rooms.add(room)
        else:
            assert tab.client.emit("join_room", {"room": room})["status"] == 403
        tab.joined.set(frozenset(rooms), step)

    def drop_somebody(self) -> str:
        """A network goes away in the midst of it."""
        listening = [tab for tab in self.audience.tabs if tab.listens(self.world.step) and tab.mark]
        if not listening:
            return "nobody to drop"
        tab = self.dice.choice(listening)
        self.world.step += 1
        tab.client.drop()
        tab.client.disconnected()
        tab.opened.set(False, self.world.step)
        return f"drop {tab.person.name}"

    # -- what REST shows -----------------------------------------------------------------------------------------------

    def compare_with_rest(self, received: list[tuple[Tab, Any]]) -> None:
        """The newest word of a thing says to its reader what REST does, and no more."""
        step = self.world.step
        checked = 0
        for tab, event in self.dice.sample(received, len(received)):
            [kind, _, what] = event.name.partition("_")
            if kind not in ("task", "payout", "meeting") or what == "deleted" or checked == 2:
                continue
            whole = event.data.get(kind) or event.data["updates"] | {"id": event.data[f"{kind}Id"]}
            thing = self.world.things[whole["id"]]
            if thing.version == whole.get("version") and tab.listens(step) and thing.is_shown_to(tab.person, step):
                shown = made(self.live.api.get(f"/api/{kind}s/{thing.id}", tab.session.token))
                assert whole == {name: shown[name] for name in whole}, tab.person.name
                assert what == "updated" or whole.keys() == shown.keys()
                checked += 1

    def replay(self, person: Person) -> list[Any]:
        since, more, found = self.start, True, []
        while more:
            query = {"since": since, "limit": 500}
            answer = made(self.live.api.get("/api/events", person.token, query_string=query))
            found += answer["events"]
            since, more = answer["lastEventId"], answer["more"]
        return found

    def check_from_the_beginning(self) -> None:
        """Whoever asks for all of it gets what they may see today: nothing deleted, nothing of who was removed."""
        removed = [person for person in self.world.people.values() if person.standing.now[1] == "removed"]
        unsaid = {word for person in removed for word in person.words} | self.world.unsaid
        assert removed
        assert self.world.unsaid
        with self.live.inside.app_context():
            kept = "\n".join(db.session.execute(select(Event.data)).scalars())
        assert [word for word in unsaid if word in kept] == []
        readers = [p for p in self.world.people.values() if p.token and p.is_member(self.world.step)]
        for person in self.dice.sample(readers, len(readers)):
            events = self.replay(person)
            self.audience.check_replay(person, events, 0, how="from the beginning")
            text = orjson.dumps(events).decode()
            assert [word for word in unsaid if word in text] == [], person.name
            if readers.index(person) < READERS_OF_LISTS:
                check_against_lists(self.live.api, person, person.is_manager(self.world.step), events)
        counts = self.audience.counts
        assert not counts.leaks + counts.missing, self.report("from the beginning", [])


@pytest.fixture
def doors(live, tmp_path_factory, worker_id):
    """Two processes with a Redis between them where there is one, else one."""
    more = {"CHAT_FLOOD_LIMIT": "1000000", "ACCESS_TOKEN_SECONDS": "36000"}
    if available("redis"):
        more["REDIS_URL"] = redis_url()
    return [live.start(**more) for _ in range(2 if available("redis") else 1)]


def test_thirty_people_hear_exactly_what_the_contract_allows(live, doors, measured, monkeypatch):
    monkeypatch.setitem(live.inside.config, "ACCESS_TOKEN_SECONDS", 36_000)
    proof = Proof(doors[0], doors, Random(SEED))
    proof.run()
    proof.check_from_the_beginning()
    counts = proof.audience.counts
    assert all(proof.ways.values()), proof.ways
    assert counts.silenced > DEEDS / 50
    assert counts.overtaken > DEEDS / 50
    measured("deeds", f"{proof.done}: " + ", ".join(f"{n} {how}" for how, n in proof.ways.items()))
    measured("events received", counts.received)
    measured("events replayed", counts.replayed)
    measured("events overtaken", counts.overtaken)
    measured("sockets silenced", counts.silenced)
    measured("leaks", len(counts.leaks))
    measured("missing", len(counts.missing))
