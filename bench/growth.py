"""`make bench-growth`: what a request costs at ten thousand, a hundred thousand and a million rows, and a sweep."""

import os
import subprocess
import tempfile
import time
from argparse import Namespace
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from servers import stop_servers

from . import crowded, data, results
from .client import call
from .endpoints import Endpoint
from .http_rows import Load
from .plans import LOGGED, SPEAKING, Plans
from .rows import Sample
from .stage import Cores, Database, Server, need, product

TABLES = {"tasks", "messages", "events"}
EXPLAINED = ("list", "filter", "sort", "search", "sync")  # titles of what reads them
BEHIND = 500  # events that somebody missed
PAGES = 100  # walked before the deep page
OLD_SHARE = 0.5
# Rows that a request may read; a list walks 20,000 before it looks by days, whatever the size (idyll/pagination.py).
MOST_READ = 30_000


@dataclass(frozen=True)
class Asked:
    """A request whose cost shall not grow; `plotted` ones stand in the picture too."""

    title: str
    path: str
    who: str = "owner"
    plotted: bool = False
    body: str = ""


class Growth:
    def __init__(self, options: Namespace, folder: Path) -> None:
        self.sizes: tuple[int, ...] = (1_000, 10_000) if options.plan.quick else (10_000, 100_000, 1_000_000)
        self.seconds = 1 if options.plan.quick else 3
        cores = Cores.choose()
        self.database = Database(**LOGGED)
        self.server = product(options.product, self.database, name="idyll_growth", core=cores.server)
        self.url = self.server.env["DATABASE_URL"]
        self.load = Load(cores.load, folder)
        self.cursor = data.connect(self.url).cursor()
        data.copy(self.cursor, "users", data.people())
        self.times: dict[str, list[float]] = {}
        self.read: dict[str, dict[str, int]] = {}

    def run(self) -> dict[str, Any]:
        filled, asked = 0, list[Asked]()
        for size in self.sizes:
            print(f"{size:,} rows", flush=True)
            self.server.stop()
            crowded.hand_out(self.cursor, size)
            crowded.add(self.cursor, filled + 1, size - BEHIND)
            self.server.start()
            status, said = call(f"{self.server.url}/api/events", token=self.load.token(self.server, "owner"))
            assert status == 200, said
            crowded.add(self.cursor, size - BEHIND + 1, size)
            data.settle(self.cursor)
            filled = size
            asked = self._asked(size, said["lastEventId"])
            # What else the machine does makes a request dearer, never cheaper: the better of two rounds counts.
            rounds = [[self._measure(one)["p50"] for one in asked] for _ in range(2)]
            for one, *found in zip(asked, *rounds, strict=True):
                self.times.setdefault(one.title, []).append(min(found))
                print(f"    {one.title:44} {min(found):8.2f} ms", flush=True)
        self._explain(asked)
        return {
            "sizes": self.sizes,
            "rows": [
                {
                    "title": one.title,
                    "p50": self.times[one.title],
                    "read": [f"{how}: {rows:,}" for how, rows in self.read[one.title].items()],
                    "rows": sum(self.read[one.title].values()),
                    "plotted": one.plotted,
                }
                for one in asked
            ],
            "sweep": self._sweep(),
        }

    def _asked(self, size: int, since: str) -> list[Asked]:
        editor, other = (person["id"] for person in data.editors()[:2])
        self.cursor.execute("SELECT id FROM messages WHERE room = 'team' ORDER BY seq LIMIT 1 OFFSET 200")
        early = self.cursor.fetchone()[0]
        deep = self._deep_cursor()
        new, old = _days(0, 1), _days(-600, -599)
        return [
            Asked("GET /auth/me", "/api/auth/me", plotted=True),
            Asked("list: tasks", "/api/tasks", plotted=True),
            Asked("list: an editor's own tasks", "/api/tasks", "editor1"),
            Asked(f"list: tasks, {PAGES} pages on", f"/api/tasks?cursor={deep}"),
            Asked("list: messages", "/api/chat/messages", plotted=True),
            Asked("list: messages, the oldest", f"/api/chat/messages?before={early}"),
            Asked("list: an editor's room", f"/api/chat/messages?room=editor:{editor}"),
            Asked("filter: blocked", "/api/tasks?status=blocked", plotted=True),
            Asked("filter: overdue", "/api/tasks?overdue=true"),
            Asked("filter and sort: overdue, by deadline", "/api/tasks?overdue=true&sort=deadline"),
            Asked("filter: somebody's pending", f"/api/tasks?assignedTo={other}&status=pending"),
            Asked("filter: due on two days", f"/api/tasks?{new}"),
            Asked("filter: due on two days long ago", f"/api/tasks?{old}", plotted=True),
            Asked("filter and sort: due long ago, by deadline", f"/api/tasks?{old}&sort=deadline"),
            Asked("filter: due in the year until now", f"/api/tasks?{_days(-365, 0)}"),
            Asked("filter: due in a month long ago", f"/api/tasks?{_days(-600, -570)}"),
            Asked("filter: due until long ago", f"/api/tasks?deadlineTo={_day(-640)}"),
            Asked("sort: by deadline", "/api/tasks?sort=deadline"),
            Asked("sort: by priority", "/api/tasks?sort=priority"),
            Asked("search: a rare word", "/api/tasks?q=dro", plotted=True),
            Asked("search: a word of every task", "/api/tasks?q=wedd", plotted=True),
            Asked("search: both words", "/api/tasks?q=wedd%20dro"),
            Asked("search: a number", f"/api/tasks?q=c{size - 7}"),
            Asked("search: a word that is nowhere", "/api/tasks?q=zebra"),
            Asked(f"sync: {BEHIND} events behind", f"/api/events?since={since}", plotted=True),
            Asked("sync: the same, an editor", f"/api/events?since={since}", "editor1"),
            Asked(
                "write: POST /tasks",
                "/api/tasks",
                body='{"name":"Wedding film $n","deadline":"2031-12-24","assignedTo":"editor5"}',
                plotted=True,
            ),
            Asked("write: POST /chat/messages", "/api/chat/messages", body='{"message":"Message $n"}'),
        ]

    def _deep_cursor(self) -> str:
        cursor = ""
        for _ in range(PAGES):
            path = f"/api/tasks?limit=100{cursor and f'&cursor={cursor}'}"
            _, page = call(self.server.url + path, token=self.load.token(self.server, "owner"))
            if not page["nextCursor"]:
                break
            cursor = quote(page["nextCursor"])
        return cursor

    def _measure(self, asked: Asked) -> Sample:
        """One request at a time: what it costs, and not how it waits for others."""
        method, status = ("POST", 201) if asked.body else ("GET", 200)
        bodies = (asked.body,) if asked.body else ()
        endpoint = Endpoint("growth", asked.title, method, asked.path, 0, asked.who, bodies, status=status)
        return self.load.run(self.server, endpoint, self.seconds, connections=1)

    def _explain(self, asked: list[Asked]) -> None:
        """Through a process of its own whose statements are logged."""
        speaking = Server("speaking", self.server.command, self.server.folder, dict(self.server.env))
        speaking.env["DATABASE_URL"] += SPEAKING
        speaking.start()
        plans = Plans(self.url)
        for one in asked:
            token = self.load.token(self.server, one.who)
            ask = partial(call, speaking.url + one.path, token=token)
            # The log of events is looked at all the time, whatever is asked.
            tables = TABLES if "/events" in one.path else TABLES - {"events"}
            self.read[one.title] = {} if one.body else plans.of(ask, tables)
        speaking.stop()

    def _sweep(self) -> dict[str, Any]:
        """Old events and stored answers are deleted while others write."""
        answers = self.sizes[-1] // 10
        crowded.add_answers(self.cursor, answers)
        events = crowded.make_old(self.cursor, OLD_SHARE)
        data.settle(self.cursor)
        post = Endpoint(
            "growth",
            "POST /chat/messages",
            "POST",
            "/api/chat/messages",
            0,
            bodies=('{"message":"Message $n"}',),
            status=201,
        )
        before = self.load.run(self.server, post, 2 * self.seconds, connections=4)
        begin = time.monotonic()
        command = ["flask", "--app", "wsgi", "sweep"]
        during = []
        with subprocess.Popen(
            command, cwd=self.server.folder, env={**os.environ, **self.server.env}, stdout=subprocess.PIPE
        ) as sweeping:
            while sweeping.poll() is None:
                during.append(self.load.run(self.server, post, self.seconds, connections=4))
        seconds = time.monotonic() - begin
        print(f"swept {events:,} events and {answers:,} answers in {seconds:.0f} s", flush=True)
        return {"events": events, "answers": answers, "seconds": seconds, "before": before, "during": _worst(during)}


