from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, Index, String, Text, cast, false, literal, or_, select
from sqlalchemy.orm import Mapped, aliased, mapped_column

from ..clock import now
from ..columns import ID, SERIAL
from ..extensions import MYSQL, Model
from ..ids import uuid7
from ..permissions import Person, is_manager, is_member
from ..users.models import User
from .rooms import EDITOR, MANAGEMENT, TEAM


class MessageType(StrEnum):
    USER = "user"
    SYSTEM = "system"


class Message(Model):
    """Ordered by the database's own count: clocks of several processes differ."""

    __tablename__ = "messages"
    __table_args__ = (
        Index(None, "id", unique=True),
        Index(None, "room", "seq"),
        Index(None, "sender_id", "client_id", unique=True),
        MYSQL,
    )

    seq: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    id: Mapped[str] = mapped_column(ID, default=uuid7)
    room: Mapped[str] = mapped_column(String(48))
    # Null when deleted: the text is gone, the row stays.
    message: Mapped[str | None] = mapped_column(Text)
    sender_id: Mapped[str | None] = mapped_column(ID, ForeignKey("users.id"))
    type: Mapped[str] = mapped_column(String(8), default=MessageType.USER)
    client_id: Mapped[str | None] = mapped_column(String(64))
    timestamp: Mapped[datetime] = mapped_column(default=now)
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    @classmethod
    def visible_to(cls, viewer: Person) -> ColumnElement[bool]:
        """What stands in the rooms that somebody may enter."""
        if is_manager(viewer):
            return or_(cls.room.in_((TEAM, MANAGEMENT)), cls.room.startswith(EDITOR))
        own = literal(EDITOR).concat(cast(viewer.id, String(36)))
        return cls.room.in_((TEAM, own)) if is_member(viewer) else false()

    @classmethod
    def sender(cls) -> Any:
        return cls._of_sender("display_name")

    @classmethod
    def sender_role(cls) -> Any:
        return cls._of_sender("role")

    @classmethod
    def _of_sender(cls, column: str) -> Any:
        person: Any = aliased(User)
        found = select(getattr(person, column)).where(person.id == cls.sender_id)
        return found.correlate_except(person).scalar_subquery()


class ReadMark(Model):
    """How far somebody has read in a room; it only moves on."""

    __tablename__ = "chat_read_marks"
    __table_args__ = (MYSQL,)

    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"), primary_key=True)
    room: Mapped[str] = mapped_column(String(48), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(default=now)
