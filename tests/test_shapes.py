"""Every shape: the JSON that the database encodes is what marshmallow's `dump` says of the same row."""

import importlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rows import AWKWARD, fill
from sqlalchemy import select

from idyll.actor import Actor
from idyll.applications.models import Application
from idyll.audit.models import AuditRow
from idyll.auth.models import Session
from idyll.auth.schemas import SessionOut
from idyll.auth.service import sessions
from idyll.chat.models import Message
from idyll.chat.schemas import MessageOut, RoomOut
from idyll.chat.service import rooms
from idyll.extensions import db
from idyll.fields import Schema
from idyll.ids import uuid7
from idyll.meetings.models import Attendee, Meeting
from idyll.notifications.models import Notification
from idyll.payouts.models import Payout
from idyll.shapes import Shape, changed, joined, parsed
from idyll.tasks.models import Task
from idyll.users.models import User
from idyll.users.roles import Role, Status

pytestmark = pytest.mark.database
SERVICES = sorted(path.parent.name for path in Path(__file__).parent.parent.glob("idyll/*/service.py"))
SHAPES = {
    f"{shape.schema.__name__} of {shape.model.__name__}": shape
    for name in SERVICES
    for shape in vars(importlib.import_module(f"idyll.{name}.service")).values()
    if isinstance(shape, Shape)
}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_filling = pytest.mark.parametrize("optional", [True, False], ids=["everything filled", "optional fields null"])
TODAY = datetime.now(ZoneInfo("Asia/Kolkata")).date()
UNSHAPED = {
    "TokensOut": "made in Python around a UserOut",
    "InviteOut": "made in Python: its token is never stored",
    "BroadcastOut": "a count",
    "StatsOut": "counts",
    "EventsOut": "made in Python around payloads",
    "EventOut": "a payload, which was shaped when it was recorded",
    "SessionOut": "says which one is the caller's own: tested below",
    "RoomOut": "is no row of a table: tested below",
    "TwoStepOut": "a flag and a count",
    "TwoStepSecretOut": "made in Python: it is stored encrypted",
    "RecoveryCodesOut": "made in Python: only their hashes are stored",
}


def person(key: str | None) -> User | None:
    return db.session.get(User, key) if key else None


# What an answer says beside its row's columns, in Python's words.
DERIVED: dict[Any, dict[str, Callable[[Any], Any]]] = {
    User: {"approved": lambda user: user.status == "approved"},
    Task: {
        "overdue": lambda task: task.deadline < TODAY and task.status != "completed",
        "assignee": lambda task: person(task.assigned_to),
    },
    Payout: {"editor": lambda payout: person(payout.editor_id)},
    Meeting: {
        "organizer": lambda meeting: person(meeting.organizer_id),
        "attendees": lambda meeting: (
            list(db.session.scalars(select(User.id).where(User.status == "approved")))
            if meeting.all_team
            else list(db.session.scalars(select(Attendee.user_id).where(Attendee.meeting_id == meeting.id)))
        ),
    },
    Message: {
        "sender": lambda message: getattr(person(message.sender_id), "display_name", None),
        "sender_role": lambda message: getattr(person(message.sender_id), "role", None),
    },
    Notification: {"read": lambda notification: notification.read_at is not None},
    AuditRow: {
        "actor": lambda row: person(row.actor_id),
        "changes": lambda row: json.loads(row.changes),
    },
    Application: {
        "account_exists": lambda a: _account_of(a) is not None,
        "account_created_at": lambda a: getattr(_account_of(a), "created_at", None),
    },
}


def _account_of(application: Application) -> User | None:
    if application.email is None:
        return None
    return db.session.scalars(select(User).where(User.email == application.email)).one_or_none()


def dumped(schema: Any, row: Any) -> Any:
    """What marshmallow says of a row."""
    told = {column.key: getattr(row, column.key) for column in type(row).__mapper__.column_attrs}
    told |= {name: derive(row) for name, derive in DERIVED.get(type(row), {}).items()}
    return schema().dump(SimpleNamespace(**told))


def exactly(answer: Any) -> str:
    """As text: names in their order; 1 is not true. 1500 and 1500.0 are one JSON number."""
    if isinstance(answer, dict) and isinstance(answer.get("attendees"), list):
        answer = {**answer, "attendees": sorted(answer["attendees"])}
    return json.dumps(json.loads(json.dumps(answer), parse_int=float), ensure_ascii=False)


@pytest.fixture
def filled(app) -> Callable[..., None]:
    def make(optional: bool, **changes: dict[str, Any]) -> None:
        with db.engine.begin() as connection:
            fill(connection, optional=optional, **changes)

    with app.app_context():
        yield make
        db.session.rollback()


