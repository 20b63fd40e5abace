from typing import Any

import orjson

from ..blueprints import Blueprint, current_user, enrolling_too, pending_too, public, unless_stale
from ..concurrency import background
from ..errors import Invalid, Unauthorized
from ..membership import registration
from ..pagination import Listing
from ..scope import here, this_app, this_request
from ..transactions import transaction
from . import logging_in, passwords, service, tokens, two_step
from .schemas import (
    Accepted,
    CodeIn,
    ForgotIn,
    LoginIn,
    MeOut,
    OwnPasswordIn,
    RecoveryCodesOut,
    RefreshIn,
    RegisterIn,
    ResetIn,
    SessionOut,
    SessionQuery,
    TokensOut,
    TwoStepOut,
    TwoStepSecretOut,
)

bp = Blueprint("auth", __name__, description="Log-in, tokens, sessions and passwords")


def caller() -> service.Caller:
    request = this_request()
    address = request.remote_addr and request.remote_addr[:64]
    device = "".join(c for c in request.headers.get("User-Agent", "") if c.isprintable())[:200]
    return service.Caller(address, device or None, here().get("request_id"))


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
    """Log in by e-mail or username; with `code` where two-step log-in is on (401 `two_step_required` without)"""
    name = fields.get("login") or fields.get("email") or fields["username"]
    return logging_in.log_in(name, fields["password"], fields["code"], caller())


@bp.route("/refresh", methods=["POST"])
@public(limit="RATE_LIMIT_PER_MINUTE")
@bp.accepts(RefreshIn)
@bp.answers(200, TokensOut)
def refresh(fields: dict[str, Any]) -> str:
    """Trade a refresh token (Bearer, or in the body) for new tokens"""
    token = fields.get("refresh_token") or tokens.bearer(this_request())
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


@bp.route("/logout/everywhere", methods=["POST"])
@pending_too
@bp.answers(204)
def logout_everywhere() -> None:
    """End all your sessions, this one too"""
    with transaction():
        service.end_own_sessions(by=current_user())


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
    background(this_app(), service.forgot, fields["email"])
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


@bp.route("/two-step")
@enrolling_too
@bp.answers(200, TwoStepOut)
def show_two_step() -> str:
    """Show whether two-step log-in is on"""
    return two_step.show(viewer=current_user())


@bp.route("/two-step", methods=["POST"])
@enrolling_too
@bp.accepts(OwnPasswordIn)
@bp.answers(201, TwoStepSecretOut)
def begin_two_step(fields: dict[str, Any]) -> str:
    """Get a secret for an authenticator app; nothing changes before a code of it is confirmed"""
    service.check_own_password(fields.get("current_password"), by=current_user())
    two_step.get_ready()
    with transaction():
        return two_step.enrol(by=current_user())


@bp.route("/two-step/confirm", methods=["POST"])
@enrolling_too
@bp.accepts(CodeIn)
@bp.answers(200, RecoveryCodesOut)
def confirm_two_step(fields: dict[str, Any]) -> str:
    """Switch two-step log-in on by a first code; your sessions elsewhere end"""
    two_step.get_ready()
    with transaction():
        return two_step.confirm(fields["code"], by=current_user())


@bp.route("/two-step/prove", methods=["POST"])
@enrolling_too
@bp.accepts(CodeIn)
@bp.answers(204)
def prove_two_step(fields: dict[str, Any]) -> None:
    """Show a code again, as money and roles may ask (403 `two_step_again_required`)"""
    logging_in.prove_again(fields["code"], by=current_user())


@bp.route("/two-step", methods=["DELETE"])
@enrolling_too
@bp.accepts(OwnPasswordIn)
@bp.answers(204)
def end_two_step(fields: dict[str, Any]) -> None:
    """Switch two-step log-in off"""
    service.check_own_password(fields.get("current_password"), by=current_user())
    with transaction():
        unless_stale(two_step.show, viewer=current_user())
        two_step.switch_off(current_user().id, by=current_user())
