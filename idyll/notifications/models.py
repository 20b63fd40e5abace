from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ..clock import now
from ..columns import ID
from ..extensions import MYSQL, Model
from ..ids import uuid7


class Kind(StrEnum):
    TASK = "task"
    MEETING = "meeting"
    PAYOUT = "payout"
    USER = "user"
    INFO = "info"


class Notification(Model):
    __tablename__ = "notifications"
    __table_args__ = (
        Index(None, "user_id", "id"),
        Index(None, "user_id", "read_at", "id"),
        Index(None, "entity_id", "user_id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"))
    type: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(200))
    message: Mapped[str] = mapped_column(String(2000))
    urgent: Mapped[bool] = mapped_column(default=False)
    read_at: Mapped[datetime | None]
    entity_type: Mapped[str | None] = mapped_column(String(20))
    entity_id: Mapped[str | None] = mapped_column(ID)
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def read(cls) -> ColumnElement[bool]:
        return cls.read_at.is_not(None)
