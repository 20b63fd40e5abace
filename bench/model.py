"""What the costs of `make bench-cores` say of more processes and people: a model on paper, and how far it holds."""

from dataclasses import dataclass
from math import ceil
from typing import Any

CORES = 2  # of the machine that was measured
# What somebody connected does, and how many hear of it.
READS_EVERY, CHANGES_EVERY, SPEAKS_EVERY, PINGS_EVERY = 20, 200, 500, 25  # seconds
TOLD_OF_A_CHANGE = 12
EVENTS_OF_A_CHANGE = 6
# How much of a process, of its sockets and of its memory is used.
BUSY, SOCKETS = 0.6, 5_000
SOCKET_KIB = 25
CONNECTIONS = 12
PARTS = ("application", "PostgreSQL", "nginx", "Valkey")
CHECKED = ("GET /auth/me", "GET /tasks?limit=50", "POST /tasks", "POST /chat/messages")
CROWDS = ((1_000, 1_000), (10_000, 10_000), (10_000, 500), (100_000, 500))  # people, and how many share a room


@dataclass(frozen=True)
class Costs:
    """Milliseconds of CPU, by part, as one process had them; those of following as two had them."""

    found: dict[str, list[float]]

    def of(self, title: str, part: str = "application", processes: int = 1) -> float:
        return self.found[f"{title}, ms of CPU each: {part}"][processes - 1]

    def read(self, part: str) -> float:
        return (self.of("GET /auth/me", part) + self.of("GET /tasks?limit=50", part)) / 2

    @property
    def delivery(self) -> float:
        return self.found["a delivery at 20 messages a second, ms of CPU: application"][0]

    def following(self, part: str) -> float:
        return self.found[f"a change elsewhere, ms of CPU in each other process: {part}"][1]

    def predicted(self, title: str, processes: int) -> float:
        """Requests a second of several processes that share the measured machine with all other parts."""
        own = self.of(title)
        all_parts = sum(self.of(title, part) for part in PARTS)
        return min(CORES * 1000 / all_parts, processes * 1000 / own)


def costs(found: dict[str, Any]) -> Costs:
    return Costs({row["title"]: row["values"] for row in found["rows"]})


def checks(found: dict[str, Any]) -> list[list[str]]:
    """What one process's costs say of two and three, beside what was measured."""
    known = costs(found)
    lines = []
    for title in CHECKED:
        measured = known.found[f"{title}, requests a second"]
        line = [title]
        for processes in (1, 2, 3):
            said = known.predicted(title, processes)
            line.append(f"{measured[processes - 1]:,.0f} of {said:,.0f} ({measured[processes - 1] / said:.2f})")
        lines.append(line)
    return lines


def crowd(known: Costs, base: float, people: int, room: int) -> list[str]:
    """One column of the table: what so many people take."""
    reads, changes, says = people / READS_EVERY, people / CHANGES_EVERY, people / SPEAKS_EVERY
    deliveries = says * room + changes * TOLD_OF_A_CHANGE + people / PINGS_EVERY
    events = changes * EVENTS_OF_A_CHANGE + says

    def busy(part: str) -> float:
        said = known.of("POST /chat/messages", part) * says + known.of("POST /tasks", part) * changes
        return (known.read(part) * reads + said) / 1000

    own = busy("application") + known.delivery * deliveries / 1000
    # Each process reads what the others did, too.
    heard = events / EVENTS_OF_A_CHANGE / 1000
    each, each_in_database = (known.following(part) * heard for part in ("application", "PostgreSQL"))
    too_much = each >= BUSY  # for any number of processes: as if there were nothing to follow
    shared = own / BUSY if too_much else (own - each) / (BUSY - each)
    processes = ceil(max(people / SOCKETS, shared))
    follows, follows_in_database = each * (processes - 1), each_in_database * (processes - 1)
    return [
        f"{reads + changes + says:,.0f}",
        f"{deliveries:,.0f}",
        f"{own:.1f}, and {follows:.1f} to follow the log",
        f"{processes}, which following alone would keep busy" if too_much else f"{processes}",
        f"{base + SOCKET_KIB * people / processes / 1024:.0f} MiB",
        f"{busy('PostgreSQL'):.1f}, and {follows_in_database:.1f} for those who follow",
        f"{processes * CONNECTIONS}",
        f"{busy('Valkey'):.2f}",
        f"{events:,.0f}",
    ]


ROWS = [
    "requests and messages a second",
    "deliveries a second",
    "cores of the application",
    f"processes: {SOCKETS:,} sockets each, at most {BUSY:.0%} busy",
    f"memory of each, {SOCKET_KIB} KiB a socket",
    "cores of PostgreSQL",
    f"connections to PostgreSQL, {CONNECTIONS} a process",
    "cores of Valkey",
    f"events a second, about {EVENTS_OF_A_CHANGE} a change",
]


def paper(found: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """The assumptions in words, the heads of the columns, and the rows."""
    known = costs(found)
    base = known.found["memory of all processes, MiB"][0]
    columns = [crowd(known, base, *one) for one in CROWDS]
    heads = [f"{people:,}, {'all in one room' if people == room else f'rooms of {room}'}" for people, room in CROWDS]

    def both(title: str) -> str:
        return f"{known.of(title):.1f} ms of the application and {known.of(title, 'PostgreSQL'):.1f} of PostgreSQL"

    words = (
        f"Somebody connected reads every {READS_EVERY} s ({known.read('application'):.1f} ms of the application and "
        f"{known.read('PostgreSQL'):.1f} of PostgreSQL), changes something every {CHANGES_EVERY} s "
        f"({both('POST /tasks')}; {TOLD_OF_A_CHANGE} sockets are told), says something every {SPEAKS_EVERY} s "
        f"({both('POST /chat/messages')}) and answers a ping every {PINGS_EVERY} s. A delivery costs "
        f"{known.delivery:.3f} ms. A change costs each other process {known.following('application'):.2f} ms, and "
        f"PostgreSQL {known.following('PostgreSQL'):.2f} ms for each."
    )
    return words, heads, [[row, *cells] for row, *cells in zip(ROWS, *columns, strict=True)]
