"""Puts results into docs/performance.md, between its markers, and draws the pictures beside it."""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from . import model, pictures, results
from .rows import UNITS, Row, span

PAGE = "performance.md"
DIGITS = {"cpu": 2, "p50": 1, "p99": 1, "seconds": 2}


def write(file: Path = results.FILE) -> None:
    """All sections that there are results for."""
    found, folder = results.read(file), file.parent
    page = folder / PAGE
    text = page.read_text()
    for section, (table, picture) in SECTIONS.items():
        if (source := DERIVED.get(section, section)) in found:
            text = between_markers(text, section, table(found[source]))
            if picture:
                (folder / f"performance-{section}.svg").write_text(picture(found[section]))
    page.write_text(text)


def between_markers(text: str, section: str, content: str) -> str:
    begin, end = f"<!-- {section}: written by make bench-report -->", f"<!-- /{section} -->"
    made, count = re.subn(
        rf"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{content}\n\n{end}", text, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{PAGE} has no place for {section!r}: {begin} … {end}")
    return made


def table(head: list[str], rows: list[list[str]]) -> str:
    """The first column holds words, the others numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def amount(metric: str, value: float) -> str:
    return f"{value:,.{DIGITS.get(metric, 0 if value >= 100 else 1)}f}"


def circumstances(found: dict[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    return (
        f"`{found['command']}`, {found['at'][:10]}, commit `{found['commit']}`, on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memoryGiB']:g} GiB, {machine['system']}. "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + "."
    )


# -- beside the peer -------------------------------------------------------------------------------------------------


def peer_table(found: dict[str, Any]) -> str:
    head = ["", "product", "peer", "ratio", "least … most", "aim", "p99 ratio", "least … most"]
    rows = [Row.from_json(row) for row in found["rows"]]
    meanwhile = [words for row in rows if (words := _log_ins(row))]
    return "\n\n".join((table(head, [_peer_line(row) for row in rows]), *meanwhile, circumstances(found)))


def _peer_line(row: Row) -> list[str]:
    if row.failed:
        return [row.title, f"failed: {row.failed}", *[""] * 6]
    main = row.aims[0]
    ours, theirs = (
        f"{amount(main.metric, row.middle(name, main.metric))} {UNITS[main.metric]}" for name in row.samples
    )
    p99 = row.ratios("p99") if any(aim.metric == "p99" for aim in row.aims[1:]) else []
    return [
        row.title,
        ours,
        theirs,
        *_ratio(row.ratios(main.metric), main.met),
        str(main),
        *_ratio(p99, lambda r: r <= 1),
    ]


def _ratio(found: list[float], met: Callable[[float], bool]) -> list[str]:
    """The median, bold where the aim is missed, and the span."""
    if not found:
        return ["", ""]
    middle = f"{median(found):.2f}"
    return [middle if met(median(found)) else f"**{middle}**", span(found)]


def _log_ins(row: Row) -> str:
    """What became of those that were sent beside the load."""
    if row.failed or not all(row.has(name, "logIns") for name in row.samples):
        return ""
    answered = []
    for name in row.samples:
        words = f"the {name} answered {row.middle(name, 'logIns'):.1f} log-ins a second"
        if row.has(name, "logInWait"):
            words += f", half of them within {row.middle(name, 'logInWait'):.1f} s"
        answered.append(words)
    return f"{row.title}: {'; '.join(answered)}."


# -- the product alone -----------------------------------------------------------------------------------------------


def growth_table(found: dict[str, Any]) -> str:
    sizes = found["sizes"]
    head = ["p50 in ms at rows of each table", *[f"{size:,}" for size in sizes], "read by"]
    lines = [
        [row["title"], *[f"{time:.2f}" for time in row["p50"]], ", ".join(f"`{how}`" for how in row["read"])]
        for row in found["rows"]
    ]
    sweep = found["sweep"]
    shown = [
        [name, *[f"{sweep[name][metric]:.1f}" for metric in ("rps", "p50", "p99", "max")]]
        for name in ("before", "during")
    ]
    swept = (
        f"Sweeping {sweep['events']:,} old events and {sweep['answers']:,} stored answers took "
        f"{sweep['seconds']:.0f} s. Posting messages before it and meanwhile:"
    )
    return "\n\n".join(
        (table(head, lines), swept, table(["", "/s", "p50 ms", "p99 ms", "longest ms"], shown), circumstances(found))
    )


def cores_table(found: dict[str, Any]) -> str:
    head = ["", *[f"{count} process{'es' if count > 1 else ''}" for count in found["processes"]]]
    lines = [[row["title"], *[amount(row["metric"], value) for value in row["values"]]] for row in found["rows"]]
    return f"{table(head, lines)}\n\n{circumstances(found)}"


def model_table(found: dict[str, Any]) -> str:
    words, heads, rows = model.paper(found)
    checked = table(
        [
            "requests a second: measured, of what one process's costs allow",
            *[f"{n} process{'es' if n > 1 else ''}" for n in (1, 2, 3)],
        ],
        model.checks(found),
    )
    return f"{checked}\n\n{words}\n\n{table(['connected', *heads], rows)}"


def soak_table(found: dict[str, Any]) -> str:
    points = found["points"]
    quarter = max(1, len(points) // 4)
    second, last = (median(p["memory"] for p in part) for part in (points[quarter : 2 * quarter], points[-quarter:]))
    return (
        f"{found['minutes']:g} minutes, {found['requests']:,} requests, {found['sockets']:,} sockets that came and "
        f"went: {second:.0f} MiB in the second quarter of the time, {last:.0f} MiB in the last.\n\n"
        + circumstances(found)
    )


Section = tuple[Callable[[dict[str, Any]], str], Callable[[dict[str, Any]], str] | None]
SECTIONS: dict[str, Section] = {
    "peer": (peer_table, pictures.peer),
    "growth": (growth_table, pictures.growth),
    "soak": (soak_table, pictures.soak),
    "cores": (cores_table, None),
    "model": (model_table, None),
}
DERIVED = {"model": "cores"}  # made of another section's results
