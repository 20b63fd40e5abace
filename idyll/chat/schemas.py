from typing import Any

from marshmallow import ValidationError, fields

from ..fields import Choice, Creation, Id, Moment, Schema, Strict, Text
from ..pagination import PageQuery
from ..users.roles import Role
from ..users.schemas import UserBrief
from .models import MessageType
from .rooms import TEAM, is_room


class RoomName(fields.String):
    """`team`, `management` or `editor:<userId>`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not is_room(text):
            raise ValidationError("team, management, or editor:<userId>.")
        return text


class MessageOut(Schema):
    EXAMPLE = {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6cf0",
        "room": "team",
        "message": "The colour grade looks good.",
        "sender": "Asha Verma",
        "senderId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80",
        "senderRole": "editor",
        "type": "user",
        "clientId": "c-17",
        "timestamp": "2026-01-05T09:30:00.000Z",
        "editedAt": None,
        "deletedAt": None,
        "seq": 1042,
    }

    id = fields.String(required=True)
    room = fields.String(required=True)
    message = fields.String(required=True, allow_none=True, metadata={"description": "null when deleted"})
    sender = fields.String(required=True, allow_none=True)
    sender_id = fields.String(required=True, allow_none=True)
    sender_role = Choice(Role, required=True, allow_none=True)
    type = Choice(MessageType, required=True)
    client_id = fields.String(required=True, allow_none=True)
    timestamp = Moment(required=True)
    edited_at = Moment(required=True, allow_none=True)
    deleted_at = Moment(required=True, allow_none=True)
    seq = fields.Integer(
        required=True,
        metadata={
            "description": "Grows in the order of the history; live, two that were written at once may come in another"
        },
    )


class MessageIn(Creation):
    EXAMPLE = {"message": "The colour grade looks good.", "room": "team", "clientId": "c-17"}

    message = Text(4000, lines=True)
    room = RoomName(load_default=TEAM)
    client_id = Text(64, optional=True, metadata={"description": "The same from the same sender is stored once"})


class MessageEdit(Schema):
    EXAMPLE = {"message": "The colour grade looks very good."}

    message = Text(4000, lines=True)


class MessageQuery(PageQuery):
    room = RoomName(load_default=TEAM)
    before = Id(metadata={"description": "Only messages before this one"})
    after = Id(metadata={"description": "Only messages after this one"})


class RoomOut(Schema):
    EXAMPLE = {"room": "team", "title": "Team", "unread": 2, "lastMessage": MessageOut.EXAMPLE}

    room = fields.String(required=True)
    title = fields.String(required=True)
    unread = fields.Integer(required=True)
    last_message = fields.Nested(MessageOut, required=True, allow_none=True)


class ReadIn(Schema):
    EXAMPLE = {"messageId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6cf0"}

    message_id = Id(required=True)


# -- over the socket -------------------------------------------------------------------------------------------------


class JoinRoom(Creation):
    EXAMPLE = {"userId": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80", "role": "editor", "room": "team"}

    user_id = fields.String(load_default=None, metadata={"description": "When sent, the signed-in person's"})
    role = fields.String(load_default=None, metadata={"description": "When sent, the signed-in person's now"})
    room = RoomName(load_default=TEAM)


class RoomJoined(Schema):
    EXAMPLE = {"room": "team", "members": [UserBrief.EXAMPLE], "lastEventId": "e41-1a2b3c4d"}

    room = fields.String(required=True)
    members = fields.List(fields.Nested(UserBrief), required=True, metadata={"description": "Those present now"})
    last_event_id = fields.String(required=True)


class LeaveRoom(Creation):
    EXAMPLE = {"room": "team"}

    room = RoomName(load_default=TEAM)


class RoomLeft(Schema):
    EXAMPLE = {"room": "team"}

    room = fields.String(required=True)


class MessageSend(MessageIn):
    EXAMPLE = {**MessageIn.EXAMPLE, "sender": "Asha Verma"}

    sender = fields.Raw(load_default=None, metadata={"description": "Ignored: the sender is the token's user"})


class Typing(Creation):
    EXAMPLE = {"room": "team", "typing": True}

    room = RoomName(load_default=TEAM)
    typing = Strict(required=True)


class TypingTold(Schema):
    EXAMPLE = {"room": "team", "typing": True}

    room = fields.String(required=True)
    typing = fields.Boolean(required=True)
