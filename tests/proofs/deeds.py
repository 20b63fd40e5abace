"""A deed is one request, and what the reference makes of its success; here is how one is chosen that may succeed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from conftest import Api
from talk import made

from .reference import Person, Thing, World


@dataclass(frozen=True)
class Deed:
    """`touches` are the things that no other deed may change at the same time."""

    call: Callable[[], Any]
    then: Callable[[Any], None]
    touches: frozenset[str]
    words: str


class Chooser:
    """Chooses deeds that are allowed just now. `anchor` is the owner who stays."""

    def __init__(self, world: World, api: Api, dice: Random, anchor: Person) -> None:
        self.world, self.api, self.dice, self.anchor = world, api, dice, anchor
        self.numbers = count(1)
        self.hot: list[Thing] = []
        self.heed = 0.6  # how often it is one of those that are chosen

    # -- choosing ------------------------------------------------------------------------------------------------------

    def next(self, kinds: dict[str, int]) -> Deed:
        """A deed of one of these kinds, which are methods, by their weight."""
        while True:
            name = self.dice.choices(list(kinds), list(kinds.values()))[0]
            if (deed := getattr(self, name)()) is not None:
                return deed

    def word(self, kind: str) -> str:
        return f"{kind}-{next(self.numbers)}-x"

    def someone(self, among: Iterable[str], *, signed_in: bool = True) -> Person | None:
        found = [self.world.people[key] for key in sorted(among)]
        found = [person for person in found if person.token or not signed_in]
        return self.dice.choice(found) if found else None

    def manager(self) -> Person:
        return self.someone(self.world.managers) or self.anchor

    def editor(self) -> Person | None:
        return self.someone(self.world.members - self.world.managers)

    def one(self, kind: str, **facts: Any) -> Thing | None:
        found = [t for t in self.world.of_kind(kind) if t.forgotten is None and facts.items() <= t.facts.items()]
        return self.pick(found)

    def pick(self, things: list[Thing]) -> Thing | None:
        """Mostly what was picked last: what happens to one thing in a row is what may overtake itself."""
        hot = [thing for thing in things if thing in self.hot]
        if not things:
            return None
        picked = self.dice.choice(hot if hot and self.dice.random() < self.heed else things[-40:])
        self.heat(picked)
        return picked

    def heat(self, thing: Thing) -> None:
        self.hot = [*self.hot, thing][-4:]

    def send(self, method: str, path: str, by: Person | None, **body: Any) -> Callable[[], Any]:
        token = by.token if by else None
        return lambda: made(self.api(method, f"/api{path}", token, body or None))

    def change(self, thing: Thing, path: str, by: Person, then: Callable[[], None], words: str, **body: Any) -> Deed:
        """An edit of a thing whose answer has its version."""

        def follow(answer: Any) -> None:
            then()
            assert answer["version"] == thing.version, words

        return Deed(self.send("PUT", f"{path}/{thing.id}", by, **body), follow, frozenset([thing.id]), words)
