from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ColumnElement, Index, String, and_, false, or_
from sqlalchemy.orm import Mapped, aliased, mapped_column

from ..clock import now
from ..columns import ID
from ..extensions import MYSQL, Model
from ..fields import folded
from ..ids import is_id, uuid7
from ..permissions import Person, is_manager, is_member
from ..search import searchable
from ..shapes import One
from .roles import MANAGERS, Role, Status, Theme

FORMER_MEMBER = "Former member"


class User(Model):
    """A person. Removed people keep their row, for what they wrote and earned, without anything personal."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('editor', 'moderator', 'owner')", name="role"),
        CheckConstraint("status IN ('pending', 'approved', 'rejected')", name="status"),
        Index(None, "role", "id"),
        Index(None, "status", "id"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    email: Mapped[str | None] = mapped_column(String(254), unique=True)
    username: Mapped[str | None] = mapped_column(String(32))
    username_key: Mapped[str | None] = mapped_column(String(32), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    display_name: Mapped[str] = mapped_column(String(100))
    photo_url: Mapped[str | None] = mapped_column(String(2048))
    role: Mapped[str] = mapped_column(String(16), default=Role.EDITOR)
    status: Mapped[str] = mapped_column(String(16), default=Status.PENDING)
    location: Mapped[str | None] = mapped_column(String(200))
    software: Mapped[str | None] = mapped_column(String(500))
    portfolio_link: Mapped[str | None] = mapped_column(String(2048))
    contact: Mapped[str | None] = mapped_column(String(200))
    theme: Mapped[str] = mapped_column(String(8), default=Theme.DARK)
    sound_enabled: Mapped[bool] = mapped_column(default=True)
    # Since when a log-in needs a code; here and not beside its secret, so that whoever locks the row knows.
    two_step_at: Mapped[datetime | None]
    search_name: Mapped[str] = mapped_column(String(400), default="")
    search_text: Mapped[str] = mapped_column(String(1600), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    removed_at: Mapped[datetime | None]

    @classmethod
    def approved(cls) -> ColumnElement[bool]:
        return cls.status == Status.APPROVED

    @classmethod
    def there(cls) -> ColumnElement[bool]:
        """Not removed."""
        return cls.removed_at.is_(None)

    @classmethod
    def managing(cls) -> ColumnElement[bool]:
        """Those who are told what managers are told."""
        return and_(cls.role.in_(MANAGERS), cls.status == Status.APPROVED, cls.there())

    @classmethod
    def visible_to(cls, viewer: Person) -> ColumnElement[bool]:
        """Managers see all, members see members, everybody sees themselves."""
        if is_manager(viewer):
            return cls.there()
        if is_member(viewer):
            return and_(cls.there(), or_(cls.status == Status.APPROVED, cls.id == viewer.id))
        return and_(cls.there(), cls.id == viewer.id) if viewer.id is not None else false()

    @classmethod
    def card(cls, key: Any) -> One:
        """The person whom a foreign key names, as others show them; a removed one by its standing name."""
        person: Any = aliased(cls)
        return One(person, person.id == key)

    @classmethod
    def named(cls, references: Iterable[str]) -> ColumnElement[bool]:
        """Those whom ids, e-mails or usernames name."""
        keys = [folded(reference) for reference in references]
        ids = [key for key in keys if is_id(key)]
        return or_(cls.id.in_(ids), cls.email.in_(keys), cls.username_key.in_(keys))

    def index_words(self) -> None:
        """Keeps the search columns true; call it after a change of name, username or e-mail."""
        self.search_name = searchable(self.display_name)[:400]
        self.search_text = searchable(self.display_name, self.username, self.email)[:1600]
