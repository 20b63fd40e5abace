from marshmallow import fields, validate

from ..fields import Choice, Creation, Day, Id, Link, Moment, Schema, Strict, Text
from ..pagination import PageQuery
from ..users.schemas import PersonCard
from .models import Approval, Priority, TaskStatus

SORTS = ("-createdAt", "deadline", "-deadline", "priority")


class TaskOut(Schema):
    EXAMPLE = {
        "id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82",
        "taskNumber": "T042",
        "name": "Wedding film, four minutes",
        "description": "Keep the speeches.",
        "status": "in-progress",
        "blockedReason": None,
        "priority": "high",
        "deadline": "2026-02-01",
        "overdue": False,
        "rawFileLink": "https://drive.example.com/raw/42",
        "editedFileLink": None,
        "approvalStatus": "reviewing",
        "assignedTo": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80",
        "assignee": {"id": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80", "displayName": "Asha Verma", "photoURL": None},
        "createdBy": "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c81",
        "version": 3,
        "createdAt": "2026-01-05T09:30:00.000Z",
        "updatedAt": "2026-01-06T11:00:00.000Z",
        "completedAt": None,
    }

    id = fields.String(required=True)
    task_number = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True, allow_none=True)
    status = Choice(TaskStatus, required=True)
    blocked_reason = fields.String(required=True, allow_none=True)
    priority = Choice(Priority, required=True)
    deadline = fields.Date(required=True)
    overdue = fields.Boolean(required=True)
    raw_file_link = fields.String(required=True, allow_none=True)
    edited_file_link = fields.String(required=True, allow_none=True)
    approval_status = Choice(Approval, required=True)
    assigned_to = fields.String(required=True, allow_none=True)
    assignee = fields.Nested(PersonCard, required=True, allow_none=True)
    created_by = fields.String(required=True, allow_none=True)
    version = fields.Integer(required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
    completed_at = Moment(required=True, allow_none=True)


class TaskEdit(Schema):
    """Only what is sent changes. The assigned editor may send `status`, `blockedReason` and `editedFileLink`."""

    EXAMPLE = {"status": "completed", "editedFileLink": "https://drive.example.com/edited/42"}

    name = Text(200, required=False)
    description = Text(10_000, optional=True, lines=True)
    status = Choice(TaskStatus)
    blocked_reason = Text(1000, optional=True, lines=True)
    priority = Choice(Priority)
    deadline = Day()
    raw_file_link = Link()
    edited_file_link = Link()
    approval_status = Choice(Approval)
    assigned_to = Text(254, optional=True, metadata={"description": "A member's id, e-mail or username, or null"})


class TaskIn(Creation, TaskEdit):
    EXAMPLE = {
        "name": "Wedding film, four minutes",
        "deadline": "2026-02-01",
        "priority": "high",
        "rawFileLink": "https://drive.example.com/raw/42",
        "assignedTo": "asha",
    }

    name = Text(200)
    deadline = Day(required=True)


class TaskQuery(PageQuery):
    status = Choice(TaskStatus)
    priority = Choice(Priority)
    approval_status = Choice(Approval)
    assigned_to = Id()
    overdue = Strict(metadata={"in_query": True})
    deadline_from = Day()
    deadline_to = Day()
    q = Text(200, optional=True, metadata={"description": "Beginnings of words of name, number and description"})
    sort = fields.String(validate=validate.OneOf(SORTS), load_default=SORTS[0])
