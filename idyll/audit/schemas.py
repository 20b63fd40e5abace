from marshmallow import fields

from ..fields import Id, Moment, Schema, Since, Text, Until
from ..pagination import PageQuery
from ..users.schemas import NameCard


class AuditOut(Schema):
    """One change. Personal values never stand in `changes`: the field is named, its values are null."""

    EXAMPLE = {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c90",
        "at": "2026-01-05T09:30:00.000Z",
        "actor": {"id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c81", "displayName": "Om Rao"},
        "action": "task.updated",
        "objectType": "task",
        "objectId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82",
        "changes": {"approvalStatus": ["reviewing", "approved"]},
        "requestId": "b7c1",
        "address": "203.0.113.7",
    }

    id = fields.String(required=True)
    at = Moment(required=True)
    actor = fields.Nested(NameCard, required=True, allow_none=True)
    action = fields.String(required=True)
    object_type = fields.String(required=True)
    object_id = fields.String(required=True)
    changes = fields.Dict(keys=fields.String(), values=fields.List(fields.Raw(allow_none=True)), required=True)
    request_id = fields.String(required=True, allow_none=True)
    address = fields.String(required=True, allow_none=True)


class AuditQuery(PageQuery):
    object_type = Text(20, required=False)
    object_id = Id()
    actor_id = Id()
    from_ = Since(data_key="from", metadata={"description": "At or after: a time or a day"})
    to = Until(metadata={"description": "At or before: a time or a day"})
