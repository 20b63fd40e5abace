"""`make soak`: everything at once for half an hour, and what it does to the server's memory."""

import tempfile
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import stop_servers

from . import ROOT, data, results
from .compare import PEOPLE
from .endpoints import reads, writes
from .http_rows import Failed, Load, people_file
from .peer import node
from .socket_rows import Fanout, Scripts, fan_out
from .stage import Cores, Database, Server, many_files, need, product

CONNECTIONS = 8
SECONDS = 3  # on each endpoint in turn
COMING = Fanout("", "", [], 50, 100, "paced")  # fifty people come, hear five seconds of chat, and go


@dataclass(eq=False)  # a thread is itself and no other
class Crowd(threading.Thread):
    """People who come and go over sockets, until it is told to end."""

    scripts: Scripts
    server: Server
    people: Path
    came: int = 0
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                fan_out(self.scripts, self.server, self.people, COMING)
                self.came += COMING.clients
            except Failed as error:
                self.failures.append(str(error))


def soak(options: Namespace) -> int:
    need("wrk", "taskset")
    many_files()
    try:
        with tempfile.TemporaryDirectory(prefix="idyll-bench-") as folder:
            found = _soak(options, Path(folder))
    finally:
        stop_servers()
    results.keep("soak", found, options.out)
    return 1 if found["failures"] else 0


def _soak(options: Namespace, folder: Path) -> dict[str, Any]:
    cores, database = Cores.choose(), Database()
    server = product(options.product, database, core=cores.server)
    data.fill_product(server.env["DATABASE_URL"])
    server.start()
    load = Load(cores.load, folder)
    program = node()
    crowd = Crowd(Scripts(ROOT / "bench" / "load", program, cores.load), server, people_file(server, folder, PEOPLE))
    crowd.start()
    begin, requests, points = time.monotonic(), 0.0, []
    endpoints = [*reads(), *writes()]
    while time.monotonic() - begin < options.minutes * 60:
        for endpoint in endpoints:
            try:
                requests += load.run(server, endpoint, SECONDS, connections=CONNECTIONS)["requests"]
            except Failed as error:
                crowd.failures.append(f"{endpoint.title}: {error}")
        points.append({"seconds": round(time.monotonic() - begin, 1), "memory": round(server.memory(), 1)})
        minute, memory = points[-1]["seconds"] / 60, points[-1]["memory"]
        print(f"{minute:6.1f} min   {memory:8.1f} MiB   {requests:,.0f} requests", flush=True)
    crowd.ended.set()
    crowd.join()
    for failure in crowd.failures:
        print(f"Failed: {failure}")
    versions = results.tool_versions(program) | {"postgresql": database.version()}
    return {
        **results.circumstances(options.product, options.command, **versions),
        "minutes": options.minutes,
        "requests": int(requests),
        "sockets": crowd.came,
        "failures": crowd.failures,
        "points": points,
    }
