from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from ..fields import Email, Moment, Password, Schema, Secret, Text, Username
from ..pagination import PageQuery
from ..users.schemas import UserOut


class RegisterIn(Schema):
    EXAMPLE = {
        "email": "asha@example.com",
        "username": "asha",
        "password": "four-minutes-of-film",
        "displayName": "Asha",
    }

    email = Email()
    username = Username()
    password = Password(required=True)
    display_name = Text(100, optional=True, load_default=None)


class LoginIn(Schema):
    """`login`, `email` or `username`: one of them, all the same."""

    EXAMPLE = {"login": "asha", "password": "four-minutes-of-film"}

    login = Text(254, optional=True)
    email = Text(254, optional=True)
    username = Text(254, optional=True)
    password = Secret(required=True)

    @validates_schema
    def one_name(self, data: dict[str, Any], **_: Any) -> None:
        if not any(data.get(name) for name in ("login", "email", "username")):
            raise ValidationError({"login": ["Send login, email or username."]})


class RefreshIn(Schema):
    """The refresh token, unless it comes as Bearer."""

    EXAMPLE = {"refreshToken": "q3Jx…"}

    refresh_token = Secret()


class ForgotIn(Schema):
    EXAMPLE = {"email": "asha@example.com"}

    email = Email()


class ResetIn(Schema):
    EXAMPLE = {"token": "Zk3v…", "password": "four-minutes-of-film"}

    token = Secret(required=True)
    password = Password(required=True)


class TokensOut(Schema):
    EXAMPLE = {
        "accessToken": "eyJhbGciOi…",
        "refreshToken": "q3Jx…",
        "tokenType": "Bearer",
        "expiresIn": 900,
        "user": UserOut.EXAMPLE,
    }

    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds"})
    user = fields.Nested(UserOut, required=True)


class MeOut(UserOut):
    EXAMPLE = UserOut.EXAMPLE | {"unreadNotifications": 3, "can": {"createTasks": False, "chat": True}}

    unread_notifications = fields.Integer(required=True)
    can = fields.Dict(
        keys=fields.String(),
        values=fields.Boolean(),
        required=True,
        metadata={"description": "One boolean per permission: show only the buttons that work"},
    )


class SessionOut(Schema):
    EXAMPLE = {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6cb0",
        "device": "Mozilla/5.0 (X11; Linux x86_64)",
        "address": "203.0.113.7",
        "createdAt": "2026-01-05T09:30:00.000Z",
        "lastSeenAt": "2026-01-05T09:45:00.000Z",
        "current": True,
    }

    id = fields.String(required=True)
    device = fields.String(required=True, allow_none=True)
    address = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    last_seen_at = Moment(required=True)
    current = fields.Boolean(required=True)


class SessionQuery(PageQuery):
    pass


class Accepted(Schema):
    """Always the same, whether the account exists or not."""

    EXAMPLE = {"status": "accepted"}

    status = fields.String(required=True)
