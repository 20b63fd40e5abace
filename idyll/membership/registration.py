"""Making one's own account: it waits for approval, and an application is filed beside it."""

from typing import Any

from ..applications import service as applications
from ..applications.models import Source
from ..audit.service import note
from ..auth.service import Caller
from ..users import service as users
from ..users.roles import Role, Status


def register(fields: dict[str, Any], password_hash: str, caller: Caller) -> str:
    """Gives the new person's id. Raises `Conflict` for a taken e-mail or username."""
    name = fields.get("display_name") or fields["username"]
    row = {"email": fields["email"], "username": fields["username"], "display_name": name, "role": Role.EDITOR}
    user = users.make(row, status=Status.PENDING, password_hash=password_hash)
    by = caller.as_actor(user)
    note("user.registered", "user", user.id, {"email": [None, None], "username": [None, None]}, by=by)
    applications.file({"full_name": name, "email": fields["email"]}, Source.REGISTRATION, by=by, user_id=user.id)
    return user.id
