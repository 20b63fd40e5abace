"""What is kept for a while and then deleted: each server does it once an hour, and `flask sweep` at once."""

from . import idempotency
from .audit import chain
from .auth import attempts
from .auth import service as auth
from .events import service as events


def sweep() -> dict[str, int]:
    """Deletes in small steps what is older than its time; gives how many of each."""
    chain.seal()  # what nobody was there to seal
    return {
        "Events": events.sweep(),
        "Stored answers": idempotency.sweep(),
        "Sessions": auth.sweep(),
        "Failed log-ins": attempts.sweep(),
    }
