"""Two-step log-in: a code beside the password, from an authenticator app (TOTP, RFC 6238) or, in need, a recovery code.

A code counts once. What the app shares with us is encrypted under a key made of `SECRET_KEY`; recovery codes are kept
as hashes alone, so that they still help when that key has changed.
"""

import logging
import re
import secrets
from base64 import b32encode
from datetime import datetime, timedelta
from importlib import import_module

import orjson
from sqlalchemy import bindparam, delete, func, insert, select, update

from ..actor import Actor
from ..audit.service import note
from ..clock import now
from ..columns import instant_text
from ..concurrency import in_thread
from ..database import execute
from ..errors import Conflict, Forbidden, Invalid, Unauthorized
from ..scope import this_app
from ..transactions import last_look, rights_changed
from ..users.models import User
from ..users.service import people
from .models import RecoveryCode, Session, TwoStepSecret
from .tokens import digest

log = logging.getLogger(__name__)
ISSUER = "Idyll"
SECRET_BYTES = 20  # RFC 4226, section 4
RECOVERY_CODES, RECOVERY_BYTES = 10, 10

SECRETS, CODES, SESSIONS = TwoStepSecret.__table__, RecoveryCode.__table__, Session.__table__
NEW_SECRET, NEW_CODE = insert(SECRETS), insert(CODES)
_SECRET = select(TwoStepSecret.secret, TwoStepSecret.last_step).where(TwoStepSecret.user_id == bindparam("user"))
# The same code at the same moment, twice: of two changes of a row the second one sees the first.
_USE_STEP = (
    update(SECRETS)
    .where(SECRETS.c.user_id == bindparam("user"), SECRETS.c.last_step < bindparam("step"))
    .values(last_step=bindparam("step"))
)
_USE_RECOVERY_CODE = (
    update(CODES)
    .where(CODES.c.digest == bindparam("code"), CODES.c.user_id == bindparam("user"), CODES.c.used_at.is_(None))
    .values(used_at=bindparam("moment"))
)
_left = select(func.count()).where(RecoveryCode.user_id == User.id, RecoveryCode.used_at.is_(None))
_STATE = select(User.two_step_at, User.role, _left.scalar_subquery()).where(User.id == bindparam("user"))


def show(*, viewer: Actor) -> str:
    since, role, left = execute(_STATE, {"user": viewer.id}).one()
    return orjson.dumps(
        {
            "enabled": since is not None,
            "required": role in this_app().config["REQUIRE_TWO_STEP"],
            "enabledAt": since and instant_text(since),
            "recoveryCodesLeft": left,
        }
    ).decode()


# -- switching it on and off -----------------------------------------------------------------------------------------


def enrol(*, by: Actor) -> str:
    """A fresh secret for an authenticator app; nothing is asked for before a code of it confirms that it arrived."""
    from . import totp

    user = _lock(by.id)
    if user.two_step_at is not None:
        raise _on()
    secret = secrets.token_bytes(SECRET_BYTES)
    sealed = totp.sealed(secret, user.id, this_app().config["SECRET_KEY"])
    row = {"user_id": user.id, "secret": sealed, "last_step": 0, "created_at": now()}
    execute(delete(SECRETS).where(SECRETS.c.user_id == user.id))
    execute(NEW_SECRET, row)
    url = totp.url(secret, user.email or user.display_name, ISSUER)
    return orjson.dumps({"secret": b32encode(secret).decode(), "otpauthUrl": url}).decode()


def confirm(code: str, *, by: Actor) -> str:
    """Switches it on. The person's other sessions end: they were opened without a code."""
    user = _lock(by.id)
    if user.two_step_at is not None:
        raise _on()
    if execute(_SECRET, {"user": user.id}).first() is None:
        raise Conflict("Ask for a secret first.", code="two_step_not_begun", current="off")
    last_look()
    moment = now()
    if not _use_step(user.id, _plain(code), moment):
        raise Invalid(errors={"code": ["Not the code that the app shows now."]})
    user.two_step_at = moment
    people.save(user)
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    execute(delete(CODES).where(CODES.c.user_id == user.id))
    execute(NEW_CODE, [{"digest": digest(_plain(one)), "user_id": user.id, "used_at": None} for one in codes])
    others = (Session.user_id == user.id, Session.id != by.session_id, Session.ended_at.is_(None))
    execute(update(SESSIONS).where(*others).values(ended_at=moment))
    execute(update(SESSIONS).where(Session.id == by.session_id).values(proved_at=moment))
    rights_changed()
    note("two_step.enabled", "user", user.id, by=by)
    return orjson.dumps({"recoveryCodes": codes}).decode()


