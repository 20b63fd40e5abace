"""Removing a person: what they leave behind is closed, handed back or kept without their name."""

from typing import Any

from .. import idempotency
from ..actor import Actor
from ..applications import service as applications
from ..audit.service import note
from ..auth.service import erase_sessions
from ..chat import service as chat
from ..errors import Forbidden
from ..events import service as events
from ..meetings import service as meetings
from ..notifications.service import remove_all_of
from ..payouts import service as payouts
from ..permissions import can_edit_user
from ..tasks import service as tasks
from ..transactions import last_look, record
from ..users import service as users
from ..users.models import FORMER_MEMBER, User

PERSONAL = ("email", "username", "photoURL", "location", "software", "portfolioLink", "contact", "message", "fullName")


def lock(user_id: str, *, by: Actor) -> User:
    """The person who is to go. Raises `NotFound`, `Forbidden`, and `Conflict` for the last owner."""

    def first() -> None:
        # Applications before the person, as every decision does: another order would deadlock with it.
        applications.lock_all_of(user_id, users.email_now(user_id))

    user = users.lock_to_lower(user_id, by=by, first=first)
    if not can_edit_user(by, user):
        raise Forbidden
    return user


def remove(user_id: str, *, by: Actor) -> None:
    """Raises what `lock` does."""
    user = lock(user_id, by=by)
    if user.id == by.id:
        last_look()
    email = user.email
    tasks.unassign_all_of(user.id, by=by)
    payouts.cancel_all_of(user.id, by=by)
    payouts.erase_unpaid_of(user.id)
    meetings.drop_attendee(user.id, by=by)
    applications.erase_all_of(user.id, email)
    remove_all_of(user.id)
    erase_sessions(user.id)
    idempotency.forget_all_of(user.id)
    chat.forget_reader(user.id)
    events.forget("user", user.id)
    users.erase(user)
    for mention in (user.id, email):
        if mention:
            events.rewrite(mention, lambda data: without(data, user.id, email))
            idempotency.rewrite(mention, lambda data: without(data, user.id, email))
    note("user.removed", "user", user.id, by=by)
    record("user_removed", {"userId": user.id}, about="parting", of=user.id, audience=["managers"])


def without(data: Any, user_id: str, email: str | None) -> Any:
    """A payload or answer without what it says of a person."""
    if isinstance(data, list):
        return [without(item, user_id, email) for item in data]
    if not isinstance(data, dict):
        return FORMER_MEMBER if email and data == email else data
    shown = {name: without(value, user_id, email) for name, value in data.items()}
    theirs = data.get("id") == user_id or (email is not None and data.get("email") == email)
    if theirs and ("displayName" in data or "fullName" in data):
        shown |= {name: None for name in PERSONAL if name in data}
        shown |= {name: FORMER_MEMBER for name in ("displayName", "fullName") if name in data}
        if "fullName" in data:
            shown["role"] = None  # of an application: their own words
    if data.get("editorId") == user_id:
        shown |= {name: None for name in ("paymentMethod", "note") if name in data}
    if data.get("senderId") == user_id and "sender" in data:
        shown["sender"] = FORMER_MEMBER
    return shown
