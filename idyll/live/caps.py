"""How many sockets a person and an address may hold, counted in connections: over all instances where Redis is set."""

import time
from collections.abc import Iterable

from ..errors import TooManyRequests
from ..shared import Shared

RETRY_SECONDS = 10
LEASE_SECONDS = 20  # a killed process's places are free again after it; renewed each 5
# KEYS: the sets of the person and of the address; ARGV: now, end of the lease, the socket, and a limit for each set.
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
        # Of this process: the sockets under each key, and the keys of each socket: two people may share a connection.
        self.held: dict[str, set[str]] = {}
        self.keys: dict[str, set[str]] = {}

    def claim(self, engine: str, user_id: str, network: str) -> None:
        """A place for an Engine.IO session, however many namespaces it opens. Raises `TooManyRequests`."""
        names = (user_id, network)
        keys = {self.shared.key("sockets", name): limit for name, limit in zip(names, self.limits, strict=True)}
        new = {key: limit for key, limit in keys.items() if key not in self.keys.get(engine, ())}
        if not new:
            return
        full = next((key for key, limit in new.items() if len(self.held.get(key, ())) >= limit), None)
        if full is None:
            # Taken here before Redis is asked: others come meanwhile.
            self._take(engine, new)
            full = self.shared.attempt(lambda client: self._claim(client, engine, new), lambda: None)
            if full is not None:
                self._give(engine, new)
        if full is not None:
            whose = "This account" if full == next(iter(keys)) else "This address"
            raise TooManyRequests(f"{whose} has too many connections open.", retry_after=RETRY_SECONDS)

    def _claim(self, client: object, engine: str, new: dict[str, int]) -> str | None:
        moment = time.time()
        member = f"{self.instance}/{engine}"
        asked = (CLAIM, len(new), *new, moment, moment + LEASE_SECONDS, member, *new.values())
        found = client.eval(*asked)  # type: ignore[attr-defined]  # redis-py's types
        return list(new)[found - 1] if found else None

    def release(self, engine: str) -> None:
        if keys := list(self.keys.get(engine, ())):
            self._give(engine, keys)
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

    def _take(self, engine: str, keys: Iterable[str]) -> None:
        self.keys.setdefault(engine, set()).update(keys)
        for key in keys:
            self.held.setdefault(key, set()).add(engine)

    def _give(self, engine: str, keys: Iterable[str]) -> None:
        mine = self.keys.get(engine, set())
        for key in keys:
            mine.discard(key)
            held = self.held.get(key, set())
            held.discard(engine)
            if not held:
                self.held.pop(key, None)
        if not mine:
            self.keys.pop(engine, None)
