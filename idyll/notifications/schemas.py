from marshmallow import fields

from ..fields import Choice, Creation, Moment, Schema, Strict, Text
from ..pagination import PageQuery
from .models import Kind


class NotificationOut(Schema):
    EXAMPLE = {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6ca0",
        "type": "task",
        "title": "Task T042 is yours",
        "message": "Wedding film, four minutes",
        "urgent": True,
        "read": False,
        "readAt": None,
        "entityType": "task",
        "entityId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82",
        "createdAt": "2026-01-05T09:30:00.000Z",
    }

    id = fields.String(required=True)
    type = Choice(Kind, required=True)
    title = fields.String(required=True)
    message = fields.String(required=True)
    urgent = fields.Boolean(required=True)
    read = fields.Boolean(required=True)
    read_at = Moment(required=True, allow_none=True)
    entity_type = fields.String(required=True, allow_none=True)
    entity_id = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)


class NotificationQuery(PageQuery):
    unread = Strict(metadata={"in_query": True, "description": "true: only the unread; false: only the read"})


class BroadcastIn(Creation):
    EXAMPLE = {"title": "Studio closed on Friday", "message": "Back on Monday.", "to": "all", "urgent": False}

    title = Text(200)
    message = Text(2000, lines=True)
    type = Choice(Kind, load_default=Kind.INFO.value)
    urgent = Strict(load_default=False)
    to = Text(254, metadata={"description": "`all`, `managers`, `editors`, or a member's id"})


class BroadcastOut(Schema):
    EXAMPLE = {"recipients": 12}

    recipients = fields.Integer(required=True)
