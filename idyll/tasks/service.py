"""The rules of an edit job: who may change what, what follows from it, and who is told."""

from typing import Any

from sqlalchemy import not_

from ..actor import Actor
from ..audit.service import difference, note
from ..clock import now
from ..counters import TASK_NUMBER, take
from ..errors import Conflict, Forbidden, Invalid
from ..events.service import forget
from ..fields import camelcase
from ..notifications.models import Kind
from ..notifications.service import News, managers, tell
from ..pagination import Listing, asked_often, chosen
from ..payouts import service as payouts
from ..permissions import can_hand_in, is_manager
from ..search import matches, searchable
from ..shapes import Shape, changed, is_changed, parsed, shown
from ..transactions import record
from ..users.service import check_sees_work_of, find_member
from .models import Approval, Task, TaskStatus, number
from .schemas import TaskOut

EDITORS_FIELDS = frozenset(("status", "blocked_reason", "edited_file_link"))
BY_DAY = frozenset(("deadline_from", "deadline_to"))

tasks = Shape(TaskOut, Task)
show, lock = tasks.show, tasks.lock


@asked_often(
    "status",
    "approval_status",
    "assigned_to",
    "priority",
    "of",
    "deadline_from",
    "deadline_to",
    by_form=("sort", "overdue"),
)
def listing(*, viewer: Actor, sort: str, **filters: Any) -> Listing:
    columns = {
        "of": Task.assigned_to,
        "status": Task.status,
        "approval_status": Task.approval_status,
        "assigned_to": Task.assigned_to,
        "priority": Task.priority,
    }
    where = [Task.visible_to(viewer), *chosen(filters, **columns)]
    if "overdue" in filters:
        where.append(Task.overdue() if filters["overdue"] else not_(Task.overdue()))
    if "deadline_from" in filters:
        where.append(Task.deadline >= filters["deadline_from"])
    if "deadline_to" in filters:
        where.append(Task.deadline <= filters["deadline_to"])
    if filters.get("q"):
        where.append(matches(Task.search_text, filters["q"]))
    keys = {"priority": (Task.priority_rank, Task.id), "-createdAt": (Task.id,)}
    chosen_by_day = sort == "-createdAt" and filters.keys() <= BY_DAY and is_manager(viewer) and bool(filters)
    return Listing(
        tasks.body,
        keys.get(sort, (Task.deadline, Task.id)),
        where,
        descending=sort != "deadline",
        by_day=Task.deadline if chosen_by_day else None,
    )


def listing_of(user_id: str, *, viewer: Actor, **filters: Any) -> Listing:
    """Somebody's tasks. Raises `Forbidden` for another editor, `NotFound` for an unknown id."""
    check_sees_work_of(user_id, viewer=viewer)
    return listing(viewer=viewer, of=user_id, **filters)


def create(fields: dict[str, Any], *, by: Actor) -> str:
    fields = {"assigned_to": None, **fields}
    fields["assigned_to"] = _member(fields["assigned_to"])
    moment = now()
    task = Task(created_by=by.id, created_at=moment, updated_at=moment, status=TaskStatus.PENDING)
    task.approval_status = Approval.REVIEWING
    _apply(task, fields)
    # Last of all: where there are no sequences, others wait for the counter until this transaction ends.
    task.task_number = number(take(TASK_NUMBER))
    task.search_text = _words(task)
    body = tasks.insert(task)
    made = parsed(body)
    sent = {camelcase(name) for name in fields}
    given = {name: [None, value] for name, value in made.items() if name in sent}
    note("task.created", "task", task.id, given, by=by)
    record("task_created", {"task": made}, about="task", of=task.id, audience=_audience(task))
    tell([task.assigned_to], _news(task, f"Task {task.task_number} is yours", urgent=True), first=True)
    return body


def edit(task: Task, changes: dict[str, Any], *, by: Actor) -> str:
    """Applies what was sent, with what follows. Raises `Forbidden`, `Conflict` and `Invalid` as the contract says."""
    _check_rights(task, changes, by=by)
    changes = dict(changes)
    # A form sends back what it read, which may name somebody who left.
    if "assigned_to" in changes and changes["assigned_to"] != task.assigned_to:
        changes["assigned_to"] = _member(changes["assigned_to"])
    if not is_manager(by):
        _hand_in(task, changes)
    return _change(task, changes, by=by)


def _change(task: Task, changes: dict[str, Any], *, by: Actor) -> str:
    before = shown(task)
    _apply(task, changes)
    if not is_changed(task):
        return tasks.save(task)
    task.search_text = _words(task)
    task.version += 1
    task.updated_at = now()
    body = tasks.save(task)
    after = parsed(body)
    note("task.updated", "task", task.id, difference(before, after), by=by)
    _tell_of_edit(task, before, after, by=by)
    return body


def remove(task: Task, *, by: Actor) -> None:
    """Hides the task for ever, and cancels a payout that still waits for it."""
    task.deleted_at = task.updated_at = now()
    task.version += 1
    tasks.save(task)
    payouts.cancel_for_task(task.id, by=by)
    note("task.deleted", "task", task.id, by=by)
    forget("task", task.id)
    record("task_deleted", {"taskId": task.id}, about="parting", of=task.id, audience=_audience(task))


