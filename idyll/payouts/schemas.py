from marshmallow import fields

from ..fields import Choice, Creation, Id, Link, Moment, Schema, Since, Text, Until
from ..money import Amount, Currency
from ..pagination import PageQuery
from ..users.schemas import NameCard
from .models import PayoutStatus

DECISIONS = (PayoutStatus.APPROVED, PayoutStatus.PAID, PayoutStatus.REJECTED)


class PayoutOut(Schema):
    EXAMPLE = {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6cd0",
        "editorId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80",
        "editor": {"id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80", "displayName": "Asha Verma"},
        "taskId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82",
        "projectName": "Wedding film",
        "editedLink": "https://drive.example.com/edited/42",
        "amount": 1500.5,
        "currency": "INR",
        "paymentMethod": "UPI",
        "status": "pending",
        "reason": None,
        "reference": None,
        "note": None,
        "decidedBy": None,
        "requestedAt": "2026-01-08T09:30:00.000Z",
        "decidedAt": None,
        "paidAt": None,
        "version": 1,
        "updatedAt": "2026-01-08T09:30:00.000Z",
    }

    id = fields.String(required=True)
    editor_id = fields.String(required=True)
    editor = fields.Nested(NameCard, required=True, allow_none=True)
    task_id = fields.String(required=True, allow_none=True)
    project_name = fields.String(required=True)
    edited_link = fields.String(required=True, allow_none=True)
    amount = Amount(required=True, attribute="amount_minor")
    currency = fields.String(required=True)
    payment_method = fields.String(required=True, allow_none=True)
    status = Choice(PayoutStatus, required=True)
    reason = fields.String(required=True, allow_none=True)
    reference = fields.String(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)
    decided_by = fields.String(required=True, allow_none=True)
    requested_at = Moment(required=True)
    decided_at = Moment(required=True, allow_none=True)
    paid_at = Moment(required=True, allow_none=True)
    version = fields.Integer(required=True)
    updated_at = Moment(required=True)


class PayoutIn(Creation):
    EXAMPLE = {
        "projectName": "Wedding film",
        "amount": 1500.5,
        "paymentMethod": "UPI",
        "editedLink": "https://drive.example.com/edited/42",
        "taskId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82",
    }

    project_name = Text(200)
    amount = Amount(required=True, attribute="amount_minor")
    currency = Currency(metadata={"description": "`DEFAULT_CURRENCY` when left out"})
    edited_link = Link()
    payment_method = Text(100, optional=True)
    task_id = Id(allow_none=True)
    note = Text(2000, optional=True, lines=True)
    editor_id = Id(metadata={"description": "Managers: for whom; oneself when left out"})


class PayoutEdit(Schema):
    """The editor changes what was asked for, while it is pending; managers decide."""

    EXAMPLE = {"status": "paid", "reference": "UTR 4711"}

    project_name = Text(200, required=False)
    amount = Amount(attribute="amount_minor")
    currency = Currency()
    edited_link = Link()
    payment_method = Text(100, optional=True)
    task_id = Id(allow_none=True)
    note = Text(2000, optional=True, lines=True)
    status = Choice(PayoutStatus, only=DECISIONS)
    reason = Text(1000, optional=True, lines=True, metadata={"description": "Needed to reject"})
    reference = Text(200, optional=True, metadata={"description": "Needed to pay"})


class PayoutQuery(PageQuery):
    status = Choice(PayoutStatus)
    editor_id = Id()
    from_ = Since(data_key="from", metadata={"description": "Requested at or after: a time or a day"})
    to = Until(metadata={"description": "Requested at or before: a time or a day"})
