"""What time it is: for rows (UTC, milliseconds, as the API shows it) and for the agency (its own day)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from .scope import this_app

_pretended: ContextVar[datetime | None] = ContextVar("pretended", default=None)


def now() -> datetime:
    """Now, aware, in UTC, cut to milliseconds: what is stored is exactly what is answered."""
    return whole_milliseconds(_pretended.get() or datetime.now(UTC))


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Inside of the block it is `moment`: the demo agency lives through its weeks in a second."""
    token = _pretended.set(moment)
    try:
        yield
    finally:
        _pretended.reset(token)


def whole_milliseconds(moment: datetime) -> datetime:
    odd = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - odd) if odd else moment


def today() -> date:
    """The agency's calendar day (`AGENCY_TIMEZONE`), by which tasks become overdue."""
    return datetime.now(agency_zone()).date()


def agency_zone() -> ZoneInfo:
    return ZoneInfo(this_app().config["AGENCY_TIMEZONE"])


def midnight(day: date) -> datetime:
    """When a day of the agency begins, in UTC."""
    try:
        return datetime.combine(day, time.min, agency_zone()).astimezone(UTC)
    except OverflowError:  # the first day there is, east of UTC
        return datetime.min.replace(tzinfo=UTC)


def end_of(day: date) -> datetime:
    """The last millisecond of a day of the agency, in UTC."""
    try:
        return midnight(day + timedelta(days=1)) - timedelta(milliseconds=1)
    except OverflowError:  # the last day there is
        return whole_milliseconds(datetime.max.replace(tzinfo=UTC))
