"""Log-in, sessions and password links."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import bindparam, delete, insert, or_, select, update

from ..actor import Actor
from ..audit.service import note
from ..clock import now
from ..database import execute
from ..errors import Forbidden, NotFound, Unauthorized
from ..ids import uuid7
from ..notifications.models import Kind
from ..notifications.service import News, managers, tell, unread_of
from ..pagination import Listing
from ..permissions import general
from ..scope import this_app
from ..shapes import encoded_with, joined
from ..steps import delete_in_steps, delete_these, some_at_a_time
from ..transactions import last_look, rights_changed, transaction
from ..users.models import User
from ..users.roles import MANAGERS, Status
from ..users.service import people
from . import attempts, passwords, tokens, two_step
from .models import PasswordToken, RefreshToken, Session
from .schemas import SessionOut

LINK_LIFETIME = timedelta(days=7)

SESSIONS, REFRESH_TOKENS = Session.__table__, RefreshToken.__table__
LINKS = PasswordToken.__table__
NEW_SESSION, NEW_REFRESH_TOKEN, NEW_LINK = insert(SESSIONS), insert(REFRESH_TOKENS), insert(LINKS)


@dataclass(frozen=True)
class Caller:
    """Who knocks before anybody is signed in."""

    address: str | None
    device: str | None
    request_id: str | None

    def as_actor(self, user: Any, session_id: str | None = None) -> Actor:
        return Actor(user.id, user.role, user.status, session_id, self.address, self.request_id)


@dataclass(frozen=True)
class Proof:
    """What a log-in has shown. While its hash was computed, the password may have changed, or a code become needed."""

    attempt: str
    password_hash: str
    code: str | None


class OtherHash(Exception):
    """What stands for the password now is another hash than the one that a log-in was looked at by."""

    def __init__(self, stored: str | None) -> None:
        super().__init__()
        self.stored = stored


def check_own_password(password: str | None, *, by: Actor) -> None:
    """Before a change that a stolen session must not make. Raises `Forbidden` naming `currentPassword`."""
    with attempts.own(str(by.id), by.address) as found:
        if not passwords.matches(found.password_hash, password or ""):
            raise Forbidden(
                "Your current password is needed.",
                code="current_password_wrong",
                errors={"currentPassword": ["It is missing or wrong."]},
            )


def open_session(user_id: str, caller: Caller, *, proof: Proof | None = None) -> str:
    """A new session; the answer of a log-in. Raises `Unauthorized` if the person went meanwhile, and `OtherHash`.

    `proof` is what a log-in has shown; who has just registered shows nothing.
    """
    user = _living(user_id)
    moment, refresh = now(), tokens.opaque()
    session_id = proof.attempt if proof else uuid7()
    by = caller.as_actor(user, session_id)
    if proof is not None and user.password_hash != proof.password_hash:
        raise OtherHash(user.password_hash)
    if user.two_step_at is not None:
        if proof is None or proof.code is None:
            raise Unauthorized("A code of your authenticator app is needed.", code="two_step_required")
        if not two_step.use(user.id, proof.code, by=by):
            raise attempts.wrong()
    session = {
        "id": session_id,
        "user_id": user.id,
        "device": caller.device,
        "address": caller.address,
        "network": attempts.network_of(caller.address),
        "created_at": moment,
        "last_seen_at": moment,
        "expires_at": _expiry(moment),
        "proved_at": moment if user.two_step_at else None,
    }
    execute(NEW_SESSION, session)
    _give(refresh, session_id, moment)
    note("session.created", "session", session_id, by=by)
    return _answer(user.id, session_id, refresh)


def _give(refresh_token: str, session_id: str, moment: datetime) -> None:
    row = {"digest": tokens.digest(refresh_token), "session_id": session_id, "created_at": moment}
    execute(NEW_REFRESH_TOKEN, row)


_PRESENTED = (
    select(RefreshToken.used_at, Session.id, Session.user_id, Session.ended_at, Session.expires_at)
    .join_from(RefreshToken, Session, Session.id == RefreshToken.session_id)
    .where(RefreshToken.digest == bindparam("digest"))
    .with_for_update(key_share=True)
)


def refresh(token: str) -> str | None:
    """Rotates a refresh token; None when it was used before, which ended its session (commit it, then refuse)."""
    digest = tokens.digest(token)
    session = execute(_PRESENTED, {"digest": digest}).first()
    # After whoever used it at the same time, for whom this waited: otherwise their use would lie in the future.
    moment, grace = now(), timedelta(seconds=this_app().config["REFRESH_REUSE_GRACE"])
    if session is None or session.ended_at or session.expires_at <= moment:
        raise Unauthorized
    user = _living(session.user_id)
    following = tokens.successor(token)
    if session.used_at is None:
        execute(update(REFRESH_TOKENS).where(REFRESH_TOKENS.c.digest == digest).values(used_at=moment))
        _give(following, session.id, moment)
        seen = {"last_seen_at": moment, "expires_at": _expiry(moment)}
        execute(update(SESSIONS).where(SESSIONS.c.id == session.id).values(seen))
    elif not grace or moment - session.used_at >= grace:
        execute(update(SESSIONS).where(SESSIONS.c.id == session.id).values(ended_at=moment))
        rights_changed()
        by = Actor(user.id, user.role, user.status, session.id)
        note("session.ended", "session", session.id, {"reason": [None, "token_reuse"]}, by=by)
        return None
    return _answer(session.user_id, session.id, following)


_LIVING = (
    select(User.id, User.role, User.status, User.password_hash, User.two_step_at)
    .where(User.id == bindparam("id"), User.there(), User.status != Status.REJECTED)
    .with_for_update(read=True)
)


def _living(user_id: str) -> Any:
    # Locked for reading: a removal, a rejection or a new password waits, and then ends the session made here.
    user = execute(_LIVING, {"id": user_id}).first()
    if user is None:
        raise Unauthorized
    return user


def _expiry(moment: datetime) -> datetime:
    return moment + timedelta(days=this_app().config["REFRESH_TOKEN_DAYS"])


def _answer(user_id: str, session_id: str, refresh_token: str) -> str:
    return orjson.dumps(
        {
            "accessToken": tokens.access_token(user_id, session_id),
            "refreshToken": refresh_token,
            "tokenType": "Bearer",
            "expiresIn": this_app().config["ACCESS_TOKEN_SECONDS"],
            "user": orjson.Fragment(people.of(user_id)),
        }
    ).decode()


_ME = select(people.body, unread_of(bindparam("viewer"))).where(User.id == bindparam("viewer"))


def me(viewer: Actor) -> str:
    body, unread = execute(_ME, {"viewer": viewer.id}).one()[:2]
    return joined(body, unreadNotifications=unread, can=general(viewer))


# -- sessions ------------------------------------------------------------------------------------------------------


def sessions(*, viewer: Actor) -> Listing:
    body = encoded_with(SessionOut, Session, current=Session.id == viewer.session_id)
    mine = [Session.user_id == viewer.id, Session.ended_at.is_(None), Session.expires_at > now()]
    return Listing(body, (Session.id,), mine)


def end_session(session_id: str | None, *, by: Actor) -> None:
    if session_id == by.session_id:
        last_look()
    mine = (Session.id == session_id, Session.user_id == by.id, Session.ended_at.is_(None))
    if not execute(update(SESSIONS).where(*mine).values(ended_at=now())).rowcount:
        raise NotFound
    rights_changed()
    note("session.ended", "session", str(session_id), by=by)


def end_own_sessions(*, by: Actor) -> None:
    """Everywhere, here too."""
    last_look()
    end_sessions(str(by.id))
    note("session.ended", "user", str(by.id), by=by)


def end_sessions(user_id: str, *, but: str | None = None) -> None:
    """Ends every session of somebody: their tokens are worth nothing from here on."""
    theirs = update(SESSIONS).where(Session.user_id == user_id, Session.ended_at.is_(None))
    execute((theirs.where(Session.id != but) if but else theirs).values(ended_at=now()))
    rights_changed()


def erase_sessions(user_id: str) -> None:
    """Of a removed person: devices and addresses are personal too, and secrets are of no use."""
    theirs = select(Session.id).where(Session.user_id == user_id).scalar_subquery()
    execute(delete(REFRESH_TOKENS).where(RefreshToken.session_id.in_(theirs)))
    execute(delete(SESSIONS).where(Session.user_id == user_id))
    rights_changed()
    execute(delete(LINKS).where(PasswordToken.user_id == user_id))
    two_step.forget(user_id)
    attempts.forget(user_id)


# -- password links --------------------------------------------------------------------------------------------------


def password_link(user_id: str) -> dict[str, str]:
    """A fresh link to set a password; earlier ones end."""
    moment, token = now(), tokens.opaque()
    end_links(user_id)
    ends = moment + LINK_LIFETIME
    execute(NEW_LINK, {"digest": tokens.digest(token), "user_id": user_id, "created_at": moment, "expires_at": ends})
    url = f"{this_app().config['PUBLIC_URL']}/set-password?token={token}"
    return {"url": url, "expiresAt": ends.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def end_links(user_id: str) -> None:
    execute(update(LINKS).where(LINKS.c.user_id == user_id, LINKS.c.used_at.is_(None)).values(used_at=now()))


def reset_password(token: str, password_hash: str, caller: Caller) -> None:
    """Sets the password that a link allows, once, and ends all sessions. Raises `Unauthorized`."""
    moment, over = now(), Unauthorized("This link is not valid any more; ask for a new one.")
    digest = tokens.digest(token)
    user_id = execute(select(PasswordToken.user_id).where(PasswordToken.digest == digest)).scalar()
    if user_id is None:
        raise over
    # The person before the link, as an invite does.
    found = people.lock_all(User.id == user_id, User.there(), User.status != Status.REJECTED)
    open_ = (LINKS.c.digest == digest, LINKS.c.used_at.is_(None), LINKS.c.expires_at > moment)
    used = execute(update(LINKS).where(*open_).values(used_at=moment)).rowcount
    if used != 1 or not found:
        raise over
    user = found[0]
    user.password_hash, user.updated_at = password_hash, moment
    people.save(user)
    end_sessions(user.id)
    note("user.password_set", "user", user.id, {"password": [None, None]}, by=caller.as_actor(user))


def sweep() -> int:
    """Deletes sessions that ended or ran out a week ago, with their tokens; gives how many.

    Not while the address that they were opened from is known by them (idyll/auth/attempts.py).
    """
    old, swept = now() - timedelta(days=7), 0
    over = or_(Session.expires_at < old, Session.ended_at < old) & (Session.created_at < now() - attempts.KNOWN)
    for ids in some_at_a_time(SESSIONS, over, along=SESSIONS.c.id):
        # In steps of their own: a session has a token for each quarter of an hour that it was in use.
        delete_in_steps(REFRESH_TOKENS, RefreshToken.session_id.in_(ids), along=REFRESH_TOKENS.c.session_id)
        swept += delete_these(SESSIONS, ids, over)
    delete_in_steps(LINKS, PasswordToken.expires_at < old, along=LINKS.c.digest)
    return swept


def forgot(email: str) -> None:
    """Without a mail server: tells those who may invite this person that they wait for a link."""
    with transaction():
        # Locked: two requests at once make one notification.
        found = select(User.id, User.role, User.status).where(User.email == email, User.there())
        user = execute(found.with_for_update(key_share=True)).first()
        if user is None or user.status == Status.REJECTED:
            return
        helpers = [key for key in managers(only_owners=user.role in MANAGERS) if key != user.id]
        text = "They can't log in. Open their profile and send a new invite."
        tell(helpers, News(Kind.USER, "Somebody asked for a new password", text, "user", user.id, urgent=True))