def unassign_all_of(user_id: str, *, by: Actor) -> None:
    """Hands back the open tasks of somebody who goes; completed ones stay theirs."""
    mine = (Task.assigned_to == user_id, Task.status != TaskStatus.COMPLETED, Task.deleted_at.is_(None))
    for task in tasks.lock_all(*mine):
        _change(task, {"assigned_to": None}, by=by)


# -- rules -----------------------------------------------------------------------------------------------------------


def _check_rights(task: Task, changes: dict[str, Any], *, by: Actor) -> None:
    if is_manager(by):
        return
    if not can_hand_in(by, task):
        raise Forbidden
    if foreign := changes.keys() - EDITORS_FIELDS:
        raise Forbidden(errors={camelcase(name): ["Only managers may set it."] for name in sorted(foreign)})
    if task.approval_status == Approval.APPROVED and changes:
        raise Conflict(
            "The task is approved; ask a manager to open it again.",
            code="task_approved",
            current=task.approval_status,
        )


def _hand_in(task: Task, changes: dict[str, Any]) -> None:
    """The editor's link completes the task and asks for another look; the same link beside a status is no hand-in."""
    link = changes.get("edited_file_link")
    if link and not (
        link == task.edited_file_link and changes.get("status", TaskStatus.COMPLETED) != TaskStatus.COMPLETED
    ):
        changes["status"], changes["approval_status"] = TaskStatus.COMPLETED, Approval.REVIEWING


def _apply(task: Task, changes: dict[str, Any]) -> None:
    old_status, old_approval = task.status, task.approval_status
    for name, value in changes.items():
        setattr(task, name, value)
    asked = changes.get("approval_status") == Approval.NEED_CHANGES
    if asked and (old_approval != Approval.NEED_CHANGES or task.status == TaskStatus.COMPLETED):
        task.status = TaskStatus.IN_PROGRESS
    if task.approval_status == Approval.APPROVED and task.status != TaskStatus.COMPLETED:
        if "approval_status" not in changes:
            # A manager opened an approved task by its status: it is to be looked at again.
            task.approval_status = Approval.REVIEWING
        else:
            raise Conflict("Only a completed task can be approved.", code="task_not_completed", current=task.status)
    if task.status == TaskStatus.BLOCKED:
        if not task.blocked_reason:
            raise Invalid(errors={"blockedReason": ["A blocked task needs a reason."]})
    else:
        task.blocked_reason = None
    if task.status != TaskStatus.COMPLETED:
        task.completed_at = None
    elif old_status != TaskStatus.COMPLETED:
        task.completed_at = now()


def _member(reference: str | None) -> str | None:
    if reference is None:
        return None
    member = find_member(reference)
    if member is None:
        raise Invalid(errors={"assignedTo": ["There is no such member."]})
    return member


def _words(task: Task) -> str:
    # TEXT ends at 64 KiB on MySQL, and folding may make words longer.
    return searchable(task.task_number, task.name, task.description)[:16_000]


# -- who is told ---------------------------------------------------------------------------------------------------


def _audience(task: Task) -> list[str]:
    return ["managers", f"user:{task.assigned_to}"] if task.assigned_to else ["managers"]


def _tell_of_edit(task: Task, before: dict[str, Any], after: dict[str, Any], *, by: Actor) -> None:
    updates = {"taskId": task.id, "updates": changed(before, after)}
    old, new = before["assignedTo"], after["assignedTo"]
    if old == new:
        record("task_updated", updates, about="task", of=task.id, audience=_audience(task))
    else:
        # Managers see every task: for them none comes into sight or drops out of it.
        always = managers()
        stays = [f"user:{new}"] if new in always else []
        record("task_updated", updates, about="task", of=task.id, audience=["managers", *stays])
        if old and old not in always:
            parting = {"taskId": task.id, "updates": {"assignedTo": new}}
            record("task_updated", parting, about="parting", of=task.id, audience=[f"user:{old}"])
        if new and new not in always:
            record("task_created", {"task": after}, about="task", of=task.id, audience=[f"user:{new}"])
        if new:
            tell([new], _news(task, f"Task {task.task_number} is yours", urgent=True))
    if is_manager(by):
        decided = after["approvalStatus"] != before["approvalStatus"] and after["approvalStatus"] != Approval.REVIEWING
        if decided and new:
            words = "is approved" if after["approvalStatus"] == Approval.APPROVED else "needs changes"
            tell([new], _news(task, f"Task {task.task_number} {words}"))
    elif after["status"] != before["status"] or after["editedFileLink"] != before["editedFileLink"]:
        blocked = after["status"] == TaskStatus.BLOCKED
        title = f"Task {task.task_number} is {'blocked' if blocked else after['status']}"
        tell(managers(but=by), _news(task, title, urgent=blocked))


def _news(task: Task, title: str, *, urgent: bool = False) -> News:
    return News(Kind.TASK, title, task.name, "task", task.id, urgent)
