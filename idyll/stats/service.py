from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, false, func, select, true

from ..actor import Actor
from ..applications.models import Application, Decision
from ..clock import now
from ..database import execute
from ..errors import Forbidden, NotFound
from ..meetings.models import Meeting
from ..payouts.models import Payout, PayoutStatus
from ..permissions import can_see_work_of, is_manager
from ..tasks.models import Task, TaskStatus
from ..users.models import User
from ..users.roles import Role, Status
from ..users.service import known


def summary(*, viewer: Actor, user_id: str | None = None) -> dict[str, Any]:
    """An editor's own numbers, or the agency's for managers, or one person's. Raises `Forbidden` and `NotFound`."""
    if user_id is None and not is_manager(viewer):
        user_id = viewer.id
    if user_id is not None:
        if not can_see_work_of(viewer, user_id):
            raise Forbidden
        if user_id != viewer.id and not known(user_id):
            raise NotFound
    everybody: ColumnElement[bool] = true() if user_id is None else false()
    return {
        "users": {
            "total": sum(_counts(User.status, Status, User.there(), everybody).values()),
            "byRole": _counts(User.role, Role, User.there(), everybody),
            "byStatus": _counts(User.status, Status, User.there(), everybody),
        },
        "applications": {"byStatus": _counts(Application.status, Decision, everybody)},
        "tasks": _tasks(user_id),
        "meetings": {"upcoming": _upcoming(user_id)},
        "payouts": {"byStatus": _payouts(user_id)},
    }


def _counts(column: Any, words: type[StrEnum], *where: ColumnElement[bool]) -> dict[str, int]:
    rows: Any = execute(select(column, func.count()).where(*where).group_by(column)).all()
    found: dict[str, int] = dict(rows)
    return {word.value: found.get(word.value, 0) for word in words}


def _tasks(user_id: str | None) -> dict[str, Any]:
    where = [Task.deleted_at.is_(None), *([Task.assigned_to == user_id] if user_id else [])]
    by_status = _counts(Task.status, TaskStatus, *where)
    overdue = execute(select(func.count()).select_from(Task).where(*where, Task.overdue())).scalar_one()
    return {"total": sum(by_status.values()), "byStatus": by_status, "overdue": overdue}


def _upcoming(user_id: str | None) -> int:
    where = [Meeting.cancelled_at.is_(None), Meeting.starts_at > now()]
    if user_id:
        where.append(Meeting.attended_by(user_id))
    return int(execute(select(func.count()).select_from(Meeting).where(*where)).scalar_one())


def _payouts(user_id: str | None) -> dict[str, Any]:
    grouped = select(Payout.status, Payout.currency, func.count(), func.sum(Payout.amount_minor))
    rows: Any = execute(
        grouped.where(Payout.editor_id == user_id if user_id else true()).group_by(Payout.status, Payout.currency)
    )
    shown: dict[str, Any] = {status.value: {"count": 0, "sums": {}} for status in PayoutStatus}
    for status, currency, count, amount in rows:
        shown[status]["count"] += count
        shown[status]["sums"][currency] = int(amount) / 100
    return shown
