"""Tokens: what an access token must say, and who its bearer is now."""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

import jwt
from flask import Request
from flask_jwt_extended import create_access_token
from jwt.exceptions import PyJWTError
from sqlalchemy import bindparam, case, select
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.orm import aliased

from .. import guess
from ..actor import Actor
from ..counters import RIGHTS, Counter
from ..database import execute, make_sure
from ..errors import Problem, Unauthorized
from ..ids import is_id
from ..scope import here, this_app
from ..users.models import User
from ..users.roles import Status
from .models import Session

T = TypeVar("T")
REQUIRED = ["exp", "iat", "jti", "type", "iss", "aud", "sub", "sid"]


def _lives(session: Any, person: Any) -> tuple[Any, ...]:
    return (session.ended_at.is_(None), person.removed_at.is_(None), person.status != Status.REJECTED)


def _said_of(person: Any) -> Any:
    two_step = case((person.two_step_at.is_(None), ""), else_="on")
    return person.role + "|" + person.status + "|" + two_step


def _who(session: Any, person: Any) -> Any:
    """The bearer's role, status and two-step log-in now; one row if the session lives, and so does the person."""
    found = select(_said_of(person)).join_from(session, person, session.user_id == person.id)
    mine = (session.id == bindparam("sid"), person.id == bindparam("sub"))
    return found.where(*mine, *_lives(session, person))


# Built once: SQLAlchemy then finds its text at once.
_WHO = _who(Session, User)
# By names of its own, since the statement that it goes along with may be about the same tables.
_SAID_NOW = _who(aliased(Session), aliased(User)).scalar_subquery().label("said")


def access_token(user_id: str, session_id: str) -> str:
    return str(create_access_token(user_id, additional_claims={"sid": session_id}))


def read(token: str) -> dict[str, Any]:
    """The claims of a sound access token that hasn't ended. Raises `Unauthorized`, whatever was wrong."""
    claims = _verified(token, this_app().config["JWT_SECRET_KEY"])
    if claims["exp"] <= time.time():
        raise Unauthorized
    return claims


