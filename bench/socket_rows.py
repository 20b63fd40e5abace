"""Socket rows: fan-out to a room, memory of idle clients, and how long a crowd takes to connect."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .http_rows import Failed, Plan, rounds
from .rows import NO_SLOWER, Aim, Row, Sample
from .stage import Server

CLIENTS = 200
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Fanout:
    key: str
    title: str
    aims: list[Aim]
    clients: int
    messages: int
    mode: str

    def shorter(self) -> "Fanout":
        return Fanout(self.key, self.title, self.aims, min(self.clients, 50), self.messages // 5, self.mode)


FANOUTS = [
    # So many that their slowest hundredth is more than one hiccup of the machine.
    Fanout("paced", f"fan-out to {CLIENTS}, 20 messages a second", [NO_SLOWER], CLIENTS, 600, "paced"),
    Fanout(
        "burst",
        f"fan-out to {CLIENTS}, 300 messages at once",
        [Aim("deliveredPerSecond", at_least=1.5), NO_SLOWER],
        CLIENTS,
        300,
        "burst",
    ),
    Fanout(
        "acked", "send_message, each acknowledged", [Aim("ackedPerSecond", at_least=1.5), NO_SLOWER], 1, 1000, "acked"
    ),
]


@dataclass(frozen=True)
class Scripts:
    """Where fanout.mjs and idle.mjs are, the peer's or our own, and what runs them."""

    folder: Path
    node: Path
    core: str

    def command(self, script: str, *arguments: object) -> list[str]:
        pin = ["taskset", "-c", self.core] if self.core else []
        return [*pin, str(self.node), str(self.folder / script), *map(str, arguments)]


def fan_out(scripts: Scripts, server: Server, people: Path, fanout: Fanout) -> Sample:
    before = server.cpu_seconds()
    command = scripts.command("fanout.mjs", server.url, people, fanout.clients, fanout.messages, fanout.mode, 20)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"at the {server.name}: {done.stdout}{done.stderr[-1000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    kept = ("deliveredPerSecond", "ackedPerSecond", "p50", "p99", "max")
    cpu = (server.cpu_seconds() - before) / found["got"] * 1000
    measured = {name: float(found[name]) for name in kept if name in found}
    return {**measured, "cpu": cpu, "memory": server.memory()}


def measure_fan_out(
    row: Row, scripts: Scripts, fanout: Fanout, servers: Sequence[Server], people: dict[str, Path], plan: Plan
) -> None:
    fanout = fanout.shorter() if plan.quick else fanout
    for server in servers:
        fan_out(scripts, server, people[server.name], fanout)
    for server in rounds(servers, plan):
        row.add(server.name, fan_out(scripts, server, people[server.name], fanout))


def idle(scripts: Scripts, server: Server, people: Path, clients: int) -> Sample:
    """On a server that was just started: what others left behind would hide what these take."""
    server.restart()
    fan_out(scripts, server, people, Fanout("", "", [], 10, 10, "acked"))
    time.sleep(SETTLE_SECONDS)
    before, cpu_before = server.memory(), server.cpu_seconds()
    command = scripts.command("idle.mjs", server.url, people, clients, int(SETTLE_SECONDS * 3000))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        line = running.stdout.readline()
        up = json.loads(line) if line else {"up": 0, "failed": clients, "why": "idle.mjs ended", "seconds": 0}
        cpu = server.cpu_seconds() - cpu_before
        time.sleep(SETTLE_SECONDS)
        after = server.memory()
        rest = running.stdout.readline()
    if up["failed"] or not rest:
        raise Failed(f"at the {server.name} {up['failed']} of {clients} clients did not get in: {up.get('why')}")
    stayed = json.loads(rest)
    if stayed["stillUp"] != clients or stayed["got"] != clients:
        raise Failed(f"at the {server.name} of {clients} clients {stayed['stillUp']} stayed, {stayed['got']} were told")
    kib = (after - before) * 1024 / clients
    # The CPU of letting them in, for each as elsewhere for each request.
    cpu *= 1000 / clients
    return {"perSocket": kib, "seconds": up["seconds"], "p99": stayed["p99"], "cpu": cpu, "memory": after}


def measure_idle(
    memory: Row,
    storm: Row,
    scripts: Scripts,
    clients: int,
    servers: Sequence[Server],
    people: dict[str, Path],
    plan: Plan,
) -> None:
    for server in rounds(servers, plan):
        sample = idle(scripts, server, people[server.name], clients)
        memory.add(server.name, {name: sample[name] for name in ("perSocket", "cpu", "memory")})
        storm.add(server.name, {name: sample[name] for name in ("seconds", "cpu", "memory")})


def measure_cold_start(row: Row, servers: Sequence[Server], plan: Plan) -> None:
    """From the command to the first answer, with the files in the system's cache."""
    for server in servers:
        server.restart()
    for server in rounds(servers, plan):
        server.stop()
        begin = time.monotonic()
        server.start()
        row.add(server.name, {"seconds": time.monotonic() - begin})
