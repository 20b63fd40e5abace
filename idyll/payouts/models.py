from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, ForeignKey, Index, String, true
from sqlalchemy.orm import Mapped, mapped_column

from ..clock import now
from ..columns import ID
from ..extensions import MYSQL, Model
from ..ids import uuid7
from ..permissions import Person, is_manager
from ..shapes import One
from ..users.models import User


class PayoutStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    PAID = "paid"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Payout(Model):
    """A paid row is frozen by triggers (see the migrations)."""

    __tablename__ = "payouts"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'approved', 'paid', 'rejected', 'cancelled')", name="status"),
        CheckConstraint("amount_minor > 0 AND amount_minor <= 1000000000", name="amount_minor"),
        Index(None, "editor_id", "id"),
        Index(None, "status", "id"),
        Index(None, "requested_at", "id"),
        Index(None, "task_id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    editor_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"))
    task_id: Mapped[str | None] = mapped_column(ID, ForeignKey("tasks.id"))
    # The task while this payout is live, else null: unique for live rows alone, also without partial indexes.
    live_task_id: Mapped[str | None] = mapped_column(ID, unique=True)
    project_name: Mapped[str] = mapped_column(String(200))
    edited_link: Mapped[str | None] = mapped_column(String(2048))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    payment_method: Mapped[str | None] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(16), default=PayoutStatus.PENDING)
    reason: Mapped[str | None] = mapped_column(String(1000))
    reference: Mapped[str | None] = mapped_column(String(200))
    note: Mapped[str | None] = mapped_column(String(2000))
    decided_by: Mapped[str | None] = mapped_column(ID, ForeignKey("users.id"))
    requested_at: Mapped[datetime] = mapped_column(default=now)
    decided_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def visible_to(cls, viewer: Person) -> ColumnElement[bool]:
        return true() if is_manager(viewer) else cls.editor_id == viewer.id

    @classmethod
    def editor(cls) -> One:
        return User.card(cls.editor_id)


class Payment(Model):
    """One row for each payout that was paid: the key makes a second payment impossible, whatever the code does.

    Its foreign key also keeps MySQL and MariaDB, which have no trigger for it, from truncating the payouts.
    """

    __tablename__ = "payments"
    __table_args__ = (MYSQL,)

    payout_id: Mapped[str] = mapped_column(ID, ForeignKey("payouts.id"), primary_key=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    reference: Mapped[str] = mapped_column(String(200))
    paid_by: Mapped[str | None] = mapped_column(ID)
    paid_at: Mapped[datetime] = mapped_column(default=now)
