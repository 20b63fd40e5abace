"""The running instances, each known by its heartbeat in the database, so that a second one without Redis is seen."""

from datetime import timedelta

from sqlalchemy import delete, func, insert, select, update

from ..clock import now
from ..database import execute
from ..transactions import transaction
from .models import Instance

TABLE = Instance.__table__
GONE_AFTER = timedelta(seconds=20)


def beat(key: str) -> None:
    """Says that this instance lives, and forgets those that do not."""
    moment = now()
    with transaction():
        if not execute(update(TABLE).where(TABLE.c.id == key).values(seen_at=moment)).rowcount:
            execute(insert(TABLE).values(id=key, seen_at=moment))
        execute(delete(TABLE).where(TABLE.c.seen_at < moment - timedelta(hours=1)))


def leave(key: str) -> None:
    with transaction():
        execute(delete(TABLE).where(TABLE.c.id == key))


def count() -> int:
    """How many live."""
    living = select(func.count()).select_from(Instance).where(Instance.seen_at > now() - GONE_AFTER)
    return int(execute(living).scalar_one())
