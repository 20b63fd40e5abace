from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, delete, insert, or_, select

from ..actor import Actor
from ..audit.service import difference, note
from ..clock import now
from ..database import execute
from ..errors import Conflict, Invalid
from ..events.service import forget
from ..fields import folded
from ..notifications.models import Kind
from ..notifications.service import News, managers, tell
from ..pagination import Listing, asked_often
from ..scope import this_app
from ..shapes import Shape, changed, parsed, shown
from ..transactions import record
from ..users.models import User
from .models import Attendee, Meeting
from .schemas import ALL_TEAM, MeetingOut

meetings = Shape(MeetingOut, Meeting)
show, lock = meetings.show, meetings.lock

EVERYBODY = ["members"]
ATTENDEES = Attendee.__table__
SEATS = insert(ATTENDEES)


@asked_often("from_", "to", by_form=("cancelled",))
def listing(*, viewer: Actor, cancelled: bool = False, **filters: Any) -> Listing:
    where = [Meeting.visible_to(viewer)]
    if not cancelled:
        where.append(Meeting.cancelled_at.is_(None))
    if "from_" in filters:
        where.append(Meeting.starts_at >= filters["from_"])
    if "to" in filters:
        where.append(Meeting.starts_at <= filters["to"])
    return Listing(meetings.body, (Meeting.starts_at, Meeting.id), where, descending=False)


def schedule(fields: dict[str, Any], *, by: Actor) -> str:
    fields = {"duration_minutes": 60, "timezone": this_app().config["AGENCY_TIMEZONE"], "attendees": [], **fields}
    moment = now()
    people, all_team = _people(fields.pop("attendees"))
    meeting = Meeting(organizer_id=by.id, all_team=all_team, created_at=moment, updated_at=moment)
    _apply(meeting, fields)
    meetings.insert(meeting)
    _seat(meeting, people)
    body = meetings.of(meeting.id)
    made = parsed(body)
    given = {name: [None, made[name]] for name in ("title", "startsAt", "durationMinutes", "allTeam", "attendees")}
    note("meeting.scheduled", "meeting", meeting.id, given, by=by)
    audience = ["managers", *_rooms(all_team, people)]
    record("meeting_created", {"meeting": made}, about="meeting", of=meeting.id, audience=audience)
    _tell(meeting, made["attendees"], "Meeting scheduled")
    return body


def edit(meeting: Meeting, changes: dict[str, Any], *, by: Actor) -> str:
    if meeting.cancelled_at is not None:
        raise Conflict("The meeting was cancelled.", code="meeting_cancelled", current="cancelled")
    changes = dict(changes)
    before = shown(meeting)
    if "attendees" in changes:
        people, meeting.all_team = _people(changes.pop("attendees"))
        _seat(meeting, people)
    _apply(meeting, changes)
    meetings.save(meeting)
    body = meetings.of(meeting.id)
    if parsed(body) == before:
        return body
    meeting.version += 1
    meeting.updated_at = now()
    body = meetings.save(meeting)
    after = parsed(body)
    note("meeting.updated", "meeting", meeting.id, difference(before, after), by=by)
    _announce(meeting, before, after)
    _tell(meeting, after["attendees"], "Meeting changed")
    return body


def cancel(meeting: Meeting, *, by: Actor) -> None:
    """The row stays, out of the list. A second time changes nothing."""
    if meeting.cancelled_at is not None:
        return
    attendees = shown(meeting)["attendees"]
    meeting.cancelled_at = meeting.updated_at = now()
    meeting.version += 1
    meetings.save(meeting)
    note("meeting.cancelled", "meeting", meeting.id, by=by)
    forget("meeting", meeting.id)
    audience = ["managers", *_rooms(meeting.all_team, attendees)]
    record("meeting_deleted", {"meetingId": meeting.id}, about="parting", of=meeting.id, audience=audience)
    _tell(meeting, attendees, "Meeting cancelled")