def switch_off(user_id: str | None, *, by: Actor) -> None:
    """Also a beginning that was never confirmed."""
    user = _lock(user_id)
    if user.two_step_at is not None:
        ask_again(by=by)  # or a password would be the way round the code that is asked for
    if user.id == by.id:
        last_look()
    forget(user.id)
    if user.two_step_at is None:
        return
    user.two_step_at = None
    people.save(user)
    rights_changed()
    note("two_step.disabled", "user", user.id, by=by)


def forget(user_id: str) -> None:
    """Nothing of it is left but that it is on."""
    execute(delete(CODES).where(CODES.c.user_id == user_id))
    execute(delete(SECRETS).where(SECRETS.c.user_id == user_id))


def _lock(user_id: str | None) -> User:
    for user in people.lock_all(User.id == user_id, User.there()):
        return user
    raise Unauthorized


def _on() -> Conflict:
    return Conflict("Two-step log-in is on; switch it off first.", code="two_step_on", current="on")


# -- codes -----------------------------------------------------------------------------------------------------------


def use(user_id: str, code: str, *, by: Actor) -> bool:
    """Spends a code; False for one that is wrong or was used before."""
    plain, moment = _plain(code), now()
    if _use_step(user_id, plain, moment):
        return True
    spent = {"code": digest(plain), "user": user_id, "moment": moment}
    if not execute(_USE_RECOVERY_CODE, spent).rowcount:
        return False
    note("two_step.recovery_code_used", "user", user_id, by=by)
    return True


def prove_again(code: str, *, by: Actor) -> None:
    """What `ask_again` wants to see."""
    user = _lock(by.id)
    if user.two_step_at is None:
        raise Conflict("Two-step log-in is off.", code="two_step_off", current="off")
    if not use(user.id, code, by=by):
        raise Forbidden(
            "This code is wrong or was used.", code="two_step_code_wrong", errors={"code": ["It is wrong."]}
        )
    execute(update(SESSIONS).where(Session.id == by.session_id).values(proved_at=now()))


def ask_again(*, by: Actor) -> None:
    """Before money, roles and what leads to them.

    Raises `Forbidden` for a session that showed no code in `TWO_STEP_AGAIN_MINUTES`.
    """
    minutes = this_app().config["TWO_STEP_AGAIN_MINUTES"]
    if not minutes or by.session_id is None:  # the host's command line
        return
    wanted = select(Session.proved_at, User.two_step_at).join_from(Session, User, User.id == Session.user_id)
    proved_at, since = execute(wanted.where(Session.id == by.session_id)).one()
    if since is None:
        raise Forbidden("This needs two-step log-in; switch it on first.", code="two_step_enrolment_required")
    if proved_at is None or proved_at <= now() - timedelta(minutes=minutes):
        raise Forbidden("Show a code of two-step log-in again.", code="two_step_again_required")


def _use_step(user_id: str, plain: str, moment: datetime) -> bool:
    """Whether it is a code of the app's, and now used."""
    found = execute(_SECRET, {"user": user_id}).first()
    if found is None or not re.fullmatch(r"[0-9]{6}", plain):
        return False
    from . import totp

    try:
        secret = totp.opened(found.secret, user_id, this_app().config["SECRET_KEY"])
    except totp.Unreadable:
        log.warning(
            "a secret of two-step log-in can't be read: SECRET_KEY has changed since; recovery codes still work"
        )
        return False
    fitting = totp.steps(secret, plain, int(moment.timestamp()))
    return any(execute(_USE_STEP, {"user": user_id, "step": step}).rowcount for step in fitting)


def get_ready() -> None:
    """Before a transaction that looks at a code or makes a secret.

    `cryptography` is 9 MiB, and most people log in without: it is loaded here, in a real thread, since it takes a tenth
    of a second.
    """
    in_thread(import_module, f"{__package__}.totp")


def _plain(code: str) -> str:
    """As people copy it: with blanks and dashes, in any case."""
    return re.sub(r"[\s-]", "", code).lower()


def _recovery_code() -> str:
    text = b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower()
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))
