"""`make bench` and `make bench-self`: every row, of the product beside its peer or alone."""

import tempfile
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from servers import stop_servers

from . import ROOT, data, results
from .http_rows import Failed, Load, Plan, measure, people_file, planned
from .peer import Peer, node
from .rows import Aim, Row
from .same import check_same_work
from .socket_rows import FANOUTS, Scripts, measure_cold_start, measure_fan_out, measure_idle
from .stage import Cores, Database, Server, many_files, need, product

PEOPLE = ("owner", *(f"moderator{n}" for n in range(1, 10)), *(f"editor{n}" for n in range(1, 11)))
IDLE = (1_000, 5_000)


class Comparison:
    """The servers, and the rows as they are measured."""

    def __init__(self, options: Namespace, folder: Path) -> None:
        self.plan: Plan = options.plan
        self.only: set[str] = options.only
        self.folder = folder
        self.rows: list[Row] = []
        cores = Cores.choose()
        peer = Peer(options.peer) if options.peer else None
        if peer:
            peer.install()
        self.node = peer.node if peer else node()
        self.scripts = Scripts(peer.load if peer else ROOT / "bench" / "load", self.node, cores.load)
        print("Starting PostgreSQL and filling it", flush=True)
        self.database = Database()
        ours = product(options.product, self.database, core=cores.server)
        data.fill_product(ours.env["DATABASE_URL"])
        self.servers: list[Server] = [ours, *([peer.server(self.database, cores.server)] if peer else [])]
        self.load = Load(cores.load, folder)
        self.versions = results.tool_versions(self.node) | (peer.versions() if peer else {})
        self.versions["postgresql"] = self.database.version()

    def run(self) -> None:
        for server in self.servers:
            server.start()
        if len(self.servers) == 2:
            check_same_work(*self.servers)
            print("One answer of each endpoint and one message to a room compared: the same work\n", flush=True)
        everybody: dict[str, Any] = {"servers": self.servers, "plan": self.plan}
        for row, endpoint, busy in planned():
            self._row(row, partial(measure, load=self.load, endpoint=endpoint, busy=busy, **everybody))
        memory = Row("memory", "memory after the HTTP rows", [Aim("memory", at_most=0.5)])
        self._row(memory, lambda row: [row.add(s.name, {"memory": s.memory()}) for s in self.servers])
        self._sockets(**everybody)
        cold = Row("cold_start", "cold start to the first answer", [Aim("seconds", at_most=2.0)])
        self._row(cold, partial(measure_cold_start, **everybody))

    def _sockets(self, **everybody: Any) -> None:
        people = {server.name: people_file(server, self.folder, PEOPLE) for server in self.servers}
        everybody |= {"scripts": self.scripts, "people": people}
        for fanout in FANOUTS:
            row = Row(fanout.key, fanout.title, fanout.aims)
            self._row(row, partial(measure_fan_out, fanout=fanout, **everybody))
        for clients in IDLE:
            number = clients // 10 if self.plan.quick else clients
            storm = Row(f"storm_{clients}", f"{clients:,} clients connect", [Aim("seconds")])
            bound = 2.0 if clients == IDLE[-1] else None
            idle = Row(
                f"idle_{clients}", f"memory of an idle socket, of {clients:,}", [Aim("perSocket", at_most=bound)]
            )
            self._row(idle, partial(measure_idle, storm=storm, clients=number, **everybody), storm)

    def _row(self, row: Row, fill: Callable[..., object], *beside: Row) -> None:
        if self.only and not {row.key, *(r.key for r in beside)} & self.only:
            return
        attempt(fill, row, *beside)
        for measured in (row, *beside):
            self.rows.append(measured)
            print("\n".join(measured.lines()), flush=True)


def attempt(fill: Callable[..., object], row: Row, *beside: Row) -> None:
    """Fills a row, and maybe others that it gives samples to: they fail together."""
    try:
        fill(row)
    except Failed as error:
        for one in (row, *beside):
            one.failed = str(error)


def compare(options: Namespace) -> int:
    need("wrk", "taskset")
    many_files()
    try:
        with tempfile.TemporaryDirectory(prefix="idyll-bench-") as folder:
            comparison = Comparison(options, Path(folder))
            comparison.run()
    finally:
        stop_servers()
    found: dict[str, Any] = {
        **results.circumstances(options.product, options.command, **comparison.versions),
        "settings": vars(comparison.plan),
        "rows": [row.as_json() for row in comparison.rows],
    }
    results.keep("peer" if options.peer else "self", found, options.out)
    failed = [row.title for row in comparison.rows if row.failed]
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0
