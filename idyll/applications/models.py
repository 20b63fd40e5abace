from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, select
from sqlalchemy.orm import Mapped, aliased, mapped_column

from ..clock import now
from ..columns import ID
from ..extensions import MYSQL, Model
from ..ids import uuid7
from ..users.models import User


class Decision(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class Source(StrEnum):
    FORM = "form"
    REGISTRATION = "registration"


class Application(Model):
    """An e-mail here is only a claim: nobody proved it."""

    __tablename__ = "applications"
    __table_args__ = (Index(None, "status", "id"), Index(None, "email", "id"), Index(None, "user_id"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    full_name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(String(254))
    contact: Mapped[str | None] = mapped_column(String(200))
    location: Mapped[str | None] = mapped_column(String(200))
    software: Mapped[str | None] = mapped_column(String(500))
    role: Mapped[str | None] = mapped_column(String(200))
    portfolio_link: Mapped[str | None] = mapped_column(String(2048))
    message: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16), default="pending")
    source: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[str | None] = mapped_column(ID, ForeignKey("users.id"))
    decided_by: Mapped[str | None] = mapped_column(ID, ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(String(1000))
    status_digest: Mapped[str | None] = mapped_column(String(64), unique=True)
    search_text: Mapped[str] = mapped_column(String(1600), default="")
    applied_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def account_created_at(cls) -> Any:
        person = aliased(User)
        held = select(person.created_at).where(person.email == cls.email)
        return held.correlate_except(person).scalar_subquery()

    @classmethod
    def account_exists(cls) -> ColumnElement[bool]:
        person = aliased(User)
        return select(person.id).where(person.email == cls.email).correlate_except(person).exists()
