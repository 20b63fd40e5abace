from marshmallow import fields

from ..fields import Choice, Creation, Email, Link, Moment, Password, Schema, Secret, Strict, Text, Username
from ..pagination import PageQuery
from .roles import Role, Status, Theme

ID = "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"


class UserOut(Schema):
    """A person with everything: for managers and for oneself."""

    EXAMPLE = {
        "id": ID,
        "email": "asha@example.com",
        "username": "asha",
        "displayName": "Asha Verma",
        "photoURL": None,
        "role": "editor",
        "status": "approved",
        "approved": True,
        "location": "Pune",
        "software": "DaVinci Resolve",
        "portfolioLink": "https://example.com/asha",
        "contact": "+91 98765 43210",
        "theme": "dark",
        "soundEnabled": True,
        "createdAt": "2026-01-05T09:30:00.000Z",
        "updatedAt": "2026-01-05T09:30:00.000Z",
    }

    id = fields.String(required=True)
    email = fields.String(required=True, allow_none=True)
    username = fields.String(required=True, allow_none=True)
    display_name = fields.String(required=True)
    photo_url = fields.String(required=True, allow_none=True, data_key="photoURL")
    role = Choice(Role, required=True)
    status = Choice(Status, required=True)
    approved = fields.Boolean(required=True)
    location = fields.String(required=True, allow_none=True)
    software = fields.String(required=True, allow_none=True)
    portfolio_link = fields.String(required=True, allow_none=True)
    contact = fields.String(required=True, allow_none=True)
    theme = Choice(Theme, required=True)
    sound_enabled = fields.Boolean(required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class UserBrief(Schema):
    """What members see of each other."""

    EXAMPLE = {"id": ID, "displayName": "Asha Verma", "photoURL": None, "role": "editor"}

    id = fields.String(required=True)
    display_name = fields.String(required=True)
    photo_url = fields.String(required=True, allow_none=True, data_key="photoURL")
    role = Choice(Role, required=True)


class PersonCard(Schema):
    """A person beside their work."""

    id = fields.String(required=True)
    display_name = fields.String(required=True)
    photo_url = fields.String(required=True, allow_none=True, data_key="photoURL")


class NameCard(Schema):
    """A person by name alone."""

    id = fields.String(required=True)
    display_name = fields.String(required=True)


class InviteOut(Schema):
    """A link by which somebody sets a password; shown once."""

    EXAMPLE = {
        "url": "https://app.example.com/set-password?token=Zk3v…",
        "expiresAt": "2026-01-12T09:30:00.000Z",
    }

    url = fields.String(required=True)
    expires_at = Moment(required=True)


class UserInvitedOut(UserOut):
    """A person, with the invite when one was made."""

    EXAMPLE = UserOut.EXAMPLE | {"invite": InviteOut.EXAMPLE}

    invite = fields.Nested(InviteOut)


class InviteAnswer(Schema):
    """Empty for a repeated request (`Idempotency-Key`): an invite is shown once."""

    EXAMPLE = {"invite": InviteOut.EXAMPLE}

    invite = fields.Nested(InviteOut)


class UserQuery(PageQuery):
    role = Choice(Role)
    status = Choice(Status)
    q = Text(200, optional=True, metadata={"description": "Beginnings of words"})


class UserIn(Creation):
    EXAMPLE = {"email": "asha@example.com", "displayName": "Asha Verma", "role": "editor"}

    email = Email()
    display_name = Text(100)
    username = Username(optional=True, load_default=None)
    role = Choice(Role, load_default=Role.EDITOR.value)
    password = Password(load_default=None, allow_none=True)


class UserEdit(Schema):
    """Only what is sent changes."""

    EXAMPLE = {"displayName": "Asha V.", "location": "Mumbai", "theme": "light"}

    username = Username(optional=True)
    display_name = Text(100, required=False)
    photo_url = Link(data_key="photoURL")
    location = Text(200, optional=True)
    software = Text(500, optional=True)
    portfolio_link = Link()
    contact = Text(200, optional=True)
    theme = Choice(Theme)
    sound_enabled = Strict()
    email = Email(required=False)
    password = Password()
    current_password = Secret()
    role = Choice(Role)
    status = Choice(Status, only=(Status.APPROVED, Status.REJECTED))


class RemovalIn(Schema):
    """Asked of those who remove themselves."""

    EXAMPLE = {"currentPassword": "correct horse battery"}

    current_password = Secret()
