"""`make bench-cores`: one, two and three processes behind nginx, with Valkey between them, on two cores for all."""

import os
import tempfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import redis
from driver import Driver
from proxies import RunningProxy, start_nginx
from servers import redis_url, stop_servers

from . import ROOT, data, results
from .client import log_in
from .compare import PEOPLE
from .endpoints import Endpoint, reads, writes
from .http_rows import Load, people_file
from .peer import node
from .rows import Sample
from .socket_rows import FANOUTS, Scripts, fan_out
from .stage import Database, Server, cpu_of, many_files, need, product

COUNTS = (1, 2, 3)
COMPARED = ("me", "tasks", "create_task", "post_message")
BYSTANDER = "editor9"  # whom nobody tells of the tasks that are made


@dataclass
class Cluster(Server):
    """Several processes of the product as one server, at nginx's address."""

    members: Sequence[Server] = ()
    front: RunningProxy | None = None

    @property
    def url(self) -> str:
        assert self.front
        return self.front.url

    def start(self) -> "Cluster":
        for member in self.members:
            member.start()
        self.front = start_nginx([member.port for member in self.members], websocket_only=True, kept=64)
        return self

    def stop(self) -> None:
        if self.front:
            self.front.stop()
        for member in self.members:
            member.stop()

    def processes(self) -> list[int]:
        return [pid for member in self.members for pid in member.processes()]


