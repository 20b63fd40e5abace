"""Failed log-ins, counted in the database: neither a restart, nor two processes, nor a missing Redis opens the count.

An attempt is written down before anything is looked at, and whoever is one too many by what is written down is not
looked at: of many guesses at once no more are than may fail. An attempt that succeeds leaves a session with its id, and
is thereby no failure; what neither succeeds nor fails gives its attempt back.
"""

import hashlib
import hmac
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, bindparam, cast, delete, exists, func, insert, or_, select
from sqlalchemy.orm import aliased

from ..clock import now
from ..concurrency import a_place
from ..database import execute, release
from ..errors import Conflict, TooManyRequests, Unauthorized
from ..fields import folded
from ..ids import uuid7
from ..limits import network
from ..scope import this_app
from ..steps import delete_in_steps
from ..transactions import transaction
from ..users.models import User
from .models import LoginAttempt, Session

WINDOW = timedelta(minutes=15)
# Failures of an account from an address, from an address, and of an account from everywhere.
HERE, THERE, EVERYWHERE = 5, 20, 50
# So long after its last log-in strangers can't lock an account's own address out by failing everywhere.
KNOWN = timedelta(days=30)
NETWORK_LENGTH = 64

ATTEMPTS = LoginAttempt.__table__
_named = or_(User.email == bindparam("key"), User.username_key == bindparam("key")) & User.there()
_owner = select(cast(User.id, String(36))).where(_named).limit(1).scalar_subquery()
_START = insert(ATTEMPTS).values(account=func.coalesce(_owner, bindparam("nobody")))
_START_OWN = insert(ATTEMPTS)
_GIVE_BACK = delete(ATTEMPTS).where(ATTEMPTS.c.id == bindparam("attempt"))

_mine: Any = aliased(LoginAttempt)
_one: Any = aliased(LoginAttempt)
_failed = (_one.at > bindparam("since"), ~exists().where(Session.id == _one.id))
_account, _network = _one.account == _mine.account, _one.network == _mine.network
_SCOPES = {"here": (_account, _network), "there": (_network,), "everywhere": (_account,)}


def _of(what: Any, scope: str) -> Any:
    """Something of the failures like mine, mine among them."""
    return select(what).where(*_SCOPES[scope], *_failed).correlate(_mine).scalar_subquery().label(scope)


_came_from = (Session.network == _mine.network, Session.created_at > bindparam("known_since"))
_counts = (
    *(_of(func.count(), scope) for scope in _SCOPES),
    exists().where(Session.user_id == User.id, *_came_from).correlate(_mine, User.__table__).label("known"),
)
_person = (User.id, User.password_hash, User.status)
_LOOK = (
    select(*_person, *_counts)
    .select_from(_mine)
    .outerjoin(User, _named)
    .where(_mine.id == bindparam("attempt"))
    .limit(1)
)
_LOOK_AT_OWN = (
    select(*_person, *_counts)
    .join_from(_mine, User, User.id == bindparam("own"))
    .where(_mine.id == bindparam("attempt"))
)
_OLDEST = select(*(_of(func.min(_one.at), scope) for scope in _SCOPES)).where(_mine.id == bindparam("attempt"))


@dataclass(frozen=True)
class Attempt:
    """One that is under way, and whose it is."""

    id: str
    user_id: str | None
    password_hash: str | None
    status: str | None


def start(name: str, address: str | None) -> Attempt:
    """A log-in by a name, which may be nobody's.

    By somebody who has `a_place`: so many are under way at a time. Raises `TooManyRequests`, whether or not there is
    such a person.
    """
    key = folded(name)
    return _started(_START, _LOOK, {"key": key, "nobody": _nobody(key)}, {"key": key}, address)


@contextmanager
def own(user_id: str, address: str | None) -> Iterator[Attempt]:
    """Somebody who is signed in proves who they are: what is raised within is a failure like that of a log-in."""
    release()  # nobody waits for a place with a connection in hand
    with a_place():
        found = _started(_START_OWN, _LOOK_AT_OWN, {"account": user_id}, {"own": user_id}, address)
        try:
            yield found
        except Conflict:
            give_back(found.id)
            raise
        give_back(found.id)


def give_back(attempt: str) -> None:
    """It was no failure."""
    with transaction():
        execute(_GIVE_BACK, {"attempt": attempt})


def _started(start: Any, look: Any, whose: dict[str, Any], person: dict[str, Any], address: str | None) -> Attempt:
    attempt, moment = uuid7(), now()
    row = {"id": attempt, "network": network_of(address), "at": moment}
    # Committed before it is counted: of two at the same moment at least one sees the other.
    with transaction():
        execute(start, row | whose)
    asked = {"attempt": attempt, "since": moment - WINDOW}
    found = execute(look, asked | person | {"known_since": moment - KNOWN}).one()
    full = {
        "here": found.here > HERE,
        "there": found.there > THERE,
        "everywhere": found.everywhere > EVERYWHERE and not found.known,
    }
    if any(full.values()):
        _refuse([scope for scope, is_full in full.items() if is_full], asked, moment)
    return Attempt(attempt, found.id, found.password_hash, found.status)


def _refuse(full: list[str], asked: dict[str, Any], moment: datetime) -> None:
    oldest = execute(_OLDEST, asked).one()._asdict()
    give_back(asked["attempt"])  # who isn't looked at can't fail, or nobody would ever get in again
    free_at = max(oldest[scope] for scope in full) + WINDOW
    wait = max(1, math.ceil((free_at - moment).total_seconds()))
    raise TooManyRequests("Too many failed log-ins; try again later.", retry_after=wait)


def wrong() -> Unauthorized:
    """One for every failure."""
    return Unauthorized("Wrong e-mail, username, password or code.", code="invalid_credentials")


def network_of(address: str | None) -> str:
    return network(address)[:NETWORK_LENGTH]


def _nobody(key: str) -> str:
    """A name that is nobody's is counted like somebody's, and kept as a keyed hash: it may be a password."""
    secret = this_app().config["SECRET_KEY"].encode()
    return hmac.new(secret, b"nobody|" + key.encode(), hashlib.sha256).hexdigest()


def forget(user_id: str) -> None:
    """Of a removed person: where they came from is personal too."""
    execute(delete(ATTEMPTS).where(ATTEMPTS.c.account == user_id))


def sweep() -> int:
    """Deletes what counts no more; gives how many."""
    return delete_in_steps(ATTEMPTS, ATTEMPTS.c.at < now() - WINDOW, along=ATTEMPTS.c.at)
