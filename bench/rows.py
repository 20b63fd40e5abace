"""What a measurement gives: samples of both servers, pair by pair, and what is aimed at."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

Sample = dict[str, float]
UNITS = {
    "rps": "/s",
    "deliveredPerSecond": "/s",
    "ackedPerSecond": "/s",
    "p50": "ms",
    "p99": "ms",
    "cpu": "s CPU per 1,000",
    "memory": "MiB",
    "perSocket": "KiB",
    "seconds": "s",
    "logIns": "log-ins/s",
    "logInWait": "s a log-in",
}
DIGITS = {"cpu": 3, "seconds": 2}


@dataclass(frozen=True)
class Aim:
    """What product ÷ peer shall be in one metric; neither bound for a metric that is only shown."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def met(self, ratio: float) -> bool:
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}" if self.at_most is not None else ""


def span(found: list[float]) -> str:
    """The least and the most; one pair alone has none."""
    return f"{min(found):.2f} … {max(found):.2f}" if len(found) > 1 else ""


NO_SLOWER = Aim("p99", at_most=1.0)


@dataclass
class Row:
    """One thing that was measured. The first aim names its main metric."""

    key: str
    title: str
    aims: list[Aim]
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failed: str = ""

    def add(self, server: str, sample: Sample) -> None:
        self.samples.setdefault(server, []).append(sample)

    def middle(self, server: str, metric: str) -> float:
        return median(sample[metric] for sample in self.samples[server])

    def has(self, server: str, metric: str) -> bool:
        return all(metric in sample for sample in self.samples[server])

    def ratios(self, metric: str) -> list[float]:
        """Product ÷ peer, pair by pair."""
        pairs = zip(self.samples.get("product", []), self.samples.get("peer", []), strict=False)
        # Memory may even shrink while little is added to it: that is no ratio.
        return [ours[metric] / theirs[metric] for ours, theirs in pairs if theirs[metric] > 0]

    def as_json(self) -> dict[str, Any]:
        shown = {
            aim.metric: {"median": median(found), "min": min(found), "max": max(found)}
            for aim in self.aims
            if (found := self.ratios(aim.metric))
        }
        return {**asdict(self), "ratios": shown}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Row":
        aims = [Aim(**aim) for aim in given["aims"]]
        return cls(given["key"], given["title"], aims, given["samples"], given["failed"])

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield self.title
        for server in self.samples:
            shown = [
                f"{self.middle(server, metric):,.{DIGITS.get(metric, 1)}f} {unit}"
                + (f" {metric}" if unit == "ms" else "")
                for metric, unit in UNITS.items()
                if self.has(server, metric)
            ]
            yield f"    {server:8} {'   '.join(shown)}"
        for aim in self.aims:
            if found := self.ratios(aim.metric):
                spread = f" ({span(found)})" if span(found) else ""
                verdict = {True: "met", False: "NOT MET"}[aim.met(median(found))] if str(aim) else ""
                yield (
                    f"    {'ratio':8} {aim.metric} {median(found):.2f}{spread}   {str(aim) and f'aim {aim}: '}{verdict}"
                )
        if self.failed:
            yield f"    FAILED   {self.failed}"