@lru_cache(maxsize=10_000)
def _verified(token: str, secret: str) -> dict[str, Any]:
    """The signature of the same token under the same secret is verified once; its end is looked at every time."""
    config = this_app().config
    try:
        # Not flask-jwt-extended's decode_token(), which makes up a jti and a type where they are missing.
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=[config["JWT_ALGORITHM"]],
            audience=config["JWT_DECODE_AUDIENCE"],
            issuer=config["JWT_DECODE_ISSUER"],
            options={"require": REQUIRED},
        )
    except (PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise Unauthorized from None
    sound = claims["type"] == "access" and is_id(claims["sid"]) and is_id(claims["sub"])
    if not sound or not isinstance(claims["exp"], int) or not isinstance(claims["iat"], int):
        raise Unauthorized
    if claims["exp"] - claims["iat"] > config["ACCESS_TOKEN_SECONDS"]:
        raise Unauthorized
    return claims


def bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized
    return token.strip()


def authenticate(request: Request) -> Actor:
    """The bearer of the request's token, as their row says now. Raises `Unauthorized`."""
    return identify(bearer(request), address=request.remote_addr, request_id=here().get("request_id"))


def presume(request: Request) -> Actor:
    """The bearer of a request's token as they were when last seen; idyll/guess.py sees to it that it's true."""
    claims = read(bearer(request))
    said = guess.last_said(claims["sid"])
    if "transaction" in here():
        return authenticate(request)
    if said is None:
        return look_up(request)
    guess.begin_with(_guess(said, claims["sid"], claims["sub"]))
    return _actor(claims, said, request.remote_addr, here().get("request_id"))


def look_up(request: Request) -> Actor:
    """As `authenticate`; the request's transactions see to it that it's still so."""
    actor = authenticate(request)
    said = guess.last_said(str(actor.session_id))
    guess.stand_by(_guess(said, str(actor.session_id), str(actor.id)))
    return actor


def _guess(said: str | None, session_id: str, user_id: str) -> guess.Guess:
    return guess.Guess(said or "", _WHO, _SAID_NOW, {"sid": session_id, "sub": user_id})


def presume_again(actor: Actor) -> bool:
    """Whether somebody on a socket is still presumed to be who they were when last seen; nobody may remember."""
    said = guess.last_said(str(actor.session_id))
    if said is None or _now(actor, said) != actor:
        return False
    guess.begin_with(_guess(said, str(actor.session_id), str(actor.id)))
    return True


def confirmed(work: Callable[[], T]) -> T:
    """Does what somebody asks who was presumed to be as last seen. Raises `guess.Misjudged` where they are not."""
    try:
        done = work()
    except (Problem, NoResultFound, DBAPIError):  # there may be no such person, or what they made was there already
        _check()
        raise
    _check()
    return done


def _check() -> None:
    """Asks now, unless an answer brought along what their row says."""
    if "guess" in here():
        make_sure()


def identify(token: str, *, address: str | None, request_id: str | None) -> Actor:
    claims = read(token)
    here().pop("guess", None)
    said = execute(_WHO, {"sid": claims["sid"], "sub": claims["sub"]}).scalar()
    if said is None:
        guess.forget(claims["sid"])
        raise Unauthorized
    guess.remember(claims["sid"], said)
    return _actor(claims, said, address, request_id)


def _actor(claims: dict[str, Any], said: str, address: str | None, request_id: str | None) -> Actor:
    role, status, two_step = said.split("|")
    enrol = must_enrol(role, status, two_step)
    return Actor(claims["sub"], role, status, claims["sid"], address, request_id, enrol)


def must_enrol(role: str, status: str, two_step: object) -> bool:
    """Whether somebody may only enrol for two-step log-in. Who waits for approval may do next to nothing anyway."""
    return not two_step and role in this_app().config["REQUIRE_TWO_STEP"] and status == Status.APPROVED


_RIGHTS = (
    select(
        Session.id.label("sid"),
        _said_of(User).label("said"),
        select(Counter.value).where(Counter.name == RIGHTS).scalar_subquery().label("as_of"),
    )
    .join_from(Session, User, User.id == Session.user_id)
    .where(*_lives(Session, User))
)
_RIGHTS_OF_ONE = _RIGHTS.where(Session.id == bindparam("sid"))
_RIGHTS_OF_SOME = _RIGHTS.where(Session.id.in_(bindparam("sids", expanding=True)))


def rights_of(actors: Iterable[Actor]) -> dict[str, tuple[Actor, int] | None]:
    """What the bearers of open sockets may now, by session, and the count of changed rights as of which that holds.

    None for a session that ended.
    """
    sessions = {str(actor.session_id): actor for actor in actors}
    if len(sessions) == 1:
        rows = execute(_RIGHTS_OF_ONE, {"sid": next(iter(sessions))}).all()
    else:
        rows = execute(_RIGHTS_OF_SOME, {"sids": list(sessions)}).all()
    for row in rows:
        guess.remember(row.sid, row.said)
    now = {row.sid: (_now(sessions[row.sid], row.said), row.as_of) for row in rows}
    return {session: now.get(session) for session in sessions}


def _now(actor: Actor, said: str) -> Actor:
    return _actor({"sub": actor.id, "sid": actor.session_id}, said, actor.address, actor.request_id)


# -- opaque tokens: 256 bits, stored as hashes ---------------------------------------------------------------------


def opaque() -> str:
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def successor(token: str) -> str:
    """The refresh token that follows: derived, so that a repeated request is answered alike with nothing stored."""
    secret = this_app().config["SECRET_KEY"].encode()
    mac = hmac.digest(secret, b"refresh|" + token.encode(), hashlib.sha256)
    return urlsafe_b64encode(mac).rstrip(b"=").decode()
