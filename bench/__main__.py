"""`python -m bench …`; the Makefile has the usual ways to call it."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from . import CACHE, ROOT, report, results
from .compare import compare
from .cores import scale
from .growth import grow
from .http_rows import Failed, Plan
from .same import Different
from .soak import soak
from .stage import NotReady

QUICK = Plan(seconds=2, warm_up=1, rounds=2, quick=True)
MINUTES = 30
WORK = {
    "compare": (compare, "every row beside the peer, or of the product alone"),
    "growth": (grow, "what requests cost as tables grow"),
    "soak": (soak, "memory over time"),
    "cores": (scale, "several processes on two cores"),
    "report": (lambda options: report.write(options.out), "results into docs/performance.md and pictures"),
}


def parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("work", choices=WORK, help="; ".join(f"{name}: {words}" for name, (_, words) in WORK.items()))
    parser.add_argument("--peer", type=Path, help="a folder with the peer's express/ and load/")
    parser.add_argument("--alone", action="store_true", help="without a peer")
    parser.add_argument("--product", type=Path, default=ROOT, help="another checkout of the product")
    parser.add_argument("--only", default="", help="keys of rows, by commas")
    parser.add_argument("--quick", action="store_true", help="short and small, to see that it works")
    parser.add_argument("--seconds", type=int, help="of a round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of a soak")
    parser.add_argument("--out", type=Path, help="the file of results")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    given = {name: value for name in ("seconds", "rounds") if (value := getattr(options, name))}
    options.plan = Plan(**{**vars(plan), **given})
    options.only = {key for key in options.only.split(",") if key}
    options.product = options.product.resolve()
    # What is written down for good is whole and of this checkout.
    whole = options.plan == Plan() and not options.only and options.minutes >= MINUTES
    kept = whole and options.product == ROOT and not options.alone
    options.out = options.out or (results.FILE if kept else CACHE / "last.json")
    # As it was typed, where make passes it on.
    options.command = os.environ.get("BENCH_COMMAND") or f"python -m bench {' '.join(arguments)}"
    return options


def main() -> int:
    options = parse(sys.argv[1:])
    if options.work == "compare" and not options.peer and not options.alone:
        print(
            "This measures the product beside a peer: make bench PEER_DIR=a folder with its express/ and load/.\n"
            "Without one, make bench-self measures the product alone.",
            file=sys.stderr,
        )
        return 2
    try:
        work, _ = WORK[options.work]
        return work(options) or 0
    except (NotReady, Different, Failed) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