@each_shape
@each_filling
def test_the_database_encodes_what_dump_says(filled, shape, optional):
    filled(optional)
    [row] = db.session.scalars(select(shape.model)).all()
    body = shape.of(row.id)
    assert exactly(parsed(body)) == exactly(dumped(shape.schema, row))
    if optional:
        assert json.dumps(parsed(body), ensure_ascii=False).count("🎬") >= 1, "the awkward text is in it"
    else:
        assert None in parsed(body).values() or shape.schema.__name__ == "PersonCard"


CASES = {
    "a short amount": ("payouts", {"amount_minor": 1}),
    "an amount that binary can't hold": ("payouts", {"amount_minor": 110}),
    "the greatest odd amount": ("payouts", {"amount_minor": 999_999_999}),
    "a task overdue": ("tasks", {"deadline": TODAY - timedelta(days=1)}),
    "a late task that is completed": ("tasks", {"deadline": date(2020, 1, 1), "status": "completed"}),
    "a far day": ("tasks", {"deadline": date(9999, 12, 31)}),
    "an early day": ("tasks", {"deadline": date(1, 1, 1)}),
    "a task of nobody": ("tasks", {"assigned_to": None}),
    "a meeting of the chosen": ("meetings", {"all_team": False}),
    "somebody who waits": ("users", {"status": "pending", "sound_enabled": False}),
    "a deleted message": ("messages", {"message": None}),
    "a text like JSON": ("messages", {"message": '{"a": [1, null], "b": "\\u0041"}'}),
    "a text like a number": ("messages", {"message": "17"}),
    "a text like a literal": ("messages", {"message": "null"}),
    "a backslash at the end": ("messages", {"message": "C:\\films\\"}),
    "control characters that may stand": ("tasks", {"description": "a\tb\r\nc\n"}),
    "a long text": ("tasks", {"description": AWKWARD * 150}),
    "an empty name": ("users", {"display_name": ""}),
    "no changes": ("audit", {"changes": "{}"}),
    "nested changes": ("audit", {"changes": '{"sums":[{"INR":1.5},null],"ü\\n":[[],{}]}'}),
    "somebody else's application": ("applications", {"email": "other@example.com"}),
}


@pytest.mark.parametrize(("table", "changes"), CASES.values(), ids=CASES)
def test_the_database_encodes_awkward_values_as_dump_does(filled, table, changes):
    filled(True, **{table: changes})
    shapes = [shape for shape in SHAPES.values() if shape.model.__table__.name == table]
    assert shapes
    for shape in shapes:
        [row] = db.session.scalars(select(shape.model)).all()
        assert all(getattr(row, name) == value for name, value in changes.items())
        assert exactly(parsed(shape.of(row.id))) == exactly(dumped(shape.schema, row))


def test_a_session_tells_whether_it_is_the_callers_own(filled):
    filled(True, sessions={"ended_at": None, "expires_at": datetime(2999, 1, 1, tzinfo=UTC)})
    [row] = db.session.scalars(select(Session)).all()
    for own in (row.id, uuid7()):
        viewer = Actor(row.user_id, Role.EDITOR, Status.APPROVED, session_id=own)
        [(body, _)] = sessions(viewer=viewer).rows(10, None)
        told = {column.key: getattr(row, column.key) for column in Session.__mapper__.column_attrs}
        assert exactly(parsed(body)) == exactly(SessionOut().dump(told | {"current": own == row.id}))


@pytest.mark.parametrize("text", [AWKWARD, None], ids=["a message", "a deleted message"])
def test_a_room_shows_its_last_message_as_the_message_shows_itself(filled, text):
    filled(True, messages={"message": text, "deleted_at": None})
    [row] = db.session.scalars(select(Message)).all()
    viewer = Actor(uuid7(), Role.EDITOR, Status.APPROVED)
    [(body, *_)] = rooms(viewer=viewer).rows(10, None)
    last = dumped(MessageOut, row)
    assert exactly(parsed(body)["lastMessage"]) == exactly(last)
    told = {"room": "team", "title": "Team", "unread": 1, "last_message": None}
    assert exactly(parsed(body) | {"lastMessage": None}) == exactly(RoomOut().dump(told))


def test_every_answer_with_rows_of_a_table_has_a_shape(app):
    """A schema that some route answers with is shaped from a row, wraps one that is, or is named above."""
    shaped = {shape.schema for shape in SHAPES.values()}
    answered = {c for c in _subclasses(Schema) if c.__name__.endswith("Out") and c.__module__.startswith("idyll.")}
    derived = {schema for schema in answered if shaped & set(schema.__mro__)}
    assert {schema.__name__ for schema in answered - derived} == set(UNSHAPED)


def _subclasses(of: type) -> set[type]:
    return {deeper for one in of.__subclasses__() for deeper in {one, *_subclasses(one)}}


def test_an_encoded_object_takes_more_members():
    assert joined('{"a":1}', invite={"url": "x"}, n=None) == '{"a":1,"invite":{"url":"x"},"n":null}'
    assert changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == {"b": 3, "c": 4}
