"""The first owner of an agency, made on the host: there is no default password."""

import secrets
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import select

from .actor import system
from .auth import passwords
from .database import execute
from .errors import Conflict, Invalid
from .fields import Email, Password
from .transactions import transaction
from .users import service as users
from .users.models import User
from .users.roles import Role

DEVELOPMENT_EMAIL = "owner@example.com"


def there_is_one() -> bool:
    owning = select(User.id).where(User.managing(), User.role == Role.OWNER)
    return execute(owning.limit(1)).first() is not None


def from_settings(config: Mapping[str, Any]) -> tuple[str, str]:
    """E-mail and password of `OWNER_EMAIL` and `OWNER_PASSWORD`. Raises `Invalid` naming the variables at fault."""
    errors: dict[str, list[str]] = {}
    email, password = config["OWNER_EMAIL"], config["OWNER_PASSWORD"]
    for name, field, value in (("OWNER_EMAIL", Email(), email), ("OWNER_PASSWORD", Password(), password)):
        try:
            if not value:
                raise ValidationError("It is missing.")
            field.deserialize(value)
        except ValidationError as error:
            errors[name] = [str(message) for message in error.messages]
    if "OWNER_PASSWORD" not in errors:
        try:
            passwords.refuse_common(password, "OWNER_PASSWORD")
        except Invalid as error:
            errors |= error.errors or {}
    if errors:
        raise Invalid(errors=errors)
    return Email().deserialize(email), password


def generated() -> tuple[str, str]:
    return DEVELOPMENT_EMAIL, secrets.token_urlsafe(12)


def make(email: str, password: str) -> bool:
    """Whether this made the owner: not if there is one by now. Raises `Conflict` if another account has the e-mail."""
    password_hash = passwords.hashed(password)
    fields = {"email": email, "display_name": "Owner", "role": Role.OWNER}
    try:
        with transaction():
            if there_is_one():
                return False
            users.create(fields, password_hash, by=system())
    except Conflict:
        # Two hosts that start at the same time make one owner.
        if there_is_one():
            return False
        raise
    return True
