from typing import Any

import orjson
from flask import current_app, g, request

from ..blueprints import Blueprint, current_user, pending_too, public
from ..concurrency import background
from ..errors import Invalid, Unauthorized
from ..membership import registration
from ..pagination import Listing
from ..transactions import transaction
from . import passwords, service, tokens
from .schemas import (
    Accepted,
    ForgotIn,
    LoginIn,
    MeOut,
    RefreshIn,
    RegisterIn,
    ResetIn,
    SessionOut,
    SessionQuery,
    TokensOut,
)

bp = Blueprint("auth", __name__, description="Log-in, tokens, sessions and passwords")


def caller() -> service.Caller:
    device = "".join(c for c in request.headers.get("User-Agent", "") if c.isprintable())[:200]
    return service.Caller(request.remote_addr, device or None, g.get("request_id"))


@bp.route("/register", methods=["POST"])
@public(limit="PUBLIC_WRITE_LIMIT_PER_MINUTE")
@bp.accepts(RegisterIn)
@bp.answers(201, TokensOut)
def register(fields: dict[str, Any]) -> str:
    """Make an account, which waits for approval; it is signed in at once"""
    passwords.refuse_common(fields["password"])
    password_hash = passwords.hashed(fields.pop("password"))
    with transaction():
        user_id = registration.register(fields, password_hash, caller())
        return service.open_session(user_id, caller())


@bp.route("/login", methods=["POST"])
@public(limit="LOGIN_LIMIT_PER_MINUTE")
@bp.accepts(LoginIn)
@bp.answers(200, TokensOut)
def login(fields: dict[str, Any]) -> str:
    """Log in by e-mail or username"""
    name = fields.get("login") or fields.get("email") or fields["username"]
    user_id, proved = service.check_password(name, fields["password"])
    with transaction():
        return service.open_session(user_id, caller(), proved=proved)


@bp.route("/refresh", methods=["POST"])
@public(limit="RATE_LIMIT_PER_MINUTE")
@bp.accepts(RefreshIn)
@bp.answers(200, TokensOut)
def refresh(fields: dict[str, Any]) -> str:
    """Trade a refresh token (Bearer, or in the body) for new tokens"""
    token = fields.get("refresh_token") or tokens.bearer(request)
    with transaction():
        answer = service.refresh(token)
    if answer is None:
        raise Unauthorized
    return answer


@bp.route("/logout", methods=["POST"])
@pending_too
@bp.answers(204)
def logout() -> None:
    """End this session"""
    with transaction():
        service.end_session(current_user().session_id, by=current_user())


@bp.route("/me")
@pending_too
@bp.answers(200, MeOut)
def me() -> str:
    """Show yourself, what is unread, and what you may do"""
    return service.me(current_user())


@bp.route("/sessions")
@pending_too
@bp.lists(SessionQuery, SessionOut)
def sessions(_: dict[str, Any]) -> Listing:
    """List where you are logged in"""
    return service.sessions(viewer=current_user())


@bp.route("/sessions/<id:session_id>", methods=["DELETE"])
@pending_too
@bp.answers(204)
def end_session(session_id: str) -> None:
    """Log one device out"""
    with transaction():
        service.end_session(session_id, by=current_user())


@bp.route("/password/forgot", methods=["POST"])
@public(limit="PUBLIC_WRITE_LIMIT_PER_MINUTE")
@bp.accepts(ForgotIn)
@bp.answers(202, Accepted)
def forgot(fields: dict[str, Any]) -> str:
    """Ask for a link to set a new password; always the same answer"""
    background(current_app._get_current_object(), service.forgot, fields["email"])  # type: ignore[attr-defined]  # of the proxy
    return orjson.dumps(Accepted.EXAMPLE).decode()


@bp.route("/password/reset", methods=["POST"])
@public(limit="PUBLIC_WRITE_LIMIT_PER_MINUTE")
@bp.accepts(ResetIn)
@bp.answers(204)
def reset(fields: dict[str, Any]) -> None:
    """Set the password that an invite or reset link allows"""
    passwords.refuse_common(fields["password"])
    if not fields["token"]:
        raise Invalid(errors={"token": ["It is missing."]})
    password_hash = passwords.hashed(fields["password"])
    with transaction():
        service.reset_password(fields["token"], password_hash, caller())
