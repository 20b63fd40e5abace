"""Links by which somebody sets a password, handed on by a manager: there may be no mail server."""

import orjson

from ..actor import Actor
from ..audit.service import note
from ..auth.service import password_link
from ..auth.two_step import ask_again
from ..errors import Conflict, Forbidden
from ..permissions import can_manage_user
from ..users import service as users
from ..users.roles import MANAGERS, Status


def invite(user_id: str, *, by: Actor) -> str:
    """A fresh link; earlier ones end. Raises `NotFound`, and `Forbidden` for a person whom one doesn't manage."""
    user = users.lock(user_id, viewer=by)
    if not can_manage_user(by, user):
        raise Forbidden
    if user.status == Status.REJECTED:
        raise Conflict(
            "A rejected person can't log in; approve them first.", code="account_rejected", current=user.status
        )
    if user.role in MANAGERS:
        ask_again(by=by)  # whoever gets the link acts as a manager
    note("user.invited", "user", user.id, by=by)
    return orjson.dumps({"invite": password_link(user.id)}).decode()
