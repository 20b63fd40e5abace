"""A page of rows that stand far down their list, as what was due on days of long ago does; for PostgreSQL.

It believes that what fits is spread over the whole list, and would walk to it past everything newer.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, true

NEAR = 20_000  # rows that a list walks before it looks day by day
FEW_DAYS = 10  # at these it looks at once


def newest_of_days(
    key: Any, day: Any, where: list[ColumnElement[bool]], beyond: list[ColumnElement[bool]], wanted: int
) -> Select[Any]:
    """The keys of a page, newest first: `where` narrows the list by its `day` alone, `beyond` is where the page begins.

    The newest of each day are taken, by the index of days and keys. Where the days are many that is done only when
    a walk of `NEAR` rows did not find enough.
    """
    # Day after day, each by one look at the index: there is no skip scan for that.
    days = select(func.min(day).label("day")).where(*where).cte("days", recursive=True)
    later = select(func.min(day)).where(*where, day > days.c.day).scalar_subquery()
    days = days.union_all(select(later).where(days.c.day.is_not(None)))
    some = select(days.c.day).limit(FEW_DAYS + 1).subquery()
    many = select(func.count()).select_from(some).scalar_subquery() > FEW_DAYS

    walked = select(key.label("key"), and_(*where).label("fits")).where(many, *beyond)
    nearest = walked.order_by(key.desc()).limit(NEAR).subquery()
    near = select(nearest.c.key).where(nearest.c.fits).order_by(nearest.c.key.desc()).limit(wanted).cte("near")
    enough = select(func.count()).select_from(near).scalar_subquery() >= wanted

    newest = select(key.label("key")).where(*where, *beyond, day == days.c.day)
    of_day = newest.order_by(key.desc()).limit(wanted).lateral("of_day")
    far = select(of_day.c.key).select_from(days.join(of_day, true())).where(~enough)
    both = select(near.c.key).union(far).subquery()
    return select(both.c.key).order_by(both.c.key.desc()).limit(wanted)
