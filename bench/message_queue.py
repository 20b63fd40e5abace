"""From a commit in one process to the clients of another, with Redis between them: our log against a message queue.

`make bench-queue`. Weighed in docs/adr/008-following-the-log.md.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import ExitStack, suppress
from pathlib import Path

from conftest import People
from driver import Driver, NoAck
from flask import Flask
from live import environment, make_inside
from proxies import OwnRedis
from servers import start_app, stop_servers, web_command

LISTENERS = 10
A_SECOND = 50
SECONDS = int(os.environ.get("BENCH_SECONDS", "20"))
AWAY_FROM, AWAY_SECONDS = 2.0, 2.0


class Listener:
    """One client at the other process."""

    def __init__(self) -> None:
        self.came: dict[int, list[float]] = {}

    def __call__(self, kind: str, name: str, at: float, text: str) -> None:
        if kind == "event" and name == "new_message":
            self.came.setdefault(int(json.loads(text)[0]["message"]), []).append(at)


class Run:
    """Two processes of one kind, one client that talks at the first, and some who listen at the second."""

    def __init__(self, kind: str, inside: Flask, token: str, redis: OwnRedis | None, stack: ExitStack) -> None:
        self.redis = redis
        self.stamps = Path(tempfile.mkdtemp()) / "stamps"
        env = environment(inside, CHAT_FLOOD_LIMIT="1000000", SOCKETS_PER_USER="100", STAMPS=str(self.stamps))
        command = web_command().replace("wsgi:app", f"'bench.{kind}_app:{kind}()'")
        apps = [start_app({**env, "REDIS_URL": redis.url if redis else ""}, command=command) for _ in range(2)]
        for app in apps:
            stack.callback(app.stop)
        self.driver = Driver()
        stack.callback(self.driver.end)
        self.token = token
        self.talker = self.open(apps[0].url, lambda *_: None)
        self.listeners = [Listener() for _ in range(LISTENERS)]
        for listener in self.listeners:
            self.driver.ask("emit", self.open(apps[1].url, listener), event="join_room", payload=[{}], timeout=10_000)
        time.sleep(1)

    def open(self, url: str, listener: Callable[[str, str, float, str], None]) -> str:
        name = self.driver.new_name()
        self.driver.listen(name, listener)
        options = {"transports": ["websocket"]}
        self.driver.tell("open", name, url=url, namespace="/", auth={"token": self.token}, options=options)
        time.sleep(0.2)
        return name

    def talk(self, seconds: float, *, redis_stops: bool = False) -> int:
        """How many messages were sent, evenly."""
        began, first, answers = time.monotonic(), len(self.committed()), []
        for n in range(first, first + int(seconds * A_SECOND)):
            passed = (n - first) / A_SECOND
            time.sleep(max(0.0, began + passed - time.monotonic()))
            if self.redis and redis_stops and passed >= AWAY_FROM:
                (self.redis.stop if passed < AWAY_FROM + AWAY_SECONDS else self.redis.start)()
            payload = [{"message": str(n)}]
            answers.append(self.driver.ask("emit", self.talker, event="send_message", payload=payload, timeout=20_000))
        wait(answers)
        for answer in answers:
            with suppress(NoAck):
                answer.result()
        time.sleep(5)
        return len(answers)

    def committed(self) -> list[float]:
        return [int(line) / 1e9 for line in self.stamps.read_text().split()] if self.stamps.exists() else []

    def latencies(self, numbers: range) -> list[float]:
        committed = self.committed()
        return [one.came[n][0] - committed[n] for one in self.listeners for n in numbers if n in one.came]


def measure(words: str, kind: str, agency: tuple[Flask, str], *, redis: bool = True) -> None:
    with ExitStack() as stack:
        own = OwnRedis() if redis else None
        if own:
            stack.callback(own.stop)
        run = Run(kind, *agency, own, stack)
        run.talk(2)  # warm
        first = len(run.committed())
        sent = run.talk(SECONDS)
        took = sorted(run.latencies(range(first, first + sent)))
        lost = LISTENERS * sent - len(took)
        at = statistics.quantiles(took, n=100)
        say(words, "steady", sent, lost, f"p50 {at[49] * 1000:.1f} ms, p99 {at[98] * 1000:.1f} ms")
        if not own:
            return
        first += sent
        sent = run.talk(8, redis_stops=True)
        numbers = range(first, first + sent)
        took = run.latencies(numbers)
        missing = [n for n in numbers if n not in run.listeners[0].came]
        more = f"slowest {max(took):.2f} s"
        if missing:
            more += f", deaf for {(missing[-1] - missing[0] + 1) / A_SECOND:.1f} s"
        say(words, f"Redis stops for {AWAY_SECONDS:.0f} s", sent, LISTENERS * sent - len(took), more)


def say(*parts: object) -> None:
    words, when, sent, lost, more = parts
    line = f"{words:24} {when:20} {sent:5} messages to {LISTENERS} listeners, {lost:5} deliveries lost, {more}"
    print(line, flush=True)


if __name__ == "__main__":
    try:
        inside = make_inside("idyll_bench_queue", Path(tempfile.mkdtemp()))
        agency = inside, People(inside)().token
        measure("the log, woken by Redis", "log", agency)
        measure("the log, no Redis", "log", agency, redis=False)
        measure("Flask-SocketIO's queue", "queue", agency)
    finally:
        stop_servers()
