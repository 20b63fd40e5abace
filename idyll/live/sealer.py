"""Seals the audit beside the requests, within a second after each commit."""

import logging
import time
from datetime import UTC, datetime, timedelta

from flask import Flask

from ..audit import chain
from .follower import Follower

log = logging.getLogger(__name__)
TICK_SECONDS = 0.5
# Most transactions end well within it; for the others everything that may still come is looked through now and then.
SLACK = timedelta(seconds=5)
LONG_LOOK_SECONDS = 60.0


class Sealer:
    def __init__(self, app: Flask, follower: Follower) -> None:
        self.app = app
        self.follower = follower
        self.looked_at: datetime | None = None
        self.looked_long = 0.0

    def run(self) -> None:
        failing = False
        while not self.follower.hub.closing:
            time.sleep(TICK_SECONDS)
            if not self.follower.awake():
                continue
            try:
                self.look()
                failing = False
            except Exception as error:  # noqa: BLE001 - the sealing goes on
                (log.debug if failing else log.warning)("the audit can't be sealed: %s", type(error).__name__)
                failing, self.looked_at = True, None

    def look(self) -> None:
        begun = datetime.now(UTC)
        long = self.looked_at is None or time.monotonic() >= self.looked_long + LONG_LOOK_SECONDS
        with self.app.app_context():
            chain.seal(None if long or self.looked_at is None else self.looked_at - SLACK)
        self.looked_at = begun
        if long:
            self.looked_long = time.monotonic()
