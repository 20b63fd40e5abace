from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from ..fields import Email, Moment, Password, Schema, Secret, Text, Username
from ..pagination import PageQuery
from ..users.schemas import UserOut


class Code(Text):
    """A code of two-step log-in, as people copy it: blanks and dashes don't matter."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(64, **kwargs)


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

    EXAMPLE = {"login": "asha", "password": "four-minutes-of-film", "code": "492039"}

    login = Text(254, optional=True)
    email = Text(254, optional=True)
    username = Text(254, optional=True)
    password = Secret(required=True)
    code = Code(optional=True, load_default=None, metadata={"description": "Where two-step log-in is on"})

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


class OwnPasswordIn(Schema):
    EXAMPLE = {"currentPassword": "four-minutes-of-film"}

    current_password = Secret()


class CodeIn(Schema):
    EXAMPLE = {"code": "492039"}

    code = Code()


class TwoStepOut(Schema):
    EXAMPLE = {"enabled": True, "required": False, "enabledAt": "2026-01-05T09:30:00.000Z", "recoveryCodesLeft": 10}

    enabled = fields.Boolean(required=True)
    required = fields.Boolean(required=True, metadata={"description": "Whether your role must use it"})
    enabled_at = Moment(required=True, allow_none=True)
    recovery_codes_left = fields.Integer(required=True)


class TwoStepSecretOut(Schema):
    """Shown once; two-step log-in is on when a code of it was confirmed."""

    EXAMPLE = {
        "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
        "otpauthUrl": "otpauth://totp/Idyll:asha%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Idyll",
    }

    secret = fields.String(required=True, metadata={"description": "For typing: base32"})
    otpauth_url = fields.String(required=True, metadata={"description": "For a QR code"})


class RecoveryCodesOut(Schema):
    """Shown once. Each logs in once, in the place of a code of the app."""

    EXAMPLE = {"recoveryCodes": ["mfzw-i43b-onsg-g5dj", "nzsx-a2lo-orzw-kzlt"]}

    recovery_codes = fields.List(fields.String(), required=True)


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
