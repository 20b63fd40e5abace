"""The chain over the audit: each row is sealed soon after its commit by a digest of itself and of the seal before it.

Nobody who writes waits for it: the rows are sealed beside the requests, and by every command that wrote some. Rows
become visible out of order, so what is looked for is a row without a seal, not one after the last; docs/adr/011.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import bindparam, insert, select

from ..columns import ID, SERIAL, instant_text
from ..counters import Counter
from ..database import execute
from ..ids import first_of, made_at
from ..transactions import transaction
from .models import AuditRow, AuditSeal

LOCK = "audit_sealed"
GENESIS = "0" * 64
NOTHING = "00000000-0000-7000-8000-000000000000"
BATCH = 64
PAGE = 1000
# No transaction lasts so long: a row that is older and has no seal did not come from one.
LATE = timedelta(minutes=10)

_ROWS, _SEALS = AuditRow.__table__, AuditSeal.__table__
_AFTER = bindparam("after", type_=ID)
# The same bound for both: else what is sealed already is read for each batch of a long backlog.
_sealed_rows = _ROWS.outerjoin(_SEALS, (_SEALS.c.audit_id == _ROWS.c.id) & (_SEALS.c.audit_id > _AFTER))
_UNSEALED = (_ROWS.c.id > _AFTER, _SEALS.c.audit_id.is_(None))
_WAITS = select(_ROWS.c.id).select_from(_sealed_rows).where(*_UNSEALED).limit(1)
_WAITING = select(*_ROWS.c).select_from(_sealed_rows).where(*_UNSEALED).order_by(_ROWS.c.id).limit(BATCH)
_LOCK = select(Counter.name).where(Counter.name == LOCK).with_for_update()
_LAST = select(_SEALS.c.position, _SEALS.c.audit_id, _SEALS.c.digest).order_by(_SEALS.c.position.desc()).limit(1)
_NEW = insert(_SEALS)
_CHAIN = (
    select(_SEALS.c.position, _SEALS.c.audit_id, _SEALS.c.digest, *_ROWS.c)
    .select_from(_SEALS.outerjoin(_ROWS, _SEALS.c.audit_id == _ROWS.c.id))
    .where(_SEALS.c.position > bindparam("after", type_=SERIAL))
    .order_by(_SEALS.c.position)
    .limit(PAGE)
)
_ALL = (
    select(_ROWS.c.id, _SEALS.c.position)
    .select_from(_sealed_rows)
    .where(_ROWS.c.id > _AFTER)
    .order_by(_ROWS.c.id)
    .limit(PAGE)
)


def seal(since: datetime | None = None) -> int:
    """Seals what has no seal and was written since then; gives how many. Without `since`: whatever may still come."""
    after = _before_the_newest() if since is None else first_of(since)
    total = 0
    # A look at what waits costs no transaction; mostly nothing does.
    while execute(_WAITS, {"after": after}).first() is not None:
        with transaction():
            sealed = _seal_some(after)
        total += len(sealed)
        if len(sealed) < BATCH:
            break
        after = sealed[-1]["audit_id"]
    return total


def _before_the_newest() -> str:
    last = execute(_LAST, {}).first()
    return NOTHING if last is None else first_of(made_at(last.audit_id) - LATE)


def _seal_some(after: str) -> list[dict[str, Any]]:
    # One sealer at a time, over all processes: so the chain has one end.
    execute(_LOCK, {})
    last = execute(_LAST, {}).first()
    position, digest = (0, GENESIS) if last is None else (last.position, last.digest)
    seals = []
    for row in execute(_WAITING, {"after": after}):
        position, digest = position + 1, digest_of(digest, row)
        seals.append({"position": position, "audit_id": row.id, "digest": digest})
    for some in _by_powers_of_two(seals):
        execute(_NEW, some)
    return seals


def _by_powers_of_two(seals: list[Any]) -> Iterator[list[Any]]:
    """An INSERT of so many rows is a statement of its own, which is kept: of few lengths."""
    done = 0
    while done < len(seals):
        length = 1 << (len(seals) - done).bit_length() - 1
        yield seals[done : done + length]
        done += length


def digest_of(before: str, row: Any) -> str:
    """Of the seal before, and of all that the row says, in a form that is the same on every database."""
    said = (
        *(row.id, instant_text(row.at), row.actor_id, row.action, row.object_type, row.object_id, row.changes),
        *(row.request_id, row.address),
    )
    return hashlib.sha256(before.encode() + orjson.dumps(said)).hexdigest()


# -- verifying -------------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """What was found; `head` is to be noted elsewhere, for the next time."""

    count: int = 0
    digest: str = GENESIS
    faults: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return f"{self.count}:{self.digest}"


def verify(head: str | None = None) -> Verdict:
    """Walks the whole chain. With a head noted earlier it also finds that last rows are missing, with their seals."""
    seal()
    found = Verdict()
    known = (head or "").strip().lower()
    place, _, digest = known.rpartition(":")
    met = not known or known in (f"0:{GENESIS}", GENESIS)
    for link in _links():
        found.faults += _faults_of(link, found)
        found.count, found.digest = link.position, link.digest
        met = met or (link.digest == digest and place in ("", str(link.position)))
    if not met:
        found.faults.append(f"the head {known} is not in the chain: rows at its end were taken out or sealed anew")
    found.faults += _strangers()
    return found


def _links() -> Iterator[Any]:
    after = 0
    while rows := execute(_CHAIN, {"after": after}).all():
        yield from rows
        after = rows[-1].position


def _faults_of(link: Any, before: Verdict) -> list[str]:
    faults = []
    follows = link.position == before.count + 1
    if not follows:
        faults.append(f"place {before.count + 1}: seals were taken out, up to place {link.position - 1}")
    if link.id is None:
        faults.append(f"place {link.position}: row {link.audit_id} was taken out")
    # Where the seal before is missing, nobody knows what this one was made of.
    elif follows and digest_of(before.digest, link) != link.digest:
        faults.append(f"place {link.position}: row {link.audit_id} was changed or put in")
    return faults


def _strangers() -> list[str]:
    """Rows that were never sealed, though they claim to be old."""
    newest = first_of(datetime.now(UTC) - LATE)
    faults, after = [], NOTHING
    while rows := execute(_ALL, {"after": after}).all():
        faults += [
            f"row {row.id} was put in: it has no seal" for row in rows if row.position is None and row.id < newest
        ]
        after = rows[-1].id
    return faults
