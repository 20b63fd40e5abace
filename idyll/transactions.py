"""One change, one commit: `transaction()` is the only place that commits, and effects leave only after it.

Nested blocks join the outer one, so a route may wrap a service that wraps another. What a change owes to the world
is said with `record()`: the event is written in the transaction of its change and can neither be lost nor go out for
a change that was rolled back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from blinker import Signal
from sqlalchemy import Executable, Insert, Select, insert

from . import database, guess
from .clock import now
from .counters import ADVANCE, RIGHTS
from .database import execute, sqlite_writer
from .events.catalogue import CATALOGUE
from .events.models import Event
from .running import Rows
from .scope import here, this_engine

EVENTS = insert(Event.__table__).inline()
# Sent before a commit that others must hear of: who is at rest, and would tell them at once, says so.
committing = Signal()
# Sent after every such commit: the sockets of this process wake by it.
committed = Signal()


@dataclass
class _Open:
    # Rows to be inserted at the end, by the statement that inserts them, and what else is to be done then.
    owed: dict[Insert, list[dict[str, Any]]] = field(default_factory=dict)
    changes: list[tuple[Executable, dict[str, Any]]] = field(default_factory=list)
    rights: bool = False
    # One change, which its statement may commit.
    of_one: bool = False
    # By a statement that has run, what it has seen of the log, and whether it was the whole and is committed.
    told: bool = False
    seen: Any = None
    whole: bool = False
    begun_at: datetime = field(default_factory=now)

    def statements(self) -> list[tuple[Executable, Any]]:
        last: list[tuple[Executable, Any]] = [
            (statement, rows if len(rows) > 1 else rows[0]) for statement, rows in self.owed.items()
        ]
        last += self.changes
        # The very last, so that whoever waits for this row holds nothing that its holder wants.
        return [*last, (ADVANCE, {"counter": RIGHTS, "step": 1})] if self.rights else last


@contextmanager
def transaction(*, of_one: bool = False) -> Iterator[None]:
    """Commits at the end of the block, or rolls everything back when it raises.

    A transaction `of_one` change may be committed by the statement that makes it, after which nothing can be undone.
    """
    mine = here()
    if "transaction" in mine:
        yield
        return
    database.release()  # a request never holds two connections, nor one while it waits for its turn
    alone = sqlite_writer if this_engine().dialect.name == "sqlite" else nullcontext()
    with alone:
        database.begin()
        opened = mine.transaction = _Open(of_one=of_one)
        try:
            yield
            database.commit(opened.statements())
        except BaseException:
            database.roll_back()
            raise
        finally:
            del mine.transaction
    if EVENTS in opened.owed or opened.told or opened.rights:
        committed.send(seen=opened.seen)


def rights_changed() -> None:
    """Says that somebody may do more or less from this commit on: every process looks again before its next event."""
    here().transaction.rights = True


def last_look() -> None:
    """Before somebody takes rights from themselves, which is no reason to doubt them at the end."""
    database.make_sure_again()
    guess.settle()


def owe(statement: Executable, row: dict[str, Any]) -> None:
    """What belongs to this change and is done at its end: rows are inserted together with their like."""
    opened: _Open = here().transaction
    if isinstance(statement, Insert):
        opened.owed.setdefault(statement, []).append(row)
    else:
        opened.changes.append((statement, row))


def record(name: str, data: dict[str, Any], *, about: str, of: str, audience: Sequence[str]) -> None:
    """Appends an event to the durable log; `data` is the payload that clients get, and the rest as for `event_of`."""
    event = event_of(name, about=about, of=of, audience=audience)
    owe(EVENTS, event | {"data": orjson.dumps(data).decode()})


def event_of(name: str, *, about: str, of: str, audience: Sequence[str]) -> dict[str, Any]:
    """The row of an event of this transaction, but for its payload.

    `about` and `of` name the kind and the id of the thing, by which a replay asks whether its reader may still see it;
    `audience` are rooms: `user:<id>`, `managers`, `members`, or a chat room.
    """
    if name not in CATALOGUE or not CATALOGUE[name].kept:
        raise ValueError(f"The catalogue of events has no {name} that is kept.")
    return {
        "name": name,
        "about": about,
        "of": of,
        "audience": " ".join(f"|{room}|" for room in audience),
        "created_at": here().transaction.begun_at,
    }


def more_follows() -> None:
    """Says that this transaction is not of one change after all."""
    here().transaction.of_one = False


def recorded(seen: Any = None) -> None:
    """Says that a statement of this transaction has recorded an event, and what it has `seen` of the log."""
    opened: _Open = here().transaction
    opened.told, opened.seen = True, seen
    if opened.whole:
        database.nothing_more()


def execute_whole(statement: Select[Any], parameters: dict[str, Any], before: Mapping[bool, Select[Any]]) -> Rows:
    """Runs a statement that makes a change and all that it owes: in one trip, where the transaction is of one.

    Then it is committed when it says what it found, and nothing may follow once it is `recorded`. Before it goes one of
    two others, by whether somebody waits to tell at once of what is committed.
    """
    opened: _Open = here().transaction
    if not opened.of_one or opened.statements():
        return execute(statement, parameters)
    awaited = any(waits for _, waits in committing.send())
    found, opened.whole = database.execute_alone(statement, parameters, before[awaited])
    return found
