from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ..clock import now
from ..columns import ID
from ..extensions import MYSQL, Model
from ..ids import uuid7


class Session(Model):
    """One log-in on one device: a family of refresh tokens, and every access token that names it."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id", "id"), Index(None, "expires_at"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"))
    device: Mapped[str | None] = mapped_column(String(200))
    address: Mapped[str | None] = mapped_column(String(64))
    network: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    proved_at: Mapped[datetime | None]  # when it last showed a code of two-step log-in


class RefreshToken(Model):
    """A hash of each token ever given: a used one that comes again betrays a thief."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index(None, "session_id"), MYSQL)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(ID, ForeignKey("sessions.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    used_at: Mapped[datetime | None]


class PasswordToken(Model):
    """A link to set a password: an invite or a reset; single use, stored as a hash."""

    __tablename__ = "password_tokens"
    __table_args__ = (Index(None, "user_id"), MYSQL)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class LoginAttempt(Model):
    """One look at a password or a code. It failed, unless a session has its id."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index(None, "account", "at"), Index(None, "network", "at"), Index(None, "at"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    # The person's id, or a keyed hash of a name that is nobody's: never what was typed.
    account: Mapped[str] = mapped_column(String(64))
    network: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default=now)


class TwoStepSecret(Model):
    """What somebody's authenticator app shares with us, encrypted; it counts once `users.two_step_at` is set."""

    __tablename__ = "two_step_secrets"
    __table_args__ = (MYSQL,)

    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"), primary_key=True)
    secret: Mapped[str] = mapped_column(String(255))
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class RecoveryCode(Model):
    """For who lost their authenticator: single use, stored as a hash."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index(None, "user_id"), MYSQL)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"))
    used_at: Mapped[datetime | None]
