"""How often somebody may call: counted in Redis for all instances, or in this process where there is none.

Flask-Limiter holds the storage; its hooks stay off, because they cost more than the rest of a short request.
"""

import ipaddress
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from flask import Flask
from limits.storage import Storage

from .errors import TooManyRequests
from .extensions import limiter
from .ids import uuid7
from .scope import this_app, this_request
from .shared import shared

WINDOW = 60
WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


class LocalStorage(Storage):
    """Fixed windows in a dictionary (the library's own starts a timer thread with every hit)."""

    STORAGE_SCHEME = ["local"]  # noqa: RUF012 - the library declares it so
    SWEEP_FROM = 10_000

    def __init__(self, uri: str | None = None, **_: Any) -> None:
        super().__init__(uri)
        self.windows: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        count, ends = self.windows.get(key, (0, 0.0))
        if ends <= now:
            if len(self.windows) > self.SWEEP_FROM:
                self.windows = {k: window for k, window in self.windows.items() if window[1] > now}
            count, ends = 0, now + expiry
        self.windows[key] = (count + amount, ends)
        return count + amount

    def get(self, key: str) -> int:
        count, ends = self.windows.get(key, (0, 0.0))
        return count if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        return self.windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self.windows)
        self.windows.clear()
        return count

    def clear(self, key: str) -> None:
        self.windows.pop(key, None)


def init_app(app: Flask) -> None:
    app.config["RATELIMIT_STORAGE_URI"] = app.config["REDIS_URL"] or "local://"
    if app.config["REDIS_URL"]:
        app.config["RATELIMIT_STORAGE_OPTIONS"] = {"socket_timeout": 1, "socket_connect_timeout": 1}
    # Known already, so that it hangs no hooks on the app: they would run on every request.
    app.extensions["limiter"] = {limiter}
    limiter.init_app(app)
    # Where Redis is away the limits still hold, for each process alone.
    app.extensions["local_limits"] = LocalStorage()
    counting = limiter.enabled and app.config["REDIS_URL"]
    app.extensions["limit_storage"] = limiter.storage if counting else app.extensions["local_limits"]


def spend(name: str, amount: int, key: str) -> None:
    """Counts one call of `key` against `amount` a minute. Raises `TooManyRequests`, and sets the headers' figures."""
    if not this_app().config["RATELIMIT_ENABLED"]:
        return
    count, resets_at = _count(f"{name}/{key}")
    reset = max(1, round(resets_at - time.time()))
    this_request().environ["idyll.rate_limit"] = (amount, max(0, amount - count), reset)
    if count > amount:
        raise TooManyRequests(retry_after=reset)


def _count(key: str) -> tuple[int, float]:
    extensions = this_app().extensions
    local, storage = extensions["local_limits"], extensions["limit_storage"]
    if storage is local:
        return _hit(local, key)
    return shared().attempt(lambda _: _hit(storage, key), lambda: _hit(local, key))


def _hit(storage: Any, key: str) -> tuple[int, float]:
    return storage.incr(key, WINDOW), storage.get_expiry(key)


def network(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64, which one person has whole."""
    # Some proxies write the port along, and each connection has another one.
    with_port = WITH_PORT.fullmatch(address or "")
    try:
        parsed = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else address or "")
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


FLOOD_SECONDS = 10.0
_sent: dict[str, deque[float]] = {}
# KEYS: the person's messages by their time; ARGV: now, the window, the limit, a name for this message.
FLOOD = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[2])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[4])
redis.call('EXPIRE', KEYS[1], 60)
return false
"""


@contextmanager
def flood(user_id: str) -> Iterator[Callable[[], None]]:
    """Counts a chat message: `CHAT_FLOOD_LIMIT` in any 10 seconds, over all instances where Redis is set.

    It does not count when the block raises, or calls what it is given. Raises `TooManyRequests`.
    """
    moment, limit = time.time(), this_app().config["CHAT_FLOOD_LIMIT"]
    sent = _recent(user_id, moment)
    if len(sent) >= limit:
        _wait_for(sent[0], moment)
    sent.append(moment)
    redis, name = shared(), uuid7()
    key = redis.key("flood", user_id)
    oldest = redis.attempt(lambda client: client.eval(FLOOD, 1, key, moment, FLOOD_SECONDS, limit, name), lambda: None)
    if oldest is not None:
        sent.remove(moment)
        _wait_for(float(oldest), moment)

    def take_back() -> None:
        with suppress(ValueError):  # it may be old by now
            sent.remove(moment)
        redis.attempt(lambda client: client.zrem(key, name), lambda: None)

    try:
        yield take_back
    except BaseException:
        take_back()
        raise


def _recent(user_id: str, moment: float) -> deque[float]:
    if len(_sent) > LocalStorage.SWEEP_FROM:
        _sent.clear()
    sent = _sent.setdefault(user_id, deque())
    while sent and sent[0] <= moment - FLOOD_SECONDS:
        sent.popleft()
    return sent


def _wait_for(oldest: float, moment: float) -> NoReturn:
    wait = max(1, math.ceil(oldest + FLOOD_SECONDS - moment))
    raise TooManyRequests("Too many messages; wait a moment.", retry_after=wait)


def forget_counts() -> None:
    """Nobody sent anything yet."""
    _sent.clear()
