"""Every event that the server sends: what it carries, and to whom. `record` takes no other name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import fields

from ..applications.models import Decision
from ..applications.schemas import ApplicationOut
from ..chat.schemas import MessageOut
from ..fields import Choice, Schema, camelcase
from ..meetings.schemas import MeetingOut
from ..notifications.schemas import NotificationOut
from ..payouts.models import PayoutStatus
from ..payouts.schemas import PayoutOut
from ..tasks.schemas import TaskOut
from ..users.schemas import NameCard, UserBrief, UserOut

EVENT_ID = "e41-9b0d2e4f"
IN_THE_ROOM = "those who joined the room"
THAT_EDITOR = "that editor, managers"
ATTENDEES = "attendees, managers"
ASSIGNEE = "assignee, managers"


def one(schema: type[Schema]) -> fields.Nested:
    return fields.Nested(schema, required=True)


def updates_of(schema: type[Schema]) -> fields.Nested:
    """What has changed of an answer: some of its fields."""
    return fields.Nested(schema(partial=True), required=True, metadata={"description": "The changed fields only"})


def text() -> fields.String:
    return fields.String(required=True)


def some(schema: type[Schema], *names: str) -> dict[str, Any]:
    return {name: schema.EXAMPLE[name] for name in names}


@dataclass(frozen=True)
class ServerEvent:
    """One name with its payload: `members` beside those of `base`."""

    name: str
    members: Mapping[str, fields.Field[Any]]
    example: dict[str, Any]
    to: str
    says: str
    base: type[Schema] = Schema
    kept: bool = True
    payload: type[Schema] = field(init=False)

    def __post_init__(self) -> None:
        sent = {**self.members, "event_id": text()} if self.kept else dict(self.members)
        made: Any = self.base.from_dict(sent, name=camelcase(f"_{self.name}_event"))
        made.EXAMPLE = self.example | ({"eventId": EVENT_ID} if self.kept else {})
        object.__setattr__(self, "payload", made)


CATALOGUE = {
    event.name: event
    for event in (
        # -- chat
        ServerEvent(
            "new_message",
            {},
            MessageOut.EXAMPLE,
            to=IN_THE_ROOM,
            says="Somebody wrote in a room.",
            base=MessageOut,
        ),
        ServerEvent(
            "message_updated",
            {"message": one(MessageOut)},
            {"message": MessageOut.EXAMPLE | {"editedAt": "2026-01-05T09:31:00.000Z"}},
            to=IN_THE_ROOM,
            says="A message was edited.",
        ),
        ServerEvent(
            "message_deleted",
            {"message_id": text(), "room": text()},
            {"messageId": MessageOut.EXAMPLE["id"], "room": "team"},
            to=IN_THE_ROOM,
            says="A message was deleted: its place stays, its text is gone.",
        ),
        ServerEvent(
            "typing",
            {"room": text(), "user": one(NameCard), "typing": fields.Boolean(required=True)},
            {"room": "team", "user": some(UserOut, "id", "displayName"), "typing": True},
            to="the others in the room",
            says="Somebody writes, or has stopped.",
            kept=False,
        ),
        ServerEvent(
            "user_joined",
            {"user": one(UserBrief), "room": text()},
            {"user": UserBrief.EXAMPLE, "room": "team"},
            to=IN_THE_ROOM,
            says="Somebody is in the room now: once a person, however many tabs they have.",
            kept=False,
        ),
        ServerEvent(
            "user_left",
            {"user": one(UserBrief), "room": text()},
            {"user": UserBrief.EXAMPLE, "room": "team"},
            to=IN_THE_ROOM,
            says="Somebody's last tab has left the room, some two seconds ago.",
            kept=False,
        ),
        # -- tasks
        ServerEvent(
            "task_created",
            {"task": one(TaskOut)},
            {"task": TaskOut.EXAMPLE},
            to=ASSIGNEE,
            says="A task is new, or has come into your sight because it was given to you.",
        ),
        ServerEvent(
            "task_updated",
            {"task_id": text(), "updates": updates_of(TaskOut)},
            {"taskId": TaskOut.EXAMPLE["id"], "updates": some(TaskOut, "status", "version", "updatedAt")},
            to=ASSIGNEE,
            says="A task was changed. Who loses it is told one last time, with `assignedTo` alone.",
        ),
        ServerEvent(
            "task_deleted",
            {"task_id": text()},
            {"taskId": TaskOut.EXAMPLE["id"]},
            to=ASSIGNEE,
            says="A task is gone.",
        ),
        # -- payouts
        ServerEvent(
            "payout_created",
            {"payout": one(PayoutOut)},
            {"payout": PayoutOut.EXAMPLE},
            to=THAT_EDITOR,
            says="Money was asked for.",
        ),
        ServerEvent(
            "payout_updated",
            {"payout_id": text(), "status": Choice(PayoutStatus, required=True), "updates": updates_of(PayoutOut)},
            {
                "payoutId": PayoutOut.EXAMPLE["id"],
                "status": "pending",
                "updates": some(PayoutOut, "amount", "version", "updatedAt"),
            },
            to=THAT_EDITOR,
            says="A payout was changed, decided on, paid or taken back.",
        ),
        # -- meetings
        ServerEvent(
            "meeting_created",
            {"meeting": one(MeetingOut)},
            {"meeting": MeetingOut.EXAMPLE},
            to=ATTENDEES,
            says="A meeting is new, or has come into your sight because you were added to it.",
        ),
        ServerEvent(
            "meeting_updated",
            {"meeting_id": text(), "updates": updates_of(MeetingOut)},
            {
                "meetingId": MeetingOut.EXAMPLE["id"],
                "updates": some(MeetingOut, "startsAt", "endsAt", "time", "version", "updatedAt"),
            },
            to=ATTENDEES,
            says="A meeting was changed. Who is no longer invited is told one last time, with `attendees` alone.",
        ),
        ServerEvent(
            "meeting_deleted",
            {"meeting_id": text()},
            {"meetingId": MeetingOut.EXAMPLE["id"]},
            to=ATTENDEES,
            says="A meeting was cancelled.",
        ),
        # -- people
        ServerEvent(
            "application_created",
            {"application": one(ApplicationOut)},
            {"application": ApplicationOut.EXAMPLE},
            to="managers",
            says="Somebody applied.",
        ),
        ServerEvent(
            "application_updated",
            {"application_id": text(), "status": Choice(Decision, required=True)},
            {"applicationId": ApplicationOut.EXAMPLE["id"], "status": "approved"},
            to="managers",
            says="An application was decided on.",
        ),
        ServerEvent(
            "application_deleted",
            {"application_id": text()},
            {"applicationId": ApplicationOut.EXAMPLE["id"]},
            to="managers",
            says="An application is gone.",
        ),
        ServerEvent(
            "user_created",
            {"user": one(UserOut)},
            {"user": UserOut.EXAMPLE},
            to="managers",
            says="Somebody was made a member.",
        ),
        ServerEvent(
            "user_updated",
            {"user_id": text(), "updates": updates_of(UserOut)},
            {"userId": UserOut.EXAMPLE["id"], "updates": some(UserOut, "role", "updatedAt")},
            to="that user, managers",
            says="Somebody's profile, role or status was changed: new rights hold at once.",
        ),
        ServerEvent(
            "user_removed",
            {"user_id": text()},
            {"userId": UserOut.EXAMPLE["id"]},
            to="managers",
            says="Somebody was removed.",
        ),
        ServerEvent(
            "new_notification",
            {"notification": one(NotificationOut)},
            {"notification": NotificationOut.EXAMPLE},
            to="that user only",
            says="You were notified; a recent notification of the same thing comes again with its new text.",
        ),
        # -- the connection
        ServerEvent(
            "token_expired",
            {},
            {},
            to="that socket",
            says="The access token has ended and the connection closes: refresh it and connect again.",
            kept=False,
        ),
    )
}
