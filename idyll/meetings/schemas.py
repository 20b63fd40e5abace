import re
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from ..fields import Creation, Day, Link, Moment, Schema, Since, Strict, Text, Until, Whole, Zone
from ..pagination import PageQuery
from ..users.schemas import NameCard

ALL_TEAM = "All Team"
MAX_ATTENDEES = 500
MAX_MINUTES = 7 * 24 * 60


class Clock(fields.String):
    """HH:MM of a day."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
            raise ValidationError("A time of day as HH:MM.")
        return text


class Attendees(fields.List[str]):
    """Ids, e-mails or usernames; "All Team" alone or among them means every member."""

    def __init__(self, **kwargs: Any) -> None:
        # The pattern is for texts: there is one that may stand for the list.
        metadata = {"type": ["array", "string"], "pattern": f"^ *{ALL_TEAM} *$"}
        metadata["description"] = 'Ids, e-mails or usernames; "All Team": everybody'
        super().__init__(Text(254), validate=validate.Length(max=MAX_ATTENDEES), metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and value.strip() == ALL_TEAM:
            value = [value]
        if isinstance(value, list) and len(value) > MAX_ATTENDEES:
            raise ValidationError(f"At most {MAX_ATTENDEES}.")
        return super()._deserialize(value, attr, data, **kwargs)


class MeetingOut(Schema):
    EXAMPLE = {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6ce0",
        "title": "Monday round",
        "description": None,
        "startsAt": "2026-01-12T04:30:00.000Z",
        "endsAt": "2026-01-12T05:30:00.000Z",
        "timezone": "Asia/Kolkata",
        "date": "2026-01-12",
        "time": "10:00",
        "durationMinutes": 60,
        "meetingLink": "https://meet.example.com/monday",
        "allTeam": True,
        "attendees": ["01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"],
        "organizer": {"id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c81", "displayName": "Om Rao"},
        "version": 1,
        "createdAt": "2026-01-05T09:30:00.000Z",
        "updatedAt": "2026-01-05T09:30:00.000Z",
        "cancelledAt": None,
    }

    id = fields.String(required=True)
    title = fields.String(required=True)
    description = fields.String(required=True, allow_none=True)
    starts_at = Moment(required=True)
    ends_at = Moment(required=True)
    timezone = fields.String(required=True)
    date = fields.Date(required=True, attribute="local_date")
    time = fields.String(required=True, attribute="local_time")
    duration_minutes = fields.Integer(required=True)
    meeting_link = fields.String(required=True, allow_none=True)
    all_team = fields.Boolean(required=True)
    attendees = fields.List(fields.String(), required=True)
    organizer = fields.Nested(NameCard, required=True, allow_none=True)
    version = fields.Integer(required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
    cancelled_at = Moment(required=True, allow_none=True)


class MeetingEdit(Schema):
    """Only what is sent changes. A new date, time or zone keeps the rest of the wall clock."""

    EXAMPLE = {"date": "2026-01-13", "time": "11:00"}

    title = Text(200, required=False)
    description = Text(5000, optional=True, lines=True)
    starts_at = Moment()
    date = Day()
    time = Clock(metadata={"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"})
    timezone = Zone()
    duration_minutes = Whole(1, MAX_MINUTES)
    meeting_link = Link()
    attendees = Attendees()

    @validates_schema
    def one_beginning(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("starts_at") and (data.get("date") or data.get("time")):
            raise ValidationError({"startsAt": ["Send either startsAt, or date and time."]})


class MeetingIn(Creation, MeetingEdit):
    EXAMPLE = {
        "title": "Monday round",
        "date": "2026-01-12",
        "time": "10:00",
        "durationMinutes": 60,
        "attendees": "All Team",
        "meetingLink": "https://meet.example.com/monday",
    }

    title = Text(200)

    @validates_schema
    def some_beginning(self, data: dict[str, Any], **_: Any) -> None:
        missing = [name for name in ("date", "time") if not data.get(name)]
        if not data.get("starts_at") and missing:
            name = "startsAt" if len(missing) == 2 else missing[0]  # noqa: PLR2004 - both
            raise ValidationError({name: ["Send startsAt, or date and time."]})


class MeetingQuery(PageQuery):
    from_ = Since(data_key="from", metadata={"description": "Begins at or after: a time or a day"})
    to = Until(metadata={"description": "Begins at or before: a time or a day"})
    cancelled = Strict(metadata={"in_query": True, "description": "true: with the cancelled ones"})
