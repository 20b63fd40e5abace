"""What is kept for a while and then deleted: each server does it once an hour, and `flask sweep` at once."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import idempotency
from .audit import chain
from .auth import attempts
from .auth import service as auth
from .events import service as events

log = logging.getLogger(__name__)
# Each gives how many it deleted.
PARTS: dict[str, Callable[[], int]] = {
    "Events": events.sweep,
    "Stored answers": idempotency.sweep,
    "Sessions": auth.sweep,
    "Failed log-ins": attempts.sweep,
}


def sweep() -> tuple[dict[str, int], list[Exception]]:
    """Deletes in small steps what is older than its time; gives how many of each, and what failed.

    That is logged, and keeps no other part from its turn.
    """
    counts: dict[str, int] = {}
    failures: list[Exception] = []
    with _named("Seals of the audit", failures):
        chain.seal()  # what nobody was there to seal
    for name, part in PARTS.items():
        with _named(name, failures):
            counts[name] = part()
    return counts, failures


@contextmanager
def _named(name: str, failures: list[Exception]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the others have their turn
        log.warning("the sweep failed at: %s (%s)", name, type(error).__name__)
        failures.append(error)