def drop_attendee(user_id: str, *, by: Actor) -> None:
    """Takes somebody who goes out of their meetings."""
    theirs = select(Attendee.meeting_id).where(Attendee.user_id == user_id)
    # Those that they called are only waited for: whoever changes one now tells others who called it.
    called = and_(Meeting.organizer_id == user_id, Meeting.cancelled_at.is_(None))
    locked = meetings.lock_all(or_(Meeting.id.in_(theirs), called))
    attended = set(execute(theirs).scalars())
    for meeting in [meeting for meeting in locked if meeting.id in attended]:
        before = shown(meeting)
        one = (Attendee.meeting_id == meeting.id, Attendee.user_id == user_id)
        execute(delete(ATTENDEES).where(*one))
        meeting.version += 1
        meeting.updated_at = now()
        after = parsed(meetings.save(meeting))
        note("meeting.updated", "meeting", meeting.id, difference(before, after), by=by)
        if meeting.cancelled_at is None:
            _announce(meeting, before, after)


# -- rules -----------------------------------------------------------------------------------------------------------


def _apply(meeting: Meeting, fields: dict[str, Any]) -> None:
    wall_clock = (meeting.local_date, meeting.local_time, meeting.timezone)
    for name in fields.keys() & {"title", "description", "meeting_link", "duration_minutes", "timezone"}:
        setattr(meeting, name, fields[name])
    zone = ZoneInfo(meeting.timezone)
    try:
        if "starts_at" in fields:
            meeting.starts_at = fields["starts_at"].replace(microsecond=fields["starts_at"].microsecond // 1000 * 1000)
        elif fields.keys() & {"date", "time", "timezone"}:
            day = fields.get("date") or meeting.local_date
            clock = fields.get("time") or meeting.local_time
            # The same again moves nothing: in the hour that comes twice it would not say which of the two.
            if (day, clock, meeting.timezone) != wall_clock:
                meeting.starts_at = datetime.combine(day, time.fromisoformat(clock), zone).astimezone(UTC)
        local = meeting.starts_at.astimezone(zone)
        meeting.ends_at = meeting.starts_at + timedelta(minutes=meeting.duration_minutes)
    except OverflowError:
        raise Invalid(errors={"date" if "date" in fields else "startsAt": ["Out of range."]}) from None
    meeting.local_date, meeting.local_time = local.date(), local.strftime("%H:%M")


def _people(references: list[str]) -> tuple[list[str], bool]:
    """The members whom ids, e-mails or usernames name, and whether all are meant. Raises `Invalid`."""
    wanted = [reference for reference in references if reference != ALL_TEAM]
    named = select(User.id, User.email, User.username_key).where(User.named(wanted), User.approved(), User.there())
    # Locked for reading: nobody removes them before they are seated.
    found = execute(named.order_by(User.id).with_for_update(read=True)).all() if wanted else []
    keys = {key for row in found for key in row if key}
    unknown = [reference for reference in wanted if folded(reference) not in keys]
    if unknown:
        raise Invalid(errors={"attendees": [f"There is no member {reference!r}." for reference in unknown[:10]]})
    if len(wanted) < len(references):
        return [], True
    return [row.id for row in found], False


def _seat(meeting: Meeting, people: list[str]) -> None:
    execute(delete(ATTENDEES).where(Attendee.meeting_id == meeting.id))
    if people:
        execute(SEATS, [{"meeting_id": meeting.id, "user_id": person} for person in people])


# -- who is told ---------------------------------------------------------------------------------------------------


def _rooms(all_team: bool, people: list[str]) -> list[str]:
    return EVERYBODY if all_team else [f"user:{person}" for person in people]


def _announce(meeting: Meeting, before: dict[str, Any], after: dict[str, Any]) -> None:
    data = {"meetingId": meeting.id, "updates": changed(before, after)}
    # Managers see every meeting: for them none comes into sight or drops out of it.
    always = set(managers())
    was, now_in = always.union(before["attendees"]), always.union(after["attendees"])
    stayed = EVERYBODY if before["allTeam"] and after["allTeam"] else _rooms(False, sorted(was & now_in))
    record("meeting_updated", data, about="meeting", of=meeting.id, audience=["managers", *stayed])
    if came := _rooms(False, sorted(now_in - was)):
        record("meeting_created", {"meeting": after}, about="meeting", of=meeting.id, audience=came)
    if went := _rooms(False, sorted(was - now_in)):
        parting = {"meetingId": meeting.id, "updates": {"attendees": after["attendees"]}}
        record("meeting_updated", parting, about="parting", of=meeting.id, audience=went)


def _tell(meeting: Meeting, people: list[str], title: str) -> None:
    when = f"{meeting.local_date:%d %b %Y} {meeting.local_time} ({meeting.timezone})"
    news = News(Kind.MEETING, title, f"{meeting.title}: {when}", "meeting", meeting.id)
    tell(people, news)
