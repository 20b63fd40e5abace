"""The running instances, each known by its heartbeat in the database, so that a second one without Redis is seen."""

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update

from ..clock import now
from ..database import execute
from ..transactions import transaction
from .models import Instance

GONE_AFTER = timedelta(seconds=20)


def beat(key: str) -> None:
    """Says that this instance lives, and forgets those that do not."""
    moment = now()
    with transaction() as session:
        found: Any = session.execute(update(Instance).where(Instance.id == key).values(seen_at=moment))
        if not found.rowcount:
            session.add(Instance(id=key, seen_at=moment))
        session.execute(delete(Instance).where(Instance.seen_at < moment - timedelta(hours=1)))


def leave(key: str) -> None:
    with transaction() as session:
        session.execute(delete(Instance).where(Instance.id == key))


def count() -> int:
    """How many live."""
    living = select(func.count()).select_from(Instance).where(Instance.seen_at > now() - GONE_AFTER)
    return int(execute(living).scalar_one())
