"""HTTP rows: wrk on one endpoint, the servers by turns."""

import json
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import ROOT
from .client import PacedLogIns, Person, log_in
from .endpoints import Endpoint, log_ins, reads, writes
from .rows import NO_SLOWER, Aim, Row, Sample
from .stage import Server

CONNECTIONS = 32
# The hash is what takes the time: more would wait in a queue for longer than a round.
LOGIN_CONNECTIONS = 8
LOGIN_SECONDS = 10  # at least, for the same reason
LOGIN_ROUND = 5  # times as long as others: of a few answers even the slowest says little
LOGINS_PER_SECOND = 4


class Failed(Exception):
    """A row that says nothing: an answer was refused, or didn't come."""


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    seconds: int = 6
    warm_up: int = 8
    rounds: int = 3
    quick: bool = False


@dataclass
class Load:
    """wrk on its core, as people signed in at each server."""

    core: str
    folder: Path
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def token(self, server: Server, login: str) -> str:
        if not login:
            return "-"
        if (server.name, login) not in self.tokens:
            self.tokens[server.name, login] = log_in(server.url, login).token
        return self.tokens[server.name, login]

    def run(self, server: Server, endpoint: Endpoint, seconds: int, connections: int = CONNECTIONS) -> Sample:
        if endpoint.key == "log_in":
            seconds, connections = max(seconds, LOGIN_SECONDS), LOGIN_CONNECTIONS
        ids = "-"
        if endpoint.ids:
            file = self.folder / f"{endpoint.key}.ids"
            file.write_text("\n".join(endpoint.ids) + "\n")
            ids = str(file)
        command = ["taskset", "-c", self.core] if self.core else []
        command += ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"]
        command += ["-s", str(ROOT / "bench" / "wrk.lua"), server.url, "--", endpoint.method, endpoint.path]
        command += [self.token(server, endpoint.who), secrets.token_hex(4), ids, *endpoint.bodies]
        before = server.cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        cpu = server.cpu_seconds() - before
        if done.returncode:
            raise Failed(f"wrk failed: {done.stdout}{done.stderr}")
        found: Sample = json.loads(done.stdout.splitlines()[-1])
        for bad in ("refused", "broken"):
            if count := found.pop(bad):
                raise Failed(f"{count:g} of {found['requests']:g} requests at the {server.name} were {bad}")
        if not found["requests"]:
            raise Failed(f"the {server.name} answered nothing")
        return {**found, "cpu": cpu / found["requests"] * 1000, "memory": server.memory()}


def rounds(servers: Sequence[Server], plan: Plan) -> Iterator[Server]:
    """By turns, and who begins changes too; each when nobody still works off what came before."""
    for n in range(plan.rounds):
        for server in servers if n % 2 == 0 else servers[::-1]:
            for one in servers:
                if left := one.settle():
                    raise Failed(f"the {one.name} had {left} rows left to work off, long after the last answer")
            yield server


def measure(row: Row, load: Load, endpoint: Endpoint, servers: Sequence[Server], plan: Plan, *, busy: bool) -> None:
    """Fills the row. With `busy`, people log in meanwhile."""
    seconds = plan.seconds * (LOGIN_ROUND if endpoint.key == "log_in" else 1)
    for server in servers:
        load.run(server, endpoint, plan.warm_up)
    for server in rounds(servers, plan):
        with PacedLogIns(server.url, "moderator2", LOGINS_PER_SECOND) if busy else nullcontext() as log_ins:
            sample = load.run(server, endpoint, seconds)
        row.add(server.name, sample | (_answered(log_ins, server, plan.seconds) if log_ins else {}))


def _answered(log_ins: PacedLogIns, server: Server, seconds: int) -> Sample:
    if refused := log_ins.refused:
        raise Failed(
            f"{len(refused)} of {len(log_ins.sent)} log-ins at the {server.name} came to nothing: {refused[0]}"
        )
    if not log_ins.waits:
        raise Failed(f"the {server.name} answered no log-in within the round")
    return {"logIns": len(log_ins.waits) / seconds, "logInWait": median(log_ins.waits)}


def planned() -> list[tuple[Row, Endpoint, bool]]:
    """All rows, reads before writes: what is written makes lists and counts longer."""
    first = reads()
    busy = Row("me_busy", f"GET /auth/me during {LOGINS_PER_SECOND} log-ins a second", [NO_SLOWER, Aim("rps")])
    return [
        *[(Row(endpoint.key, endpoint.title, endpoint.aims), endpoint, False) for endpoint in [*first, log_ins()]],
        (busy, first[0], True),
        *[(Row(endpoint.key, endpoint.title, endpoint.aims), endpoint, False) for endpoint in writes()],
    ]


def people_file(server: Server, folder: Path, logins: Sequence[str]) -> Path:
    """Whom the socket scripts connect as."""
    people: list[Person] = [log_in(server.url, login) for login in logins]
    file = folder / f"people-{server.name}.json"
    file.write_text(json.dumps([vars(person) for person in people]))
    return file
