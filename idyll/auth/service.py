"""Log-in, sessions and password links."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from flask import current_app
from sqlalchemy import bindparam, delete, or_, select, update

from ..actor import Actor
from ..audit.service import note
from ..clock import now
from ..database import execute
from ..errors import Forbidden, NotFound, Unauthorized
from ..extensions import db
from ..fields import folded
from ..notifications.models import Kind
from ..notifications.service import News, managers, tell, unread_of
from ..pagination import Listing
from ..permissions import general
from ..shapes import encoded_with, joined
from ..transactions import rights_changed, transaction
from ..users.models import User
from ..users.roles import MANAGERS, Status
from ..users.service import people
from . import passwords, tokens
from .models import PasswordToken, RefreshToken, Session
from .schemas import SessionOut

LINK_LIFETIME = timedelta(days=7)


@dataclass(frozen=True)
class Caller:
    """Who knocks before anybody is signed in."""

    address: str | None
    device: str | None
    request_id: str | None

    def as_actor(self, user: User, session_id: str | None = None) -> Actor:
        return Actor(user.id, user.role, user.status, session_id, self.address, self.request_id)


def check_password(login: str, password: str) -> tuple[str, str]:
    """The account's id and the hash that was met; takes as long for an unknown one.

    Raises `Unauthorized`; for the rejected `Forbidden`.
    """
    key = folded(login)
    wanted = select(User.id, User.password_hash, User.status).where(User.there())
    row = execute(wanted.where(or_(User.email == key, User.username_key == key))).first()
    if not passwords.matches(row.password_hash if row else None, password) or row is None:
        raise Unauthorized("Wrong e-mail, username or password.", code="invalid_credentials")
    if row.status == Status.REJECTED:
        raise Forbidden("This account was rejected.", code="account_rejected")
    return row.id, row.password_hash


def check_own_password(user_id: str | None, password: str | None) -> None:
    """Before a change that a stolen session must not make. Raises `Forbidden` naming `currentPassword`."""
    stored = execute(select(User.password_hash).where(User.id == user_id)).scalar()
    if not passwords.matches(stored, password or ""):
        raise Forbidden(
            "Your current password is needed.",
            code="current_password_wrong",
            errors={"currentPassword": ["It is missing or wrong."]},
        )


def open_session(user_id: str, caller: Caller, *, proved: str | None = None) -> str:
    """A new session; the answer of a log-in. Raises `Unauthorized` if the person went meanwhile.

    `proved` is the hash that the password met: while it was computed another password may have been set.
    """
    user = _living(user_id)
    if proved is not None and user.password_hash != proved:
        raise Unauthorized("Wrong e-mail, username or password.", code="invalid_credentials")
    moment = now()
    session = Session(
        user_id=user.id,
        device=caller.device,
        address=caller.address,
        created_at=moment,
        last_seen_at=moment,
        expires_at=_expiry(moment),
    )
    refresh = tokens.opaque()
    db.session.add(session)
    db.session.flush()
    db.session.add(RefreshToken(digest=tokens.digest(refresh), session_id=session.id, created_at=moment))
    note("session.created", "session", session.id, by=caller.as_actor(user, session.id))
    db.session.flush()
    return _answer(user.id, session.id, refresh)


def refresh(token: str) -> str | None:
    """Rotates a refresh token; None when it was used before, which ended its session (commit it, then refuse)."""
    found = db.session.execute(
        select(RefreshToken, Session)
        .join(Session, Session.id == RefreshToken.session_id)
        .where(RefreshToken.digest == tokens.digest(token))
        .with_for_update(key_share=True)
    ).first()
    if found is None:
        raise Unauthorized
    used, session = found
    moment = now()
    if session.ended_at or session.expires_at <= moment:
        raise Unauthorized
    _living(session.user_id)
    following = tokens.successor(token)
    if used.used_at is None:
        used.used_at = moment
        db.session.add(RefreshToken(digest=tokens.digest(following), session_id=session.id, created_at=moment))
        session.last_seen_at, session.expires_at = moment, _expiry(moment)
    elif moment - used.used_at >= timedelta(seconds=current_app.config["REFRESH_REUSE_GRACE"]):
        session.ended_at = moment
        rights_changed()
        user = db.session.get_one(User, session.user_id)
        note("session.ended", "session", session.id, {"reason": [None, "token_reuse"]}, by=_host(user, session.id))
        return None
    db.session.flush()
    return _answer(session.user_id, session.id, following)


def _host(user: User, session_id: str) -> Actor:
    return Actor(user.id, user.role, user.status, session_id)


def _living(user_id: str) -> User:
    # Locked for reading: a removal, a rejection or a new password waits, and then ends the session made here.
    user = db.session.get(User, user_id, with_for_update={"read": True}, populate_existing=True)
    if user is None or user.removed_at or user.status == Status.REJECTED:
        raise Unauthorized
    return user


def _expiry(moment: datetime) -> datetime:
    return moment + timedelta(days=current_app.config["REFRESH_TOKEN_DAYS"])


def _answer(user_id: str, session_id: str, refresh_token: str) -> str:
    return orjson.dumps(
        {
            "accessToken": tokens.access_token(user_id, session_id),
            "refreshToken": refresh_token,
            "tokenType": "Bearer",
            "expiresIn": current_app.config["ACCESS_TOKEN_SECONDS"],
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
    mine = (Session.id == session_id, Session.user_id == by.id, Session.ended_at.is_(None))
    found: Any = db.session.execute(update(Session).where(*mine).values(ended_at=now()))
    if not found.rowcount:
        raise NotFound
    rights_changed()
    note("session.ended", "session", str(session_id), by=by)


def end_sessions(user_id: str, *, but: str | None = None) -> None:
    """Ends every session of somebody: their tokens are worth nothing from here on."""
    theirs = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
    db.session.execute((theirs.where(Session.id != but) if but else theirs).values(ended_at=now()))
    rights_changed()


def erase_sessions(user_id: str) -> None:
    """Of a removed person: devices and addresses are personal too."""
    theirs = select(Session.id).where(Session.user_id == user_id).scalar_subquery()
    db.session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(theirs)))
    db.session.execute(delete(Session).where(Session.user_id == user_id))
    rights_changed()
    db.session.execute(delete(PasswordToken).where(PasswordToken.user_id == user_id))


# -- password links --------------------------------------------------------------------------------------------------


def password_link(user_id: str) -> dict[str, str]:
    """A fresh link to set a password; earlier ones end."""
    moment = now()
    end_links(user_id)
    token = tokens.opaque()
    link = PasswordToken(
        digest=tokens.digest(token), user_id=user_id, created_at=moment, expires_at=moment + LINK_LIFETIME
    )
    db.session.add(link)
    url = f"{current_app.config['PUBLIC_URL']}/set-password?token={token}"
    return {"url": url, "expiresAt": link.expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def end_links(user_id: str) -> None:
    open_links = (PasswordToken.user_id == user_id, PasswordToken.used_at.is_(None))
    db.session.execute(update(PasswordToken).where(*open_links).values(used_at=now()))


def reset_password(token: str, password_hash: str, caller: Caller) -> None:
    """Sets the password that a link allows, once, and ends all sessions. Raises `Unauthorized`."""
    moment, over = now(), Unauthorized("This link is not valid any more; ask for a new one.")
    link = db.session.get(PasswordToken, tokens.digest(token))
    if link is None:
        raise over
    # The person before the link, as an invite does.
    user = db.session.get(User, link.user_id, with_for_update={"key_share": True}, populate_existing=True)
    open_ = (PasswordToken.digest == link.digest, PasswordToken.used_at.is_(None), PasswordToken.expires_at > moment)
    used: Any = db.session.execute(update(PasswordToken).where(*open_).values(used_at=moment))
    if used.rowcount != 1 or user is None or user.removed_at or user.status == Status.REJECTED:
        raise over
    user.password_hash, user.updated_at = password_hash, moment
    end_sessions(user.id)
    note("user.password_set", "user", user.id, {"password": [None, None]}, by=caller.as_actor(user))


def sweep() -> int:
    """Deletes sessions that ended or ran out a week ago, with their tokens; gives how many."""
    with transaction() as session:
        old = now() - timedelta(days=7)
        over = select(Session.id).where(or_(Session.expires_at < old, Session.ended_at < old))
        session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(over)))
        found: Any = session.execute(delete(Session).where(or_(Session.expires_at < old, Session.ended_at < old)))
        session.execute(delete(PasswordToken).where(PasswordToken.expires_at < old))
        return int(found.rowcount)


def forgot(email: str) -> None:
    """Without a mail server: tells those who may invite this person that they wait for a link."""
    with transaction():
        # Locked: two requests at once make one notification.
        found = select(User).where(User.email == email, User.there()).with_for_update(key_share=True)
        user = db.session.execute(found).scalar_one_or_none()
        if user is None or user.status == Status.REJECTED:
            return
        helpers = [key for key in managers(only_owners=user.role in MANAGERS) if key != user.id]
        text = "They can't log in. Open their profile and send a new invite."
        tell(helpers, News(Kind.USER, "Somebody asked for a new password", text, "user", user.id, urgent=True))
