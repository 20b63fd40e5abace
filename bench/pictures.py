"""The pictures of docs/performance.md: plain SVG that follows the reader's light or dark scheme."""

import math
from bisect import bisect_left
from collections.abc import Iterable
from html import escape
from statistics import median
from typing import Any

from .rows import Row

WIDTH = 860
STYLE = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f; }
  .small { font-size: 11px; fill: #57606a; }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .one { stroke: #57606a; stroke-width: 1.5; }
  .aim { stroke: #24292f; stroke-width: 2; }
  .span { stroke: #24292f; stroke-width: 1; opacity: .55; }
  .good { fill: #1a7f64; } .bad { fill: #c4432b; } .side { fill: #8c959f; }
  .line { fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; }
    .grid { stroke: #3d444d; } .one { stroke: #9198a1; } .aim, .span { stroke: #e6edf3; }
    .good { fill: #2ea98a; } .bad { fill: #e5634d; } .side { fill: #656c76; }
  }
"""
# Told apart in both schemes, and without telling red from green.
COLOURS = ("#3b82c4", "#d97a1e", "#1a9c7b", "#b0559e", "#8a8d3c", "#c4534b", "#6d6fd0", "#7a8591")


def svg(height: float, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(label)}">\n<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" rx="2" class="{kind}"/>'


# -- beside the peer -------------------------------------------------------------------------------------------------

LEFT, RIGHT, TOP, STEP = 270, 70, 64, 34
LEAST, MOST = 0.25, 8.0


def peer(found: dict[str, Any]) -> str:
    """How many times better than the peer, each row's main metric and its p99, on a scale of doublings."""
    rows = [row for row in map(Row.from_json, found["rows"]) if not row.failed and row.ratios(row.aims[0].metric)]
    height = TOP + STEP * len(rows) + 34

    def at(times: float) -> float:
        place = math.log2(min(max(times, LEAST), MOST) / LEAST) / math.log2(MOST / LEAST)
        return LEFT + place * (WIDTH - LEFT - RIGHT)

    parts = [
        text(16, 26, "Times better than Express + Prisma + Socket.IO", "title"),
        text(
            16,
            45,
            "One process on one core each. Thick: the row's measure; thin: p99; tick: the aim; hairline: all pairs",
            "small",
        ),
    ]
    for times in (0.25, 0.5, 1, 2, 4, 8):
        parts.append(line(at(times), TOP - 6, at(times), height - 28, "one" if times == 1 else "grid"))
        parts.append(text(at(times), height - 12, f"{times:g}×", "small", "middle"))
    for n, row in enumerate(rows):
        parts += _bars(row, TOP + STEP * n, at)
    return svg(height, "The product compared with its peer, row by row", parts)


def _bars(row: Row, y: float, at: Any) -> Iterable[str]:
    main, *others = row.aims
    less = main.at_least is None
    found = sorted(1 / ratio if less else ratio for ratio in row.ratios(main.metric))
    middle = median(row.ratios(main.metric)) ** (-1 if less else 1)
    start, end = sorted((at(1), at(middle)))
    yield text(LEFT - 12, y + 15, row.title, "", "end")
    yield box(start, y + 3, end - start, 13, "good" if middle >= 1 else "bad")
    yield line(at(found[0]), y + 9.5, at(found[-1]), y + 9.5, "span")
    aim = main.at_least or (main.at_most and 1 / main.at_most)
    if aim:
        yield line(at(aim), y, at(aim), y + 19, "aim")
    yield text(WIDTH - RIGHT + 12, y + 15, f"{middle:.2f}×")
    p99 = [1 / ratio for ratio in row.ratios("p99")] if any(other.metric == "p99" for other in others) else []
    if p99:
        start, end = sorted((at(1), at(median(p99))))
        yield box(start, y + 19, end - start, 4, "side")


# -- lines over a scale ----------------------------------------------------------------------------------------------

PLOT = {"left": 64, "right": 300, "top": 58, "height": 300}
GREW = 1.5  # times: whatever did is in the picture


def growth(found: dict[str, Any]) -> str:
    """Milliseconds of each kind of request as the tables grow tenfold and tenfold again; of all that are not flat."""
    sizes = [float(size) for size in found["sizes"]]
    shown = [row for row in found["rows"] if row["plotted"] or row["p50"][-1] > GREW * row["p50"][0]]
    series = [(row["title"], list(zip(sizes, row["p50"], strict=True))) for row in shown]
    marks = [(size, f"{size:,.0f} rows") for size in sizes]
    return _plot("Milliseconds a request (p50, one at a time) as tables grow", series, marks, "ms", logarithmic=True)


def soak(found: dict[str, Any]) -> str:
    points = [(point["seconds"] / 60, point["memory"]) for point in found["points"]]
    marks = [(minute, f"{minute:.0f} min") for minute in (0.0, found["minutes"] / 2, found["minutes"])]
    return _plot("Resident memory under load, MiB", [("memory of the server", points)], marks, "MiB")


def _plot(
    title: str,
    series: list[tuple[str, list[tuple[float, float]]]],
    marks: list[tuple[float, str]],
    unit: str,
    *,
    logarithmic: bool = False,
) -> str:
    bottom, right = PLOT["top"] + PLOT["height"], WIDTH - PLOT["right"]
    found = [y for _, points in series for _, y in points]
    heights = _steps(min(found), max(found)) if logarithmic else _quarters(max(found))
    scale = math.log10 if logarithmic else float
    first, last = scale(marks[0][0]), scale(marks[-1][0])
    low, high = scale(heights[0]), scale(heights[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (scale(x) - first) / ((last - first) or 1)
        return PLOT["left"] + across * (right - PLOT["left"]), bottom - (scale(y) - low) / (high - low) * PLOT["height"]

    parts = [text(16, 26, title, "title")]
    for value in heights:
        _, y = place(marks[0][0], value)
        parts += [line(PLOT["left"], y, right, y, "grid"), text(PLOT["left"] - 8, y + 4, f"{value:g}", "small", "end")]
    parts.append(text(PLOT["left"] - 8, PLOT["top"] - 14, unit, "small", "end"))
    parts += [text(place(x, heights[0])[0], bottom + 20, words, "small", "middle") for x, words in marks]
    # Their names stand where the lines end, moved apart where they would cover each other.
    below = 0.0
    for n, (name, points) in sorted(enumerate(series), key=lambda item: -item[1][1][-1][1]):
        colour = COLOURS[n % len(COLOURS)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        # Where there are more lines than colours, those of the second round are dashed.
        dashes = ' stroke-dasharray="6 4"' if n >= len(COLOURS) else ""
        parts.append(f'<polyline points="{drawn}" class="line" stroke="{colour}"{dashes}/>')
        x, y = place(*points[-1])
        below = max(y, below + 16)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
        parts.append(
            f'<polyline points="{x + 4:.1f},{y:.1f} {x + 18:.1f},{below:.1f}" class="line" stroke="{colour}" '
            'opacity=".5"/>'
        )
        parts.append(text(x + 22, below + 4, f"{name}  {points[-1][1]:.1f}"))
    return svg(max(bottom, below) + 40, title, parts)


def _quarters(most: float) -> list[float]:
    """Up to the next 1, 2, 4 or 8 of its power of ten, so that they are plain numbers."""
    value = most * 1.05
    power = 10.0 ** math.floor(math.log10(value or 1))
    end = next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)
    return [end * part / 4 for part in range(5)]


def _steps(least: float, most: float) -> list[float]:
    """The 1, 2 and 5 of each power of ten, from below the least to above the most."""
    steps = [step * 10.0**power for power in range(-3, 6) for step in (1, 2, 5)]
    return steps[bisect_left(steps, least) - 1 : bisect_left(steps, most) + 1]
