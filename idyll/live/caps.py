"""How many sockets a person and an address may hold, counted in connections: over all instances where Redis is set."""

import time
from collections.abc import Iterable

from ..errors import TooManyRequests
from ..shared import Shared

RETRY_SECONDS = 10
LEASE_SECONDS = 60  # a killed process's places are free again after it
# KEYS: the sets of the person and of the address; ARGV: now, end of the lease, the socket, and the two limits.
CLAIM = """
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1])
  if not redis.call('ZSCORE', key, ARGV[3]) and redis.call('ZCARD', key) >= tonumber(ARGV[3 + i]) then return i end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, ARGV[2], ARGV[3])
  redis.call('EXPIRE', key, 120)
end
return 0
"""


class Caps:
    def __init__(self, shared: Shared, instance: str, per_user: int, per_address: int) -> None:
        self.shared = shared
        self.instance = instance
        self.limits = (per_user, per_address)
        # Of this process: the sockets under each key, and the keys of each socket.
        self.held: dict[str, set[str]] = {}
        self.keys: dict[str, tuple[str, str]] = {}

    def claim(self, engine: str, user_id: str, network: str) -> None:
        """A place for an Engine.IO session, however many namespaces it opens. Raises `TooManyRequests`."""
        keys = (self.shared.key("sockets", user_id), self.shared.key("sockets", network))
        if self.keys.get(engine) == keys:
            return
        here = next((n for n, key in enumerate(keys) if len(self.held.get(key, ())) >= self.limits[n]), None)
        # Taken here before Redis is asked: others come meanwhile.
        self._take(engine, keys)
        full = here if here is not None else self.shared.attempt(lambda r: self._claim(r, engine, keys), lambda: None)
        if full is not None:
            self._give(engine)
            whose = "This account" if full == 0 else "This address"
            raise TooManyRequests(f"{whose} has too many connections open.", retry_after=RETRY_SECONDS)

    def _claim(self, client: object, engine: str, keys: tuple[str, str]) -> int | None:
        moment = time.time()
        member = f"{self.instance}/{engine}"
        found = client.eval(CLAIM, 2, *keys, moment, moment + LEASE_SECONDS, member, *self.limits)  # type: ignore[attr-defined]  # redis-py's types
        return found - 1 if found else None

    def release(self, engine: str) -> None:
        if keys := self._give(engine):
            member = f"{self.instance}/{engine}"
            self.shared.attempt(lambda client: [client.zrem(key, member) for key in keys], list)

    def renew(self) -> None:
        """Keeps the places of the sockets that are open."""
        ends = time.time() + LEASE_SECONDS
        places = [(key, {f"{self.instance}/{engine}": ends for engine in held}) for key, held in self.held.items()]

        def send(client: object) -> None:
            pipe = client.pipeline(transaction=False)  # type: ignore[attr-defined]  # as above
            for key, members in places:
                pipe.zadd(key, members)
                pipe.expire(key, LEASE_SECONDS * 2)
            pipe.execute()

        if places:
            self.shared.attempt(send, lambda: None)

    def _take(self, engine: str, keys: tuple[str, str]) -> None:
        self._give(engine)
        self.keys[engine] = keys
        for key in keys:
            self.held.setdefault(key, set()).add(engine)

    def _give(self, engine: str) -> Iterable[str]:
        keys = self.keys.pop(engine, ())
        for key in keys:
            held = self.held.get(key, set())
            held.discard(engine)
            if not held:
                self.held.pop(key, None)
        return keys
