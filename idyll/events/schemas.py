from marshmallow import fields

from ..fields import Schema, Whole


class EventQuery(Schema):
    since = fields.String(metadata={"description": "`lastEventId` of the answer before; without it no events"})
    limit = Whole(1, 500, load_default=100, metadata={"in_query": True})


class EventOut(Schema):
    event_id = fields.String(required=True)
    event = fields.String(required=True)
    data = fields.Dict(keys=fields.String(), required=True, metadata={"description": "The event's payload"})


class EventsOut(Schema):
    """What the caller missed and may still see, in order; or `resync` when `since` is too old to tell."""

    EXAMPLE = {
        "events": [
            {
                "eventId": "e41-9b0d2e4f",
                "event": "task_deleted",
                "data": {"taskId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82", "eventId": "e41-9b0d2e4f"},
            }
        ],
        "lastEventId": "e41-9b0d2e4f",
        "more": False,
    }

    events = fields.List(fields.Nested(EventOut))
    last_event_id = fields.String(required=True)
    more = fields.Boolean()
    resync = fields.Boolean()
