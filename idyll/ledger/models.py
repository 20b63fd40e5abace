"""The books: what every payout was worth, at every step of its way."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ..clock import now
from ..columns import ID, SERIAL
from ..extensions import MYSQL, Model


class Account(StrEnum):
    """Where money can stand: with who asks for it, or at a payout's status, whose names the others have."""

    ASKED = "asked"
    PENDING = "pending"
    APPROVED = "approved"  # payable
    PAID = "paid"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Posting(Model):
    """An amount taken from one account and put into another: both sides in one row, so the books always balance.

    Append-only: triggers refuse every change (see the migrations). Its foreign keys keep MySQL and MariaDB, which have
    no trigger for it, from truncating payouts and payments.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_minor"),
        CheckConstraint(
            "(taken_from = 'asked' AND put_into = 'pending')"
            " OR (taken_from = 'pending' AND put_into IN ('asked', 'approved', 'rejected', 'cancelled'))"
            " OR (taken_from = 'approved' AND put_into IN ('paid', 'rejected'))",
            name="legal_move",
        ),
        CheckConstraint("payment_id IS NULL OR put_into = 'paid'", name="payment_id"),
        CheckConstraint(
            "by_id IS NULL OR by_id <> editor_id OR put_into NOT IN ('approved', 'paid', 'rejected')",
            name="not_ones_own",
        ),
        Index(None, "editor_id"),
        MYSQL,
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    payout_id: Mapped[str] = mapped_column(ID, ForeignKey("payouts.id"))
    payment_id: Mapped[str | None] = mapped_column(ID, ForeignKey("payments.payout_id"))
    editor_id: Mapped[str] = mapped_column(ID)
    by_id: Mapped[str | None] = mapped_column(ID)
    taken_from: Mapped[str] = mapped_column(String(16))
    put_into: Mapped[str] = mapped_column(String(16))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    at: Mapped[datetime] = mapped_column(default=now)


class Anchor(Model):
    """Has no rows: that its foreign keys refer to them keeps MySQL and MariaDB from truncating these tables."""

    __tablename__ = "anchors"
    __table_args__ = (MYSQL,)

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    ledger_id: Mapped[int | None] = mapped_column(SERIAL, ForeignKey("ledger.id"))
    seal_position: Mapped[int | None] = mapped_column(SERIAL, ForeignKey("audit_seals.position"))
