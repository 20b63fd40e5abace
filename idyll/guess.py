"""One trip instead of two: a read is asked together with the rights of who asks.

Most requests read, and of a short one half the time went into asking first who asks. What a session's person might do
when last seen is a good guess, so a read begins with it, and its first statement brings along what the row says *now*,
read in the very same snapshot. Only when that agrees does the answer leave; otherwise it is thrown away, and the
request begins anew with the rights of now. So rights are still read from the database on every request.

A request may wait in its middle: for a body that comes slowly, for a place to hash, for who reads a long answer. What
was so before that is a guess again, and the next transaction of the request, or the next batch of it, confirms it anew.
A transaction may wait as well, for a row that somebody else changes: one that took longer than `FRESH_SECONDS` confirms
it a second time, at its end.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam

from .scope import here

MAX_KEPT = 20_000
# A loss of rights is to be felt everywhere within a second.
FRESH_SECONDS = 0.5


class Misjudged(Exception):
    """Somebody may do more, less or nothing since they were last seen."""


@dataclass(slots=True)
class Guess:
    """Who asks, as far as is known, until a statement of theirs confirms it."""

    said: str  # what the row said last
    ask: Any  # a SELECT of what it says now
    column: Any  # the same, as one more column for another SELECT
    parameters: dict[str, str]


_said: dict[str, str] = {}
_guarded: dict[int, tuple[Any, Any]] = {}


def last_said(session_id: str) -> str | None:
    return _said.get(session_id)


def remember(session_id: str, said: str) -> None:
    if len(_said) >= MAX_KEPT:
        _said.clear()
    _said[session_id] = said


def forget(session_id: str) -> None:
    _said.pop(session_id, None)


def guarded(statement: Any, fixed: bool) -> Any:
    """The same SELECT, or the same change that tells of its rows, with one more column.

    `fixed` ones are made once, as they are.
    """
    guess: Guess = here().guess
    if not fixed:
        return statement.add_columns(guess.column)
    # Kept beside it, so that nothing else can have its identity.
    known = _guarded.get(id(statement))
    if known is None:
        more = statement.add_columns if isinstance(statement, Select) else statement.returning
        known = _guarded[id(statement)] = (statement, more(guess.column))
    return known[1]


def holds() -> ColumnElement[bool]:
    """For a change that is committed before anybody could `confirm` it: whether the row says what was `guessed`."""
    guess: Guess = here().guess
    said: ColumnElement[bool] = guess.column.element == bindparam("guessed")
    return said


def guessed() -> dict[str, str]:
    """The parameter of `holds`; nothing, where nothing is guessed."""
    known: Guess | None = here().get("guess")
    return {} if known is None else {"guessed": known.said}


def confirm(said: Any) -> None:
    """Raises `Misjudged` when the row says something else now than what was guessed."""
    guess: Guess = here().pop("guess")
    if said != guess.said:
        settle()  # what is cleared up on the way out is nobody's doing any more
        raise Misjudged


def begin_with(guess: Guess) -> None:
    """What was so when somebody was last seen is to be confirmed, and `once_more` by each transaction."""
    here().guess = guess
    stand_by(guess)


def stand_by(guess: Guess) -> None:
    """What holds now is to be confirmed `once_more` by each transaction."""
    here().presumed = guess


def once_more() -> None:
    """Time has passed: what was known of who asks is a guess again."""
    mine = here()
    if (presumed := mine.get("presumed")) is not None:
        mine.guess = presumed


def settle() -> None:
    """What follows is done whatever they may."""
    here().pop("guess", None)
    here().pop("presumed", None)
