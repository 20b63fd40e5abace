"""Follows the log of events, and sends each to those of this process's sockets who may see it now.

The log is the only way from a change to a socket: a process that was killed between its commit and its word to the
others has written the event, and whoever reads next sends it.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from sqlalchemy import Engine

from ..auth.tokens import rights_of
from ..connections import engine_apart
from ..database import read_apart, release
from ..events import sealing
from ..events import service as events
from ..events.sealing import NOWHERE, LogState, Seen, Told
from .hub import Hub
from .recipients import Recipients

log = logging.getLogger(__name__)
TICK_SECONDS = 0.5
SLEEP_AFTER = 60.0  # seconds without a socket or a call, after which the database is left alone
SESSIONS_A_TICK = 50  # more would hold everybody up for as long as sending to all does
LEAST_PAUSE, LONGEST_PAUSE = 0.001, 0.1  # seconds
MOST_PAUSES = 9  # as long as the sending, one for each event of a look
GATHERED = 4  # times as long as a look, for what others tell of


class Follower:
    def __init__(self, app: Flask, hub: Hub) -> None:
        self.app = app
        self.hub = hub
        self.woken = threading.Event()
        self.committed = False  # here, since the last step, and waits for its place
        self.placed = False  # maybe, by others or here, and was not looked at
        self.seen: Seen | None = None  # by what was committed here with its place a moment ago
        self.engine: Engine | None = None
        self.position = 0
        self.turn = 0
        self.sending, self.events = 0.0, 0  # how long it took last, and of how many
        self.stepping = self.resting = self.gathering = False
        self.failing = False

    def wake(self) -> None:
        """Something got its place elsewhere."""
        self.placed = True
        if not self.gathering:
            self.woken.set()

    def at_rest(self, _: object = None) -> bool:
        """Whether what is committed here now shall have its place already: not when many give work to one."""
        return self._is_heard() and not self.resting and self.events <= 1

    def hear(self, _: object = None, *, seen: Seen | None = None) -> None:
        """Something was committed here; if nobody is here or elsewhere to hear of it, a tick is soon enough."""
        if self._is_heard():
            if seen is None:
                self.committed = True
            else:
                self.hub.bus.say("wake")
                if self.seen is None and not (self.stepping or self.resting or self.placed):
                    self.seen = seen
                else:  # what has to wait is looked at again: it may be deleted meanwhile
                    self.seen, self.placed = None, True
            self.woken.set()

    def _is_heard(self) -> bool:
        return len(self.hub.connections) > 0 or self.hub.bus.shared.client is not None

    def awake(self) -> bool:
        """Somebody may be interested: otherwise a database that sleeps when nobody asks can do so."""
        return len(self.hub.connections) > 0 or time.monotonic() < self.hub.last_call + SLEEP_AFTER

    def run(self) -> None:
        checked_at = 0.0
        while True:
            self.woken.wait(TICK_SECONDS)
            self.woken.clear()
            if not self.awake():
                continue
            full = time.monotonic() >= checked_at + TICK_SECONDS
            if full:
                checked_at = time.monotonic()
            began = time.monotonic()
            self.stepping = self.gathering = True
            try:
                with self._reading():
                    self.step(look_at_rights=full)
                self.failing = False
            except Exception as error:  # noqa: BLE001 - the following goes on
                # Said once: it will fail each half second for as long as the database is away.
                (log.debug if self.failing else log.error)("the log can't be followed: %s", type(error).__name__)
                self.failing = True
            finally:
                self.stepping = False
            self._rest(time.monotonic() - began)
            self.gathering = False
            if self.placed and not self.failing:
                self.woken.set()

    def _rest(self, took: float) -> None:
        # What is committed meanwhile goes out together: a write to a socket costs as much for one event as for ten.
        if self.sending >= LEAST_PAUSE:
            self.resting = True
            time.sleep(min(min(self.events, MOST_PAUSES) * self.sending, LONGEST_PAUSE))
            self.resting = False
        # What others told of during the look shows that more comes. It is awaited, until something is committed here.
        elif self.placed:
            self.woken.wait(min(GATHERED * took, LONGEST_PAUSE))

    def watch(self) -> None:
        """Rights end in time even while a step takes long, since another process holds the log."""
        while True:
            time.sleep(TICK_SECONDS)
            if self.stepping:
                try:
                    with self._reading():
                        if not self._look_at_rights(sealing.state()):
                            self._look_at_some()
                except Exception as error:  # noqa: BLE001 - the watching goes on
                    log.debug("rights can't be looked at: %s", type(error).__name__)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """By connections of its own: rights must end in time though all of the pool waits for a lock."""
        with self.app.app_context():
            if self.engine is None:
                self.engine = engine_apart()
            read_apart(self.engine)
            yield

    def step(self, *, look_at_rights: bool) -> None:
        """Everything committed until now: rights first, then events."""
        self.sending, self.events = 0.0, 0
        found = False
        for seen in self._news(full=look_at_rights):
            found |= self._look_at_rights(seen.log)
            self._tell(seen)
        # Last, so that no event waits for it.
        if look_at_rights and not found:
            self._look_at_some()

    def _news(self, *, full: bool) -> Iterator[Seen]:
        """What was committed here with its place a moment ago; unless that is all, what waits for one, or a look."""
        brought, self.seen = self.seen, None
        if brought is not None:
            yield brought
            if not (full or self.committed or self.placed):
                return
        self.placed = False
        # When something waits for its place, nobody need ask. Should another process hold the log, `watch` goes on.
        seen = self._seal_some() if self.committed else sealing.look(self._told_until())
        # It may be shorter than it was: the database was restored from a backup.
        self.position = min(self.position, seen.log.sealed)
        yield seen
        while seen.log.waiting:
            seen = self._seal_some(seen.log.sealed)
            yield seen

    def _seal_some(self, known: int = 0) -> Seen:
        """Who gives a place tells all other processes. Should it die before, they look within half a second."""
        own, self.committed = self.committed, False
        seen = sealing.seal_some(tell=len(self.hub.connections) > 0)
        if own or seen.log.sealed > known:
            self.hub.bus.say("wake")
        return seen

    def _told_until(self) -> int:
        """After a pause there may be much that nobody here was there for."""
        oldest = min((connection.start for connection in self.hub.connections), default=NOWHERE)
        return max(self.position, oldest)

    def _look_at_rights(self, state: LogState) -> bool:
        """Until all open sockets go by rights as new as the state; whether any did not."""
        found = False
        while asked := [connection for connection in self.hub.connections if connection.as_of < state.rights]:
            found = True
            self.hub.set_rights(asked, rights_of(connection.actor for connection in asked))
        return found

    def _look_at_some(self) -> None:
        """Whatever changed a row without saying so is found all the same, in turn."""
        everybody = list(self.hub.connections)
        if everybody:
            start = self.turn % len(everybody)
            asked = (everybody + everybody)[start : start + min(SESSIONS_A_TICK, len(everybody))]
            self.turn = start + len(asked)
            self.hub.set_rights(asked, rights_of(connection.actor for connection in asked))

    def _tell(self, seen: Seen) -> None:
        """Sends everything up to the log's end."""
        while (told := self._told_until()) < seen.log.sealed:
            fresh = seen if seen.after <= told else sealing.look(told)
            if fresh.log.sealed <= told:
                return
            rows = [event for event in fresh.told if event.position > told]
            # Also of those who came in since, who may have lost since what they were admitted with.
            self._look_at_rights(fresh.log)
            recipients = Recipients(self.hub.connections, rows)
            # Nothing is read while it is sent: the connection is better used elsewhere.
            release()
            began = time.monotonic()
            self.hub.emit_all((row.name, with_event_id(row), recipients.of(row)) for row in rows)
            self.sending += time.monotonic() - began
            self.events += len(rows)
            self.position = fresh.log.sealed


def with_event_id(row: Told) -> str:
    more = f'"eventId":"{events.event_id(row.position)}"}}'
    return f"{row.data[:-1]},{more}" if row.data != "{}" else f"{{{more}"
