"""Long proofs. What CI runs is the short form, with the same code: `make proofs` (PROOFS=long) runs the full size."""

import os

LONG = os.environ.get("PROOFS") == "long"


def size(short: int, long: int) -> int:
    return long if LONG else short