class Scaling:
    def __init__(self, options: Namespace, folder: Path) -> None:
        # Everything shares two cores, as on a small host.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
        self.plan, self.folder = options.plan, folder
        self.database, self.redis = Database(), redis_url()
        self.bus = redis.Redis.from_url(self.redis)
        shared = {"REDIS_URL": self.redis, "TRUSTED_PROXIES": "1", "FORCE_HTTPS": "off"}
        self.one = product(options.product, self.database, **shared)
        data.fill_product(self.one.env["DATABASE_URL"])
        self.load = Load("", folder)
        self.scripts = Scripts(ROOT / "bench" / "load", node(), "")
        self.rows: dict[tuple[str, str], list[float]] = {}

    def run(self) -> None:
        for count in COUNTS:
            print(f"{count} process{'es' if count > 1 else ''}", flush=True)
            members = [replace(self.one) for _ in range(count)]
            cluster = Cluster("product", "", self.one.folder, {}, members=members)
            cluster.start()
            try:
                self._measure(cluster)
            finally:
                cluster.stop()

    def _measure(self, cluster: Cluster) -> None:
        for endpoint in [*reads(), *writes()]:
            if endpoint.key in COMPARED:
                self.load.run(cluster, endpoint, self.plan.warm_up)
                sample = self._with_costs(cluster, partial(self.load.run, cluster, endpoint, self.plan.seconds))
                self._note(f"{endpoint.title}, requests a second", "rps", sample["rps"])
                self._note(f"{endpoint.title}, p99 in ms", "p99", sample["p99"])
                for part in ("application", "PostgreSQL", "nginx", "Valkey"):
                    self._note(
                        f"{endpoint.title}, ms of CPU each: {part}", "cpu", sample[part] / sample["requests"] * 1000
                    )
        people = people_file(cluster, self.folder, PEOPLE)
        self._note("a delivery at 20 messages a second, ms of CPU: application", "cpu", self._delivery(cluster, people))
        for part, cost in self._following(cluster).items():
            self._note(f"a change elsewhere, ms of CPU in each other process: {part}", "cpu", cost)
        burst = next(fanout for fanout in FANOUTS if fanout.mode == "burst")
        burst = burst.shorter() if self.plan.quick else burst
        before = self._commands()
        sample = self._with_costs(cluster, partial(fan_out, self.scripts, cluster, people, burst))
        self._note(f"{burst.title}, delivered a second", "deliveredPerSecond", sample["deliveredPerSecond"])
        self._note(f"{burst.title}, p99 in ms", "p99", sample["p99"])
        self._note("Valkey commands for each of these messages", "p50", (self._commands() - before) / burst.messages)
        self._note("connections to PostgreSQL", "rps", self._connections())
        self._note("memory of all processes, MiB", "memory", cluster.memory())

    def _delivery(self, cluster: Cluster, people: Path) -> float:
        """Of each to each: what more messages cost the same clients, so that letting them in is no part of it."""
        paced = next(fanout for fanout in FANOUTS if fanout.mode == "paced")
        paced = paced.shorter() if self.plan.quick else paced
        spent = []
        for messages in (paced.messages // 5, paced.messages):
            sample = fan_out(self.scripts, cluster, people, replace(paced, messages=messages))
            spent.append(sample["cpu"] * messages * paced.clients)
        return (spent[1] - spent[0]) / (paced.messages - paced.messages // 5) / paced.clients

    def _following(self, cluster: Cluster) -> dict[str, float]:
        """What a change costs a process that had no part in it, and a socket of somebody who is not told of it."""
        first, *others = cluster.members
        if not others:
            return {"application": 0.0, "PostgreSQL": 0.0}
        endpoint = next(endpoint for endpoint in writes() if endpoint.key == "create_task")
        alone = self._costs_of(first, others, endpoint)
        driver = Driver()
        try:
            bystander = log_in(first.url, BYSTANDER)
            for other in others:
                options = {"transports": ["websocket"], "reconnection": False}
                name = driver.new_name()
                driver.tell(
                    "open", name, url=other.url, namespace="/", auth={"token": bystander.token}, options=options
                )
                driver.ask("emit", name, event="sync", payload=[{}], timeout=10_000).result(20)
            followed = self._costs_of(first, others, endpoint)
        finally:
            driver.end()
        return followed | {"PostgreSQL": max(0.0, followed["PostgreSQL"] - alone["PostgreSQL"])}

    def _costs_of(self, first: Server, others: Sequence[Server], endpoint: Endpoint) -> dict[str, float]:
        """Milliseconds of CPU for each request at the first process, in each of the others and in PostgreSQL."""
        groups = {"application": [pid for other in others for pid in other.processes()], "PostgreSQL": self._backends()}
        before = {part: cpu_of(pids) for part, pids in groups.items()}
        requests = self.load.run(first, endpoint, self.plan.seconds)["requests"]
        return {part: (cpu_of(pids) - before[part]) / requests / len(others) * 1000 for part, pids in groups.items()}

    def _with_costs(self, cluster: Cluster, work: Callable[[], Sample]) -> Sample:
        """Beside the sample, the CPU seconds that each part took."""
        assert cluster.front
        groups: dict[str, Callable[[], list[int]]] = {
            "application": cluster.processes,
            "PostgreSQL": self._backends,
            "nginx": partial(_with_children, cluster.front.process.pid),
            "Valkey": lambda: [int(self.told("server", "process_id"))],
        }
        before = {name: cpu_of(pids()) for name, pids in groups.items()}
        sample = work()
        return sample | {name: cpu_of(pids()) - before[name] for name, pids in groups.items()}

    def _backends(self) -> list[int]:
        return _with_children(self.database.pid())

    def _commands(self) -> int:
        return int(self.told("stats", "total_commands_processed"))

    def told(self, section: str, name: str) -> Any:
        found: Any = self.bus.info(section)
        return found[name]

    def _connections(self) -> int:
        with data.connect(self.database.url).cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'idyll_bench'")
            return int(cursor.fetchone()[0])

    def _note(self, title: str, metric: str, value: float) -> None:
        self.rows.setdefault((title, metric), []).append(value)
        print(f"    {title:60} {value:10,.2f}", flush=True)


def _with_children(pid: int) -> list[int]:
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def scale(options: Namespace) -> int:
    need("wrk")
    many_files()
    try:
        with tempfile.TemporaryDirectory(prefix="idyll-bench-") as folder:
            scaling = Scaling(options, Path(folder))
            scaling.run()
            versions = results.tool_versions(scaling.scripts.node) | {
                "postgresql": scaling.database.version(),
                "valkey": str(scaling.told("server", "redis_version")),
            }
    finally:
        stop_servers()
    rows: list[dict[str, Any]] = [
        {"title": title, "metric": metric, "values": values} for (title, metric), values in scaling.rows.items()
    ]
    found = {**results.circumstances(options.product, options.command, **versions), "processes": COUNTS, "rows": rows}
    results.keep("cores", found, options.out)
    return 0