def _days(first: int, last: int) -> str:
    return f"deadlineFrom={_day(first)}&deadlineTo={_day(last)}"


def _day(offset: int) -> date:
    return datetime.now(UTC).date() + timedelta(days=offset)


def _worst(samples: list[Sample]) -> Sample:
    """The usual rate, and the longest that anybody waited."""
    longest = {metric: max(sample[metric] for sample in samples) for metric in ("p99", "max")}
    return {metric: median(sample[metric] for sample in samples) for metric in ("rps", "p50")} | longest


def grow(options: Namespace) -> int:
    need("wrk", "taskset")
    try:
        with tempfile.TemporaryDirectory(prefix="idyll-bench-") as folder:
            growth = Growth(options, Path(folder))
            found = growth.run()
            versions = results.tool_versions() | {"postgresql": growth.database.version()}
    finally:
        stop_servers()
    whole = [row["title"] for row in found["rows"] if any(how.startswith("Seq Scan") for how in row["read"])]
    far = [f"{row['title']} ({row['rows']:,})" for row in found["rows"] if row["rows"] > MOST_READ]
    silent = [row["title"] for row in found["rows"] if not row["read"] and row["title"].startswith(EXPLAINED)]
    results.keep(
        "growth", {**results.circumstances(options.product, options.command, **versions), **found}, options.out
    )
    if whole:
        print(f"Read whole tables: {', '.join(whole)}")
    if far:
        print(f"Read more than {MOST_READ:,} rows: {', '.join(far)}")
    if silent:
        print(f"Nothing was seen of how these are read: {', '.join(silent)}")
    return 1 if whole or far or silent else 0
