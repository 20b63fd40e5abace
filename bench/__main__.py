"""`python -m bench …`; the Makefile has the usual ways to call it."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from . import CACHE, ROOT, results
from .compare import compare
from .http_rows import Plan
from .same import Different
from .stage import NotReady

QUICK = Plan(seconds=2, warm_up=1, rounds=2, quick=True)


def parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="work", required=True)
    for name, words in (("compare", "beside the peer"), ("self", "the product alone")):
        command = commands.add_parser(name, help=words)
        command.add_argument("--peer", type=Path, help="a folder with the peer's express/ and load/")
        command.add_argument("--product", type=Path, default=ROOT, help="another checkout of the product")
        command.add_argument("--only", default="", help="keys of rows, by commas")
        command.add_argument("--quick", action="store_true", help="short rounds, to see that it works")
        command.add_argument("--seconds", type=int)
        command.add_argument("--rounds", type=int)
        command.add_argument("--out", type=Path, help="where the results go (docs/performance.json when complete)")
    options = parser.parse_args(arguments)
    if options.work in ("compare", "self"):
        _complete(options)
    return options


def _complete(options: Namespace) -> None:
    plan = QUICK if options.quick else Plan()
    given = {name: value for name in ("seconds", "rounds") if (value := getattr(options, name))}
    options.plan = Plan(**{**vars(plan), **given})
    options.only = {key for key in options.only.split(",") if key}
    options.product = options.product.resolve()
    whole = options.peer and not options.only and options.plan == Plan()
    options.out = options.out or (results.FILE if whole else CACHE / "last.json")
    # What was typed, where make passes it on.
    options.command = os.environ.get("BENCH_COMMAND") or f"python -m bench {' '.join(sys.argv[1:])}"


def main() -> int:
    options = parse(sys.argv[1:])
    if options.work == "compare" and not options.peer:
        print(
            "make bench measures this product beside a peer: make bench PEER_DIR=a folder with its express/ and load/.\n"
            "Without one, `make bench-self` measures the product alone.",
            file=sys.stderr,
        )
        return 2
    try:
        return compare(options)
    except (NotReady, Different) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
