from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, and_, exists, false, or_
from sqlalchemy.orm import Mapped, aliased, mapped_column

from ..clock import now
from ..columns import ID
from ..extensions import MYSQL, Model
from ..ids import uuid7
from ..permissions import Person, is_manager, is_member
from ..shapes import Many, One
from ..users.models import User


class Attendee(Model):
    __tablename__ = "meeting_attendees"
    __table_args__ = (Index(None, "user_id", "meeting_id"), MYSQL)

    meeting_id: Mapped[str] = mapped_column(ID, ForeignKey("meetings.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"), primary_key=True)


class Meeting(Model):
    """`local_date` and `local_time` are the wall clock in `timezone`, kept since not every database knows the zones."""

    __tablename__ = "meetings"
    __table_args__ = (Index(None, "starts_at", "id"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    timezone: Mapped[str] = mapped_column(String(64))
    local_date: Mapped[date]
    local_time: Mapped[str] = mapped_column(String(5))
    duration_minutes: Mapped[int]
    meeting_link: Mapped[str | None] = mapped_column(String(2048))
    all_team: Mapped[bool] = mapped_column(default=False)
    organizer_id: Mapped[str | None] = mapped_column(ID, ForeignKey("users.id"))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    cancelled_at: Mapped[datetime | None]

    @classmethod
    def attended_by(cls, user_id: str | None) -> ColumnElement[bool]:
        named = exists().where(Attendee.meeting_id == cls.id, Attendee.user_id == user_id)
        return or_(cls.all_team, named.correlate(cls))

    @classmethod
    def visible_to(cls, viewer: Person) -> ColumnElement[bool]:
        if is_manager(viewer):
            return cls.id.is_not(None)
        return cls.attended_by(viewer.id) if is_member(viewer) else false()

    @classmethod
    def attendees(cls) -> Many:
        """Ids; for All Team every member of the moment when it is read."""
        person: Any = aliased(User)
        named = exists().where(Attendee.meeting_id == cls.id, Attendee.user_id == person.id).correlate(cls, person)
        member = and_(person.status == "approved", person.removed_at.is_(None))
        return Many(person.id, or_(and_(cls.all_team, member), and_(cls.all_team.is_(False), named)))

    @classmethod
    def organizer(cls) -> One:
        return User.card(cls.organizer_id)
