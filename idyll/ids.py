"""UUIDv7 (RFC 9562, section 5.7): ids that sort by time, so that the primary key is the keyset of every list."""

import re
import secrets
import time
from datetime import UTC, datetime

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_last = 0


def uuid7(at: datetime | None = None) -> str:
    """A new id, greater than every id this process made before; `at` (an aware datetime) makes one of that time.

    The 12 bits behind the milliseconds hold their fraction (section 6.2, method 3).
    """
    global _last  # noqa: PLW0603 - the order of ids within one process hangs on it
    nanoseconds = time.time_ns() if at is None else int(at.timestamp() * 1000) * 1_000_000 + secrets.randbelow(10**6)
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    stamp = milliseconds << 12 | rest * 4096 // 1_000_000
    if at is None:
        _last = stamp = max(stamp, _last + 1)
    bits = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def first_of(at: datetime) -> str:
    """The least id that could be made at a time or later."""
    text = f"{int(at.timestamp() * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


def made_at(key: str) -> datetime:
    """When an id was made."""
    return datetime.fromtimestamp(int(key.replace("-", "")[:12], 16) / 1000, UTC)


def is_id(text: object) -> bool:
    """Whether it has the form of an id; only such a text may reach a UUID column of PostgreSQL."""
    return isinstance(text, str) and UUID.match(text) is not None
