"""Many front ends that behave as the documentation tells them to, run by one loop."""

import json
import math
import queue
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from typing import Any

from driver import NoAck
from live import Live
from messages import check_message
from sockets import Client

ACK_SECONDS = 15
STANDS_SECONDS = 10  # on a connection that stands so long, what was asked before it is answered too


# Fifty clients hear the same message: it is parsed, and held to its schema, once.
@lru_cache(maxsize=5_000)
def checked(name: str, text: str) -> Any:
    (payload,) = json.loads(text)
    check_message(name, payload)
    return payload


class FrontEnd:
    """One person's page. It joins, replays what it missed, and shows each event once, in the order in which it came.

    A message that isn't acknowledged is sent again with the same `clientId`.
    """

    def __init__(self, crowd: "Crowd", client: Client, outbox: list[str]) -> None:
        self.crowd, self.client = crowd, client
        self.outbox = deque(outbox)
        self.sending = False
        self.shown: dict[str, Any] = {}
        self.repeated = 0
        self.resent = 0
        self.replayed = 0
        self.last: str | None = None
        self.held: list[Any] | None = []  # what comes while it catches up
        self.visit = 0
        self.visits = 0
        self.came_at = math.inf  # not there
        self.left_at: list[float] = []
        client._driver.listen(client.name, self._heard)
        crowd.inbox.put(self.arrive)

    def _heard(self, kind: str, name: str, at: float, text: str) -> None:
        """Called by the driver's thread."""
        if kind == "event":
            if name == "new_message":
                self.crowd.inbox.put(lambda: self.receive(checked(name, text)))
        elif kind == "connect":
            self.crowd.inbox.put(self.arrive)
        elif kind == "disconnect":
            self.left_at.append(at)
            self.crowd.inbox.put(self.break_off)
        elif kind == "refused" and (refusal := json.loads(text)["data"]):
            # By the server itself, and not on the way to it: the client library gives up then.
            self.crowd.inbox.put(lambda: self.try_again(refusal, self.connect))

    # -- coming and catching up

    def connect(self) -> None:
        self.client._driver.tell("connect", self.client.name)

    @property
    def level(self) -> bool:
        return self.held is None

    def leave(self) -> None:
        self.visit += 1
        self.held = []

    def break_off(self) -> None:
        self.came_at = math.inf
        self.leave()

    def arrive(self) -> None:
        self.visits += 1
        self.came_at = time.monotonic()
        self.join()

    def join(self) -> None:
        self.leave()
        self.ask("join_room", {}, self.joined, self.join)

    def joined(self, answer: dict[str, Any]) -> None:
        if self.last is None:
            self.last = answer["lastEventId"]
            self.caught_up()
        else:
            self.catch_up()

    def catch_up(self) -> None:
        self.ask("sync", {"since": self.last}, self.synced, self.catch_up)

    def synced(self, answer: dict[str, Any]) -> None:
        assert "resync" not in answer
        for missed in answer["events"]:
            if missed["event"] == "new_message":
                self.replayed += 1
                self.show(missed["data"])
        self.last = answer["lastEventId"]
        if answer["more"]:
            self.catch_up()
        else:
            self.caught_up()

    def caught_up(self) -> None:
        held, self.held = self.held or [], None
        for payload in held:
            self.receive(payload)
        self.say()

    # -- events and messages

    def receive(self, payload: dict[str, Any]) -> None:
        if self.held is not None:
            self.held.append(payload)
        elif self.show(payload):
            self.last = payload["eventId"]

    def show(self, payload: dict[str, Any]) -> bool:
        if payload["eventId"] in self.shown:
            self.repeated += 1
            return False
        self.shown[payload["eventId"]] = payload
        return True

    def say(self) -> None:
        if self.level and not self.sending and self.outbox and self.crowd.may_send():
            self.sending = True
            client_id = self.outbox[0]
            message = {"message": f"Message {client_id}", "clientId": client_id}
            self.ask("send_message", message, self.said, self.not_said, whenever=True)

    def said(self, answer: dict[str, Any]) -> None:
        assert answer["clientId"] == self.outbox.popleft()
        self.sending = False
        self.crowd.acknowledged += 1
        self.say()

    def not_said(self) -> None:
        self.sending = False
        self.resent += 1
        self.say()

    def try_again(self, refusal: dict[str, Any], again: Callable[[], None]) -> None:
        """A busy server says when; anything else would be a fault."""
        assert refusal["status"] == 503, refusal
        self.crowd.busy += 1
        self.crowd.later(refusal["retryAfter"], again)

    def ask(
        self,
        event: str,
        payload: dict[str, Any],
        then: Callable[[Any], None],
        otherwise: Callable[[], None],
        *,
        whenever: bool = False,
    ) -> None:
        """What is answered on an earlier connection counts only `whenever` it comes."""
        visit = self.visit

        def counts() -> bool:
            return whenever or visit == self.visit

        def answered(answer: Future[Any]) -> None:
            if not counts():
                return
            try:
                told = answer.result()
            except NoAck as reason:
                # A connection may break, and what is asked after that waits for the next one, however late that comes;
                # but as long as one stands, everything is answered.
                stands = visit == self.visit or time.monotonic() > self.came_at + STANDS_SECONDS
                if "timed out" in str(reason) and stands:
                    raise AssertionError(f"{event} of {self.client.label} was not answered") from reason
                otherwise()
                return
            if "code" in told:
                self.try_again(told, lambda: otherwise() if counts() else None)
            else:
                then(told)

        asked = self.client.send(event, payload, timeout=ACK_SECONDS)
        asked.add_done_callback(lambda answer: self.crowd.inbox.put(lambda: answered(answer)))


class Crowd:
    """The loop that runs them all, and what befalls them as it goes on."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.members: list[FrontEnd] = []
        self.acknowledged = 0
        self.busy = 0
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.may_send: Callable[[], bool] = lambda: False

    def add(self, live: Live, someone: Any, outbox: list[str], **options: Any) -> None:
        client = live.connect(someone, reconnection=True, **options)
        self.members.append(FrontEnd(self, client, outbox))

    def gather(self) -> None:
        """Nobody says anything before all are there."""
        assert self.run(lambda: all(member.level for member in self.members), 60)
        self.may_send = lambda: True

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        self.waiting.append((time.monotonic() + seconds, work))

    def run(self, until: Callable[[], bool], seconds: float, beside: Callable[[], None] = lambda: None) -> bool:
        """Whether it came true in time; `beside` is called again and again."""
        deadline = time.monotonic() + seconds
        looked_at = 0.0
        while time.monotonic() < deadline:
            with suppress(queue.Empty):
                self.inbox.get(timeout=0.05)()
            if time.monotonic() < looked_at + 0.02:
                continue
            looked_at = time.monotonic()
            beside()
            due = [one for one in self.waiting if one[0] <= looked_at]
            self.waiting = [one for one in self.waiting if one[0] > looked_at]
            for _, work in due:
                work()
            if until():
                return True
            for member in self.members:
                member.say()
        return False
