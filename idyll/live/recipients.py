"""Who of this process's sockets may see an event now: by its audience, and by the very clause that guards REST."""

import time
from collections.abc import Sequence
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
        self.addressed = {row.position: self._addressed(row) for row in rows}
        self.guarded = {row.position for row in rows if row.about in events.GUARDED}
        self.shared: set[int] = set()
        self.seen: dict[str, set[int]] = {}
        if self.guarded:
            self._ask(rows)

    def of(self, row: Any) -> list[Connection]:
        addressed = self.addressed[row.position].items()
        # Some may have lost their socket while the database was asked.
        return [one for one, actor in addressed if self.connections.holds(one) and self._may_see(actor, row)]

    def _addressed(self, row: Any) -> dict[Connection, Actor]:
        """With what they may at this moment: who gains rights later gains them for later events."""
        found: dict[Connection, None] = {}
        now = time.time()
        for room in row.audience[1:-1].split("| |"):
            found.update(dict.fromkeys(self.connections.in_group(room)))
        return {one: one.actor for one in found if one.start < row.position and one.expires_at > now}

    def _may_see(self, actor: Actor, row: Any) -> bool:
        if not is_member(actor):
            return bool(row.name == "user_updated" and row.of == actor.id)
        if row.position not in self.guarded or (row.position in self.shared and not is_manager(actor)):
            return True
        return row.position in self.seen.get(_like(actor), ())

    def _ask(self, rows: Sequence[Any]) -> None:
        to_members = [row.position for row in rows if row.position in self.guarded and f"|{MEMBERS}|" in row.audience]
        if to_members:
            self.shared = events.seen_by(SOMEBODY, to_members)
        wanted: dict[str, tuple[Actor, set[int]]] = {}
        for position in self.guarded:
            for actor in self.addressed[position].values():
                if is_manager(actor) or position not in self.shared:
                    wanted.setdefault(_like(actor), (actor, set()))[1].add(position)
        self.seen = {key: events.seen_by(actor, sorted(positions)) for key, (actor, positions) in wanted.items()}


def _like(actor: Actor) -> str:
    """Those who see alike: all managers, and each editor for themselves."""
    return "managers" if is_manager(actor) else str(actor.id)
