"""The sockets of this process: who listens on each, until when, and in which groups they are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..actor import Actor
from ..permissions import can_enter_room, is_manager, is_member

MANAGERS, MEMBERS = "managers", "members"


@dataclass(slots=True, eq=False)
class Connection:
    """One namespace of one client, admitted by a token."""

    sid: str
    engine: str  # the Engine.IO session, which two namespaces may share
    namespace: str
    actor: Actor
    expires_at: float  # of the access token, in seconds since 1970
    start: int  # the log's position when it came: earlier events are `sync`'s to replay
    as_of: int  # the count of changed rights as of which `actor` holds
    rooms: set[str] = field(default_factory=set)  # chat rooms that it joined
    groups: set[str] = field(default_factory=set)

    @property
    def user_id(self) -> str:
        return str(self.actor.id)


class Connections:
    """Found by id, and by the audiences that events are addressed to."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Connection] = {}
        # A dictionary for a set that keeps its order: who came first is told first.
        self._groups: dict[str, dict[Connection, None]] = {}
        self._engines: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_sid.values()))

    def find(self, sid: str) -> Connection | None:
        return self._by_sid.get(sid)

    def holds(self, connection: Connection) -> bool:
        return self._by_sid.get(connection.sid) is connection

    def of_engine(self, engine: str) -> set[Connection]:
        return self._engines.get(engine, set())

    def in_group(self, name: str) -> Iterable[Connection]:
        """Those of an audience: `user:<id>`, `managers`, `members`, or who joined a chat room."""
        return self._groups.get(name, ())

    def add(self, connection: Connection) -> None:
        self._by_sid[connection.sid] = connection
        self._engines.setdefault(connection.engine, set()).add(connection)
        self._regroup(connection)

    def remove(self, connection: Connection) -> bool:
        """Nothing reaches it from here on. False when it was gone already."""
        if self._by_sid.pop(connection.sid, None) is None:
            return False
        connection.rooms.clear()
        self._leave(connection, connection.groups)
        siblings = self._engines.get(connection.engine, set())
        siblings.discard(connection)
        if not siblings:
            self._engines.pop(connection.engine, None)
        return True

    def join(self, connection: Connection, room: str) -> bool:
        """False for a room that was closed to the person meanwhile."""
        if connection.sid not in self._by_sid or not can_enter_room(connection.actor, room):
            return False
        connection.rooms.add(room)
        self._regroup(connection)
        return True

    def leave(self, connection: Connection, room: str) -> None:
        connection.rooms.discard(room)
        self._regroup(connection)

    def set_actor(self, connection: Connection, actor: Actor, as_of: int) -> set[str]:
        """What the person may now; gives the rooms that are closed to them by it. Older news changes nothing."""
        if as_of < connection.as_of:
            return set()
        same = actor == connection.actor
        connection.actor, connection.as_of = actor, as_of
        if same:
            return set()
        lost = {room for room in connection.rooms if not can_enter_room(actor, room)}
        connection.rooms -= lost
        self._regroup(connection)
        return lost

    def _regroup(self, connection: Connection) -> None:
        if connection.sid not in self._by_sid:
            return
        actor = connection.actor
        wanted = {actor.room, *connection.rooms}
        wanted |= {name for name, of in ((MANAGERS, is_manager), (MEMBERS, is_member)) if of(actor)}
        self._leave(connection, connection.groups - wanted)
        for name in wanted - connection.groups:
            self._groups.setdefault(name, {})[connection] = None
        connection.groups = wanted

    def _leave(self, connection: Connection, names: Iterable[str]) -> None:
        for name in list(names):
            group = self._groups.get(name, {})
            group.pop(connection, None)
            if not group:
                self._groups.pop(name, None)

    def present(self, room: str) -> set[str]:
        """The ids of the people of this process who joined a room."""
        return {connection.user_id for connection in self.in_group(room)}
