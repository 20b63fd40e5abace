from collections import defaultdict
from enum import StrEnum
from typing import Any

from sqlalchemy import false, func, literal, select, true, union_all

from ..actor import Actor
from ..applications.models import Application, Decision
from ..clock import now
from ..database import execute
from ..ledger.models import Posting
from ..ledger.service import MOVE, MOVED, balances
from ..meetings.models import Meeting
from ..payouts.models import Payout, PayoutStatus
from ..permissions import is_manager
from ..tasks.models import Task, TaskStatus
from ..users.models import User
from ..users.roles import Role, Status
from ..users.service import check_sees_work_of


def summary(*, viewer: Actor, user_id: str | None = None) -> dict[str, Any]:
    """An editor's own numbers, or the agency's for managers, or one person's. Raises `Forbidden` and `NotFound`."""
    if user_id is None and not is_manager(viewer):
        user_id = viewer.id
    if user_id is not None:
        check_sees_work_of(user_id, viewer=viewer)
    found = _numbers(user_id)
    by_status = _counts(found["tasks"], TaskStatus)
    return {
        "users": {
            "total": sum(_counts(found["status"], Status).values()),
            "byRole": _counts(found["role"], Role),
            "byStatus": _counts(found["status"], Status),
        },
        "applications": {"byStatus": _counts(found["applications"], Decision)},
        "tasks": {"total": sum(by_status.values()), "byStatus": by_status, "overdue": _total(found["overdue"])},
        "meetings": {"upcoming": _total(found["upcoming"])},
        "payouts": {"byStatus": _payouts(found["payouts"], found["moves"])},
    }


def _numbers(user_id: str | None) -> dict[str, list[Any]]:
    """Rows of `word, currency, count, amount` by the part of the answer that they belong to, in one statement."""
    everybody = true() if user_id is None else false()
    tasks = [Task.deleted_at.is_(None), *([Task.assigned_to == user_id] if user_id else [])]
    meetings = [Meeting.cancelled_at.is_(None), Meeting.starts_at > now()]
    meetings += [Meeting.attended_by(user_id)] if user_id else []
    nothing = literal("")

    def part(name: str, model: Any, where: list[Any], word: Any = nothing, *more: Any) -> Any:
        currency, amount = more or (nothing, literal(0))
        columns = (literal(name).label("part"), word.label("word"), currency.label("currency"))
        counted = select(*columns, func.count().label("count"), amount.label("amount")).select_from(model).where(*where)
        return counted if word is nothing else counted.group_by(word, *more[:1])

    earned, posted = (of.editor_id == user_id if user_id else true() for of in (Payout, Posting))
    parts = union_all(
        part("role", User, [User.there(), everybody], User.role),
        part("status", User, [User.there(), everybody], User.status),
        part("applications", Application, [everybody], Application.status),
        part("tasks", Task, tasks, Task.status),
        part("overdue", Task, [*tasks, Task.overdue()]),
        part("upcoming", Meeting, meetings),
        part("payouts", Payout, [earned], Payout.status),
        part("moves", Posting, [posted], MOVE, Posting.currency, MOVED),
    )
    found = defaultdict[str, list[Any]](list)
    for row in execute(parts):
        found[row.part].append(row)
    return found


def _counts(rows: list[Any], words: type[StrEnum]) -> dict[str, int]:
    found = {row.word: row[3] for row in rows}
    return {word.value: found.get(word.value, 0) for word in words}


def _total(rows: list[Any]) -> int:
    return sum(row[3] for row in rows)


def _payouts(rows: list[Any], moves: list[Any]) -> dict[str, Any]:
    """How many there are, and what the books say that they are worth."""
    worth = balances((row.word, row.currency, row.amount) for row in moves)
    sums = {name: {code: minor / 100 for code, minor in worth[name].items() if minor} for name in PayoutStatus}
    return {
        name: {"count": count, "sums": sums[PayoutStatus(name)]} for name, count in _counts(rows, PayoutStatus).items()
    }
