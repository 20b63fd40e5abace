from typing import Any

from ..auth import passwords
from ..auth.service import check_own_password, password_link
from ..blueprints import Blueprint, current_user, members_only, only, pending_too, unless_stale
from ..membership import decisions, invitations, removal
from ..pagination import Listing
from ..permissions import is_manager
from ..shapes import joined
from ..transactions import transaction
from . import service
from .schemas import InviteAnswer, RemovalIn, UserBrief, UserEdit, UserIn, UserInvitedOut, UserOut, UserQuery

bp = Blueprint("users", __name__, description="People and their profiles")


@bp.route("")
@bp.lists(UserQuery, UserOut, brief=UserBrief)
def index(filters: dict[str, Any]) -> Listing:
    """List people; editors see members, by name, picture and role alone"""
    return service.listing(viewer=current_user(), **filters)


@bp.route("", methods=["POST"])
@only(is_manager)
@bp.accepts(UserIn)
@bp.answers(201, UserInvitedOut)
def create(fields: dict[str, Any]) -> str:
    """Make a member at once; without a password the answer has an invite"""
    password = fields.pop("password")
    passwords.refuse_common(password)
    password_hash = passwords.hashed(password) if password else None
    with transaction():
        user = decisions.admit(fields, password_hash, by=current_user())
        invite = {} if password_hash else {"invite": password_link(user.id)}
        body = service.people.of(user.id)
    return joined(body, **invite) if invite else body


@bp.route("/<id:user_id>")
@bp.answers(200, UserOut, brief=UserBrief)
def show(user_id: str) -> str:
    """Show a person, as far as you may see them"""
    return service.show(user_id, viewer=current_user())


@bp.edit("/<id:user_id>")
@pending_too
@bp.accepts(UserEdit)
@bp.answers(200, UserOut)
def edit(changes: dict[str, Any], user_id: str) -> str:
    """Change a profile, a role, or decide on an account"""
    by = current_user()
    password_hash = _own_password(changes, user_id)
    with transaction():
        user = decisions.lock(user_id, changes, by=by)
        unless_stale(service.show, user_id, viewer=by)
        decisions.edit_person(user, changes, password_hash, by=by)
        return service.show(user_id, viewer=by)


def _own_password(changes: dict[str, Any], user_id: str) -> str | None:
    """The hash of one's new password, if there is one; it and a new e-mail need the current password."""
    if user_id != current_user().id:
        members_only(current_user())
        return None
    if not changes.keys() & {"password", "email"}:
        return None
    check_own_password(changes.get("current_password"), by=current_user())
    if "password" not in changes:
        return None
    passwords.refuse_common(changes["password"])
    return passwords.hashed(changes["password"])


@bp.route("/<id:user_id>", methods=["DELETE"])
@bp.accepts(RemovalIn)
@bp.answers(204)
def remove(fields: dict[str, Any], user_id: str) -> None:
    """Remove a member, or oneself with the current password"""
    by = current_user()
    if user_id == by.id:
        check_own_password(fields.get("current_password"), by=by)
    with transaction():
        removal.lock(user_id, by=by)
        unless_stale(service.show, user_id, viewer=by)
        removal.remove(user_id, by=by)


@bp.route("/<id:user_id>/invite", methods=["POST"])
@only(is_manager)
@bp.answers(201, InviteAnswer)
def invite(user_id: str) -> str:
    """Make a fresh link to set a password; earlier ones end"""
    with transaction():
        return invitations.invite(user_id, by=current_user())
