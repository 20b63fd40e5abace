from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Date,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    and_,
    bindparam,
)
from sqlalchemy.orm import Mapped, mapped_column, validates

from ..clock import now, today
from ..columns import ID
from ..extensions import MYSQL, Model
from ..ids import uuid7
from ..permissions import Person, is_manager
from ..shapes import One
from ..users.models import User


class TaskStatus(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BLOCKED = "blocked"


class Priority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Approval(StrEnum):
    REVIEWING = "reviewing"
    NEED_CHANGES = "need-changes"
    APPROVED = "approved"


RANK = {Priority.LOW: 1, Priority.MEDIUM: 2, Priority.HIGH: 3}


class Task(Model):
    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'in-progress', 'completed', 'blocked')", name="status"),
        CheckConstraint("priority IN ('low', 'medium', 'high')", name="priority"),
        CheckConstraint("approval_status IN ('reviewing', 'need-changes', 'approved')", name="approval_status"),
        Index(None, "assigned_to", "id"),
        Index(None, "status", "id"),
        Index(None, "approval_status", "id"),
        Index(None, "priority_rank", "id"),
        Index(None, "deadline", "id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    task_number: Mapped[str] = mapped_column(String(16), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16), default=TaskStatus.PENDING)
    blocked_reason: Mapped[str | None] = mapped_column(String(1000))
    priority: Mapped[str] = mapped_column(String(8), default=Priority.MEDIUM)
    # Sorts as people mean it; in words, high comes before low and medium last.
    priority_rank: Mapped[int] = mapped_column(SmallInteger, default=RANK[Priority.MEDIUM])
    deadline: Mapped[date]
    raw_file_link: Mapped[str | None] = mapped_column(String(2048))
    edited_file_link: Mapped[str | None] = mapped_column(String(2048))
    approval_status: Mapped[str] = mapped_column(String(16), default=Approval.REVIEWING)
    assigned_to: Mapped[str | None] = mapped_column(ID, ForeignKey("users.id"))
    created_by: Mapped[str | None] = mapped_column(ID, ForeignKey("users.id"))
    version: Mapped[int] = mapped_column(default=1)
    search_text: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    completed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    @validates("priority")
    def _rank(self, _: str, priority: str) -> str:
        self.priority_rank = RANK[Priority(priority)]
        return priority

    @classmethod
    def visible_to(cls, viewer: Person) -> ColumnElement[bool]:
        """Managers see all, editors their own; a deleted task nobody."""
        there = cls.deleted_at.is_(None)
        return there if is_manager(viewer) else and_(there, cls.assigned_to == viewer.id)

    @classmethod
    def overdue(cls) -> ColumnElement[bool]:
        """The deadline is before today (of the agency), and the task isn't completed."""
        # Asked when the statement runs: the statement itself is made once.
        return and_(
            cls.deadline < bindparam("today", callable_=today, type_=Date()), cls.status != TaskStatus.COMPLETED
        )

    @classmethod
    def assignee(cls) -> One:
        return User.card(cls.assigned_to)


def number(n: int) -> str:
    """T001 … T999, T1000 …"""
    return f"T{n:03d}"
