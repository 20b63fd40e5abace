"""Between the processes, over Redis: a nudge to read the log, presence, and who is typing. No event.

Events themselves never travel here: each process reads them from the log, so a Redis that is away loses none.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import orjson

from ..concurrency import spawn
from ..shared import TIMEOUT, Shared, away

log = logging.getLogger(__name__)
RETRY_SECONDS = 1.0
Hear = Callable[[str, dict[str, Any]], None]


class Bus:
    def __init__(self, shared: Shared, instance: str) -> None:
        self.shared = shared
        self.instance = instance
        self.channel = shared.key("live")
        self.waiting: list[dict[str, Any]] = []
        self.sending = False
        self.listening = False

    def say(self, kind: str, **more: Any) -> None:
        """Tells the other processes; returns at once, whether Redis is there or not."""
        if self.shared.client is None:
            return
        message = {"from": self.instance, "kind": kind, **more}
        if kind != "wake" or message not in self.waiting:
            self.waiting.append(message)
        if not self.sending:
            self.sending = True
            spawn(self._send)

    def _send(self) -> None:
        try:
            while self.waiting:
                messages, self.waiting = self.waiting, []
                self.shared.attempt(lambda client: self._publish(client, messages), lambda: None)  # noqa: B023 - called at once
        finally:
            self.sending = False

    def _publish(self, client: Any, messages: list[dict[str, Any]]) -> None:
        pipe = client.pipeline(transaction=False)
        for message in messages:
            pipe.publish(self.channel, orjson.dumps(message).decode())
        pipe.execute()

    def listen(self, hear: Hear, connected: Callable[[], None]) -> None:
        """Hands on what others say, for ever; `connected` is called each time that Redis is back."""
        while True:
            try:
                self._listen(hear, connected)
            except away() as error:
                if self.listening:
                    log.warning("Redis is away (%s): reading the log each half second", type(error).__name__)
                self.listening = False
                time.sleep(RETRY_SECONDS)

    def _listen(self, hear: Hear, connected: Callable[[], None]) -> None:
        # A time-out of its own: a subscription is silent for long, and a half-open one for ever.
        subscription = self.shared.client.pubsub(ignore_subscribe_messages=True)
        try:
            subscription.subscribe(self.channel)
            self.listening = True
            connected()
            heard_at = time.monotonic()
            while time.monotonic() < heard_at + 10 * TIMEOUT:
                # Each process hears its own heartbeat too: silence means a connection that only looks open.
                if (message := subscription.get_message(timeout=TIMEOUT)) is not None:
                    heard_at = time.monotonic()
                    self._hand_on(message["data"], hear)
            raise ConnectionError("silence")
        finally:
            subscription.close()

    def _hand_on(self, data: str, hear: Hear) -> None:
        try:
            message = orjson.loads(data)
            sender, kind = message["from"], message["kind"]
        except (ValueError, TypeError, KeyError):
            log.warning("something on Redis that is not ours")
            return
        if sender != self.instance:
            try:
                hear(kind, message)
            except Exception as error:  # noqa: BLE001 - one bad message must not end the listening
                log.warning("a message of another instance could not be used: %s", type(error).__name__)
