from marshmallow import fields

from ..fields import Choice, Email, Link, Moment, Schema, Text
from ..pagination import PageQuery
from ..users.schemas import InviteOut
from .models import Decision, Source


class ApplicationIn(Schema):
    EXAMPLE = {
        "fullName": "Ravi Nair",
        "email": "ravi@example.com",
        "role": "Colourist",
        "software": "DaVinci Resolve",
        "portfolioLink": "https://example.com/ravi",
        "message": "Three years of wedding films.",
    }

    full_name = Text(100)
    email = Email()
    contact = Text(200, optional=True)
    location = Text(200, optional=True)
    software = Text(500, optional=True)
    role = Text(200, optional=True, metadata={"description": "What they do, in their own words"})
    portfolio_link = Link()
    message = Text(5000, optional=True, lines=True)


class ApplicationFiled(Schema):
    """What the applicant gets: what was sent, and nothing of what the agency knows."""

    EXAMPLE = ApplicationIn.EXAMPLE | {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6cc0",
        "contact": None,
        "location": None,
        "status": "pending",
        "source": "form",
        "appliedAt": "2026-01-05T09:30:00.000Z",
    }

    id = fields.String(required=True)
    full_name = fields.String(required=True)
    email = fields.String(required=True, allow_none=True)
    contact = fields.String(required=True, allow_none=True)
    location = fields.String(required=True, allow_none=True)
    software = fields.String(required=True, allow_none=True)
    role = fields.String(required=True, allow_none=True)
    portfolio_link = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    status = Choice(Decision, required=True)
    source = Choice(Source, required=True)
    applied_at = Moment(required=True)


class ApplicationFiledOut(ApplicationFiled):
    EXAMPLE = ApplicationFiled.EXAMPLE | {"statusToken": "h7Qm…"}

    status_token = fields.String(metadata={"description": "Shown once: not in the answer to a repeated request"})


class ApplicationOut(ApplicationFiled):
    """Everything, for managers: also whether and since when an account has this e-mail."""

    EXAMPLE = ApplicationFiled.EXAMPLE | {
        "userId": None,
        "accountExists": False,
        "accountCreatedAt": None,
        "decidedBy": None,
        "decidedAt": None,
        "reason": None,
    }

    user_id = fields.String(required=True, allow_none=True)
    account_exists = fields.Boolean(required=True)
    account_created_at = Moment(required=True, allow_none=True)
    decided_by = fields.String(required=True, allow_none=True)
    decided_at = Moment(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)


class ApplicationDecidedOut(ApplicationOut):
    EXAMPLE = ApplicationOut.EXAMPLE | {"status": "approved", "invite": InviteOut.EXAMPLE}

    invite = fields.Nested(InviteOut)


class ApplicationStatusOut(Schema):
    EXAMPLE = {"status": "pending", "appliedAt": "2026-01-05T09:30:00.000Z", "decidedAt": None, "reason": None}

    status = Choice(Decision, required=True)
    applied_at = Moment(required=True)
    decided_at = Moment(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)


class ApplicationQuery(PageQuery):
    status = Choice(Decision)
    q = Text(200, optional=True, metadata={"description": "Beginnings of words of name or e-mail"})


class RejectIn(Schema):
    EXAMPLE = {"reason": "Too few films yet."}

    reason = Text(1000, optional=True, lines=True, load_default=None)
