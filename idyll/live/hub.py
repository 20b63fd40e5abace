"""What this process does for its sockets: admits, tells, silences. `sockets.py` and the follower act through it."""

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from engineio import packet as eio_packet
from flask import Flask

from ..actor import Actor
from ..concurrency import spawn
from ..errors import Forbidden, Unavailable
from ..ids import uuid7
from ..scope import this_app
from ..shared import Shared
from ..users.service import briefs_of
from .bus import Bus
from .caps import Caps
from .connections import Connection, Connections
from .frames import MAX_MALFORMED
from .presence import Presence

log = logging.getLogger(__name__)
CONNECT_SECONDS = 10  # within which a session must be logged in
MAX_REFUSALS = 20
LINGER_SECONDS = 1.0  # a reload of the page is no leaving
GOODBYE_SECONDS = 0.5


@dataclass
class Session:
    """One Engine.IO session, logged in or not."""

    network: str
    alone_since: float | None  # since when no logged-in namespace is open on it
    faults: int = 0  # broken frames
    refusals: int = 0  # log-ins that were refused


class Hub:
    def __init__(self, app: Flask, server: Any) -> None:
        self.app = app
        self.server = server
        self.id = uuid7()
        shared: Shared = app.extensions["shared"]
        config = app.config
        self.connections = Connections()
        self.sessions: dict[str, Session] = {}
        self.caps = Caps(shared, self.id, config["SOCKETS_PER_USER"], config["SOCKETS_PER_ADDRESS"])
        self.bus = Bus(shared, self.id)
        self.presence = Presence(self._herald)
        self.news: deque[tuple[str, str, bool]] = deque()
        self.heralding = False
        self.leaving: dict[tuple[str, str], float] = {}
        self.closing = False
        self.last_call = time.monotonic()

    # -- sending ------------------------------------------------------------------------------------------------------

    def emit(self, name: str, data: str, to: Iterable[Connection]) -> None:
        """Sends encoded data to sockets."""
        self.emit_all([(name, data, to)])

    def emit_all(self, events: Iterable[tuple[str, str, Iterable[Connection]]]) -> None:
        """Sends events in their order: each is encoded once for a namespace, and each socket is written to once."""
        sent: dict[Connection, list[Any]] = {}
        for name, data, to in events:
            packets: dict[str, Any] = {}
            for connection in to:
                packet = packets.get(connection.namespace)
                if packet is None:
                    packet = packets[connection.namespace] = _packet(name, data, connection.namespace)
                if (before := sent.get(connection)) is None:
                    sent[connection] = [packet]
                else:
                    before.append(packet)
        for connection, packed in sent.items():
            self._send(connection, packed)

    def _send(self, connection: Connection, packets: list[Any]) -> None:
        socket = self.server.eio.sockets.get(connection.engine)
        if socket is not None:
            try:
                socket.send_all(packets)
            except Exception as error:  # noqa: BLE001 - the others must still be told
                log.info("a socket went while it was told something: %s", type(error).__name__)

    # -- coming and going ---------------------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> None:
        """Raises `Unavailable` when the client went while it was looked at."""
        session = self.sessions.get(connection.engine)
        if session is None or self.closing:
            self.caps.release(connection.engine)
            raise Unavailable
        session.alone_since = None
        self.connections.add(connection)

    def left(self, connection: Connection, *, linger: bool = True) -> None:
        """The socket is gone or no longer listens. Harmless a second time."""
        rooms = set(connection.rooms)
        if not self.connections.remove(connection):
            return
        for room in rooms:
            self.leave(connection.user_id, room, linger=linger)
        if not self.connections.of_engine(connection.engine):
            self.caps.release(connection.engine)
            if (session := self.sessions.get(connection.engine)) is not None:
                session.alone_since = time.monotonic()

    def silence(self, connection: Connection) -> None:
        """Ends a socket whose token or rights have ended: nothing more reaches it from the first line on."""
        engine = connection.engine
        self.left(connection)
        self.emit("token_expired", "{}", [connection])
        self.server.disconnect(connection.sid, namespace=connection.namespace)
        if not self.connections.of_engine(engine) and (session := self.sessions.get(engine)) is not None:
            # A client that polls would meet the end before the words that come in the same answer. The official one
            # goes by itself; whoever stays is closed.
            session.alone_since = time.monotonic() - CONNECT_SECONDS + GOODBYE_SECONDS

    def close(self, engine: str) -> None:
        """Ends an Engine.IO session; what it was sent before still goes out."""
        socket = self.server.eio.sockets.get(engine)
        if socket is not None and not socket.closed:
            try:
                socket.close(wait=False)
            except Exception as error:  # noqa: BLE001 - it is closed either way
                log.info("a socket went while it was closed: %s", type(error).__name__)

    def malformed(self, engine: str) -> bool:
        """Counts a broken frame; whether the session is ended by it."""
        session = self.sessions.get(engine)
        if session is None:
            return True
        session.faults += 1
        if session.faults < MAX_MALFORMED:
            return False
        log.info("closed a socket of %s after %d malformed frames", session.network, session.faults)
        self.close(engine)
        return True

    def refused(self, engine: str) -> None:
        """Counts a log-in that failed: who keeps knocking is shown out."""
        if (session := self.sessions.get(engine)) is not None:
            session.refusals += 1
            if session.refusals >= MAX_REFUSALS:
                self.close(engine)

    # -- presence -----------------------------------------------------------------------------------------------------

    def join(self, connection: Connection, room: str) -> None:
        """Raises `Forbidden` for a room that was closed to the person meanwhile."""
        if not self.connections.join(connection, room):
            raise Forbidden
        self.leaving.pop((room, connection.user_id), None)
        if self.presence.enter(room, connection.user_id):
            self.bus.say("in", room=room, user=connection.user_id)

    def leave(self, user: str, room: str, *, linger: bool) -> None:
        """One socket of a person left a room; they did when it was their last, after a moment if it just broke off."""
        if user in self.connections.present(room):
            return
        if linger:
            self.leaving[room, user] = time.monotonic() + LINGER_SECONDS
            return
        self.leaving.pop((room, user), None)
        if self.presence.leave(room, user):
            self.bus.say("out", room=room, user=user)

    def leave_those_who_went(self) -> None:
        moment = time.monotonic()
        if self.closing:
            return  # they come back to another instance
        for (room, user), due in list(self.leaving.items()):
            if due <= moment and self.leaving.pop((room, user), None) is not None:
                self.leave(user, room, linger=False)

    def _herald(self, room: str, user: str, there: bool) -> None:
        """Told in turn by one greenlet, since reading the person's card takes a while."""
        self.news.append((room, user, there))
        if not self.heralding:
            self.heralding = True
            spawn(self._tell_news)

    def _tell_news(self) -> None:
        try:
            while self.news:
                room, user, there = self.news.popleft()
                if not self.connections.in_group(room):
                    continue
                with self.app.app_context():
                    cards = briefs_of([user])
                told = orjson.dumps({"user": orjson.Fragment(cards[0]), "room": room}).decode() if cards else ""
                if told:
                    self.emit("user_joined" if there else "user_left", told, self.connections.in_group(room))
        except Exception as error:  # noqa: BLE001 - the next news is told again
            log.warning("who joined or left could not be told: %s", type(error).__name__)
        finally:
            self.heralding = False

    def typing(self, room: str, user: dict[str, Any], typing: bool) -> None:
        """Tells the others in the room who sit at this process."""
        others = [one for one in self.connections.in_group(room) if one.user_id != user["id"]]
        self.emit("typing", orjson.dumps({"room": room, "user": user, "typing": typing}).decode(), others)

    # -- what the other processes say ---------------------------------------------------------------------------------

    def introduce(self) -> None:
        self.bus.say("here", rooms=self.presence.said())

    def hear(self, kind: str, message: dict[str, Any]) -> None:
        sender = message["from"]
        if kind in ("in", "out"):
            self.presence.hear(sender, message["room"], message["user"], kind == "in")
        elif kind == "here":
            self.presence.hear_all(sender, message["rooms"])
        elif kind == "hello":
            self.introduce()
        elif kind == "bye":
            self.presence.expect_back(sender)
        elif kind == "typing":
            self.typing(message["room"], message["user"], message["typing"])

    # -- rights -------------------------------------------------------------------------------------------------------

    def set_rights(self, asked: Iterable[Connection], rights: dict[str, tuple[Actor, int] | None]) -> None:
        """What the people behind some sockets may now, by session; None for a session that ended."""
        for connection in asked:
            session = str(connection.actor.session_id)
            # Who went meanwhile, or went on with a token of another session, was not asked about.
            if session not in rights or not self.connections.holds(connection):
                continue
            if (found := rights[session]) is None:
                self.silence(connection)
                continue
            for room in self.connections.set_actor(connection, *found):
                self.leave(connection.user_id, room, linger=False)


def _packet(name: str, data: str, namespace: str) -> Any:
    space = "" if namespace == "/" else f"{namespace},"
    return eio_packet.Packet(eio_packet.MESSAGE, f"2{space}{orjson.dumps([name]).decode()[:-1]},{data}]")


def hub() -> Hub:
    found: Hub = this_app().extensions["hub"]
    return found
