from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ..clock import now
from ..columns import ID, LONG_TEXT, SERIAL
from ..extensions import MYSQL, Model
from ..ids import uuid7
from ..shapes import One
from ..users.models import User


class AuditRow(Model):
    """Append-only: triggers refuse every change (see the migrations). No foreign keys, which could cascade into it."""

    __tablename__ = "audit"
    __table_args__ = (
        Index(None, "object_type", "id"),
        Index(None, "object_id", "id"),
        Index(None, "actor_id", "id"),
        Index(None, "at", "id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    at: Mapped[datetime] = mapped_column(default=now)
    actor_id: Mapped[str | None] = mapped_column(ID)
    action: Mapped[str] = mapped_column(String(40))
    object_type: Mapped[str] = mapped_column(String(20))
    object_id: Mapped[str] = mapped_column(ID)
    changes: Mapped[str] = mapped_column(LONG_TEXT)
    request_id: Mapped[str | None] = mapped_column(String(128))
    address: Mapped[str | None] = mapped_column(String(64))

    @classmethod
    def actor(cls) -> One:
        return User.card(cls.actor_id)


class AuditSeal(Model):
    """The place of an audit row in the chain; its digest covers the row and the digest before it (`chain.py`).

    Append-only by triggers. Its foreign key keeps MySQL and MariaDB from truncating the audit.
    """

    __tablename__ = "audit_seals"
    __table_args__ = (MYSQL,)

    position: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=False)
    audit_id: Mapped[str] = mapped_column(ID, ForeignKey("audit.id"), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
