"""Who of this process's sockets may see an event now: by its audience, and by the very clause that guards REST."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from ..actor import Actor
from ..events import service as events
from ..permissions import is_manager, is_member
from ..users.roles import Role, Status
from .connections import MEMBERS, Connection, Connections

# What any member may see, nobody's in particular.
SOMEBODY = Actor("00000000-0000-7000-8000-000000000000", Role.EDITOR, Status.APPROVED)


class Recipients:
    """Of a batch of events. The database is asked once for all managers, once for what all members share, and once
    for each editor to whom something of it is addressed."""

    def __init__(self, connections: Connections, rows: Sequence[Any]) -> None:
        self.connections = connections
        # By audience, with what they may at this moment: who gains rights later gains them for later events.
        self.addressed = {audience: self._addressed(audience) for audience in {row.audience for row in rows}}
        self.guarded = {row.position for row in rows if row.about in events.GUARDED}
        self.shared: set[int] = set()
        self.seen: dict[str, set[int]] = {}
        if self.guarded:
            self._ask([row for row in rows if row.position in self.guarded])
            # Some may have lost their socket meanwhile.
            self.addressed = {
                audience: {one: actor for one, actor in addressed.items() if connections.holds(one)}
                for audience, addressed in self.addressed.items()
            }
        self.members = {
            audience: [one for one, actor in addressed.items() if is_member(actor)]
            for audience, addressed in self.addressed.items()
        }

    def of(self, row: Any) -> list[Connection]:
        position = row.position
        if position not in self.guarded:
            return [one for one in self.members[row.audience] if one.start < position]
        return [one for one, actor in self._there(row) if self._may_see(actor, row)]

    def _addressed(self, audience: str) -> dict[Connection, Actor]:
        found: dict[Connection, Actor] = {}
        now = time.time()
        for room in audience[1:-1].split("| |"):
            found |= {one: one.actor for one in self.connections.in_group(room) if one.expires_at > now}
        return found

    def _there(self, row: Any) -> Iterator[tuple[Connection, Actor]]:
        """Of those it is addressed to, who was there before it."""
        return ((one, actor) for one, actor in self.addressed[row.audience].items() if one.start < row.position)

    def _may_see(self, actor: Actor, row: Any) -> bool:
        if not is_member(actor):
            return bool(row.name == "user_updated" and row.of == actor.id)
        if row.position in self.shared and not is_manager(actor):
            return True
        return row.position in self.seen.get(_like(actor), ())

    def _ask(self, rows: Sequence[Any]) -> None:
        to_members = [row.position for row in rows if f"|{MEMBERS}|" in row.audience]
        if to_members:
            self.shared = events.seen_by(SOMEBODY, to_members)
        wanted: dict[str, tuple[Actor, set[int]]] = {}
        for row in rows:
            for _, actor in self._there(row):
                if is_manager(actor) or row.position not in self.shared:
                    wanted.setdefault(_like(actor), (actor, set()))[1].add(row.position)
        self.seen = {key: events.seen_by(actor, sorted(positions)) for key, (actor, positions) in wanted.items()}


def _like(actor: Actor) -> str:
    """Those who see alike: all managers, and each editor for themselves."""
    return "managers" if is_manager(actor) else str(actor.id)
