"""What several instances share through Redis, and what holds while it is away or not set."""

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask

from .scope import this_app

log = logging.getLogger(__name__)
T = TypeVar("T")
RETRY_SECONDS = 5.0
TIMEOUT = 1.0


def connect(url: str, **options: Any) -> Any:
    """A client of redis-py, whose 6 MiB are for who sets `REDIS_URL`."""
    from redis import Redis

    return Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, **options)


def away() -> tuple[type[Exception], ...]:
    """What is raised by a Redis that can't be reached or used; asked for when something was raised."""
    from redis import RedisError

    return RedisError, OSError


class Shared:
    """One Redis for all instances of one agency; its keys begin with a mark of their own."""

    def __init__(self, url: str, secret: str) -> None:
        # Another agency may use the same Redis.
        self.prefix = f"idyll:{hashlib.sha256(secret.encode()).hexdigest()[:12]}"
        self.client: Any = None
        self.away_until = 0.0
        if url:
            self.client = connect(url, socket_keepalive=True, health_check_interval=15, decode_responses=True)

    def attempt(self, work: Callable[[Any], T], otherwise: Callable[[], T]) -> T:
        """What Redis says, or what is known here where it is not set or away."""
        if self.client is None or time.monotonic() < self.away_until:
            return otherwise()
        try:
            return work(self.client)
        except away() as error:
            log.warning("Redis is away (%s): each instance counts for itself", type(error).__name__)
            self.away_until = time.monotonic() + RETRY_SECONDS
            return otherwise()

    def key(self, *parts: str) -> str:
        return ":".join([self.prefix, *parts])


def init_app(app: Flask) -> None:
    app.extensions["shared"] = Shared(app.config["REDIS_URL"], app.config["SECRET_KEY"])


def shared() -> Shared:
    found: Shared = this_app().extensions["shared"]
    return found
