"""Deciding on a person: all their applications, their account, and everybody who must know, in one transaction.

Safe to repeat and safe in parallel: the rows of the e-mail's applications are locked before anything is read from
them, so the second of two decisions finds the first one done.
"""

from typing import Any

from ..actor import Actor
from ..applications import service as applications
from ..applications.models import Application, Decision
from ..audit.service import Changes, note
from ..auth.service import end_links, end_sessions, password_link
from ..auth.two_step import ask_again
from ..clock import now
from ..errors import Conflict, Forbidden
from ..notifications.models import Kind
from ..notifications.service import News, tell
from ..permissions import can_manage_user
from ..shapes import joined, shown
from ..transactions import rights_changed
from ..users import service as users
from ..users.models import User
from ..users.roles import MANAGERS, Role, Status


def admit(fields: dict[str, Any], password_hash: str | None, *, by: Actor) -> User:
    """A member at once; what they applied for is decided by it."""
    waiting = applications.lock_pending_of(fields["email"])
    if fields["role"] in MANAGERS:
        ask_again(by=by)
    user = users.create(fields, password_hash, by=by)
    applications.decide(waiting, Decision.APPROVED, None, user_id=user.id, by=by)
    return user


def approve(application_id: str, *, by: Actor) -> str:
    """The application, with an `invite` when an account was made."""
    target, siblings = applications.lock(application_id)
    if target.status == Decision.APPROVED:
        return applications.show(target.id)
    if target.email is None:
        raise Conflict("This person was removed.", code="applicant_removed", current=target.status)
    user = users.find_by_email(target.email)
    invite = None
    if user is None:
        told = {name: getattr(target, name) for name in ("email", "location", "software", "portfolio_link", "contact")}
        user = users.create({**told, "display_name": target.full_name, "role": Role.EDITOR}, None, by=by)
        invite = password_link(user.id)
    else:
        _set_status(user, Status.APPROVED, by=by)
    applications.decide([target, *siblings], Decision.APPROVED, None, user_id=user.id, by=by)
    _tell_person(user, "You are approved", "Welcome to the agency.", target)
    body = applications.show(target.id)
    return joined(body, invite=invite) if invite else body


def reject(application_id: str, reason: str | None, *, by: Actor) -> str:
    """Raises `Conflict` for an approved one. A member keeps their account, whatever happens to an application."""
    target, siblings = applications.lock(application_id)
    if target.status == Decision.APPROVED:
        raise Conflict("An approved application can't be rejected.", code="already_approved", current=target.status)
    if target.status == Decision.REJECTED:
        return applications.show(target.id)
    user = users.find_by_email(target.email)
    if user is not None and user.status == Status.PENDING:
        _set_status(user, Status.REJECTED, by=by)
        end_sessions(user.id)
    applications.decide([target, *siblings], Decision.REJECTED, reason, user_id=user.id if user else None, by=by)
    if user is not None:
        _tell_person(user, "Your application was rejected", reason or "", target)
    return applications.show(target.id)


def lock(user_id: str, changes: dict[str, Any], *, by: Actor) -> User:
    """The person for a change. Owners and applications are locked first, here as elsewhere: so nothing deadlocks."""

    def first() -> None:
        if changes.keys() & {"status", "email"}:
            applications.lock_all_of(user_id, users.email_now(user_id))

    if user_id != by.id and changes.get("role", Role.OWNER) != Role.OWNER:
        return users.lock_to_lower(user_id, by=by, first=first)
    first()
    return users.lock(user_id, viewer=by)


def edit_person(user: User, changes: dict[str, Any], password_hash: str | None, *, by: Actor) -> None:
    """A change of somebody's profile with what follows from it: the decision, and the end of sessions."""
    old_role, old_status, old_email = user.role, user.status, user.email
    if changes.get("role", user.role) != user.role:
        ask_again(by=by)
    users.edit(user, changes, password_hash, by=by)
    if user.role != old_role:
        rights_changed()
    if user.email != old_email:
        applications.follow(user.id, user.email)
    if "status" in changes:
        decide_on_account(user, Status(changes["status"]), by=by)
    if password_hash or user.role != old_role:
        # A link from before would be a way past the new password, or into a role that its maker can't invite to.
        end_links(user.id)
    if password_hash:
        end_sessions(user.id, but=by.session_id)
    if users.is_loss(old_role, user.role) or (old_status != Status.REJECTED and user.status == Status.REJECTED):
        end_sessions(user.id)


def decide_on_account(user: User, status: Status, *, by: Actor) -> None:
    """`status` of `PUT /users/:id`: the same decision, begun at the account."""
    if user.status == status:
        return
    if user.status == Status.APPROVED:
        raise Conflict("A member can't be rejected, only removed.", code="already_approved", current=user.status)
    _set_status(user, status, by=by)
    waiting = applications.lock_pending_of(user.email)
    applications.decide(waiting, Decision(status.value), None, user_id=user.id, by=by)
    approved = status == Status.APPROVED
    news = ("You are approved", "Welcome to the agency.") if approved else ("Your application was rejected", "")
    tell([user.id], News(Kind.USER, *news, "user", user.id))


def _set_status(user: User, status: Status, *, by: Actor) -> None:
    if user.status in (status, Status.APPROVED):
        return
    if not can_manage_user(by, user):
        raise Forbidden
    before = shown(user)
    user.status, user.updated_at = status, now()
    rights_changed()
    users.tell_of_changes(user, before, by=by)
    if status == Status.APPROVED:
        # Nobody proved that the address is theirs: who registered with it first has it, and who approves vouches.
        claimed: Changes = {"email": [None, None], "accountCreatedAt": [None, before["createdAt"]]}
        note("user.approved_by_claim", "user", user.id, claimed, by=by)


def _tell_person(user: User, title: str, message: str, application: Application) -> None:
    tell([user.id], News(Kind.USER, title, message, "application", application.id))
