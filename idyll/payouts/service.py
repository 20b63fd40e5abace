"""The rules of money: legal moves only, nobody decides on their own, and nothing is paid twice."""

from typing import Any

from sqlalchemy import insert, select, update

from ..actor import Actor
from ..audit.service import difference, note
from ..auth.two_step import ask_again
from ..clock import now
from ..database import execute
from ..errors import Conflict, Forbidden, Invalid
from ..events.service import rewrite_of
from ..fields import camelcase
from ..ledger.models import Account
from ..ledger.service import post
from ..notifications.models import Kind
from ..notifications.service import News, managers, tell
from ..pagination import Listing, asked_often, chosen
from ..permissions import approved_it, can_decide_payout, can_edit_payout, is_manager
from ..scope import this_app
from ..shapes import Shape, changed, is_changed, parsed, shown, was_of
from ..tasks.models import Approval, Task
from ..transactions import record
from ..users.service import check_sees_work_of, find_member, stay
from .models import Payment, Payout, PayoutStatus
from .schemas import PayoutOut

# Where a host has no triggers, this clause is what freezes a paid row.
payouts = Shape(PayoutOut, Payout, while_=Payout.__table__.c.status != PayoutStatus.PAID)
show, lock = payouts.show, payouts.lock

PAYMENTS = insert(Payment.__table__)
DECIDING_FIELDS = frozenset(("status", "reason", "reference"))
MOVES = {
    PayoutStatus.PENDING: (PayoutStatus.APPROVED, PayoutStatus.REJECTED),
    PayoutStatus.APPROVED: (PayoutStatus.PAID, PayoutStatus.REJECTED),
}


@asked_often("status", "editor_id", "of", "from_", "to")
def listing(*, viewer: Actor, **filters: Any) -> Listing:
    columns = {"status": Payout.status, "editor_id": Payout.editor_id, "of": Payout.editor_id}
    where = [Payout.visible_to(viewer), *chosen(filters, **columns)]
    if "from_" in filters:
        where.append(Payout.requested_at >= filters["from_"])
    if "to" in filters:
        where.append(Payout.requested_at <= filters["to"])
    return Listing(payouts.body, (Payout.id,), where)


def listing_of(user_id: str, *, viewer: Actor, **filters: Any) -> Listing:
    """Somebody's payouts. Raises `Forbidden` for another editor, `NotFound` for an unknown id."""
    check_sees_work_of(user_id, viewer=viewer)
    return listing(viewer=viewer, of=user_id, **filters)


def request(fields: dict[str, Any], *, by: Actor) -> str:
    """Asks for money, for oneself, or as a manager for a member."""
    fields = dict(fields)
    editor_id = fields.pop("editor_id", None) or str(by.id)
    if editor_id != by.id and not is_manager(by):
        raise Forbidden(errors={"editorId": ["Only managers may ask for somebody else."]})
    if editor_id == by.id:
        stay(by)
    elif find_member(editor_id) is None:
        raise Invalid(errors={"editorId": ["There is no such member."]})
    fields["currency"] = fields.get("currency") or this_app().config["DEFAULT_CURRENCY"]
    moment = now()
    payout = Payout(**fields, editor_id=editor_id, status=PayoutStatus.PENDING, requested_at=moment, updated_at=moment)
    if payout.task_id:
        _claim_task(payout)
    body = payouts.insert(payout)
    post(payout, Account.ASKED, payout.status, payout.amount_minor, payout.currency, by=by)
    made = parsed(body)
    asked = {name: [None, made[name]] for name in ("editorId", "taskId", "projectName", "amount", "currency")}
    note("payout.requested", "payout", payout.id, asked, by=by)
    record("payout_created", {"payout": made}, about="payout", of=payout.id, audience=_audience(payout))
    tell(managers(but=by), _news(payout, "Payout requested", urgent=True), first=True)
    return body


def edit(payout: Payout, changes: dict[str, Any], *, by: Actor) -> str:
    """What was asked for, by its editor; or a decision, by a manager."""
    deciding = changes.keys() & DECIDING_FIELDS
    if deciding and not can_decide_payout(by, payout):
        own = "Nobody decides on their own payout." if is_manager(by) else "Only managers decide."
        raise Forbidden(errors={camelcase(name): [own] for name in sorted(deciding)})
    asking = changes.keys() - DECIDING_FIELDS
    if asking and not can_edit_payout(by, payout):
        only = ["Only the editor who asked may change it."]
        names = {"amount" if name == "amount_minor" else camelcase(name): only for name in sorted(asking)}
        raise Forbidden(errors=names)
    if asking:
        _ask_otherwise(payout, {name: changes[name] for name in asking})
    news = _decide(payout, changes, by=by) if deciding else None
    if not is_changed(payout):
        return payouts.save(payout)
    body = _finish(payout, f"payout.{payout.status}" if deciding else "payout.updated", by=by)
    if news:
        tell([payout.editor_id], news)
    return body


def cancel(payout: Payout, *, by: Actor) -> None:
    """The editor takes a pending request back."""
    if not can_edit_payout(by, payout):
        raise Forbidden
    if payout.status == PayoutStatus.CANCELLED:
        return
    if payout.status != PayoutStatus.PENDING:
        raise _not_now(payout, "Only a pending request can be taken back.")
    _cancel(payout, None, by=by)


def cancel_for_task(task_id: str, *, by: Actor) -> None:
    """The task is deleted: what still waits for it is cancelled; approved and paid ones stay."""
    for payout in payouts.lock_all(Payout.task_id == task_id, Payout.status == PayoutStatus.PENDING):
        _cancel(payout, "The task was deleted.", by=by)
        if payout.editor_id != by.id:
            tell([payout.editor_id], _news(payout, "Payout cancelled"))


def cancel_all_of(user_id: str, *, by: Actor) -> None:
    for payout in payouts.lock_all(Payout.editor_id == user_id, Payout.status == PayoutStatus.PENDING):
        _cancel(payout, None, by=by)


def erase_unpaid_of(user_id: str) -> None:
    """A removed person's words, and how they wanted what they will never get. The books need neither."""
    theirs = (Payout.editor_id == user_id, Payout.status != PayoutStatus.PAID)
    for key in execute(select(Payout.id).where(*theirs)).scalars():
        rewrite_of("payout", key, _without_words)
    execute(update(payouts.table).where(*theirs).values(note=None))
    never = Payout.status.in_((PayoutStatus.REJECTED, PayoutStatus.CANCELLED))
    execute(update(payouts.table).where(*theirs, never).values(payment_method=None))


# -- rules -----------------------------------------------------------------------------------------------------------


def _without_words(data: dict[str, Any]) -> dict[str, Any]:
    """The payload of an event without `paymentMethod` and `note`."""
    return {
        name: {key: None if key in ("paymentMethod", "note") else one for key, one in value.items()}
        if isinstance(value, dict)
        else value
        for name, value in data.items()
    }


def _cancel(payout: Payout, reason: str | None, *, by: Actor) -> None:
    payout.status, payout.reason, payout.live_task_id = PayoutStatus.CANCELLED, reason, None
    _finish(payout, "payout.cancelled", by=by)


def _claim_task(payout: Payout) -> None:
    """The task must be its editor's own and approved; its one live payout is this one from here on."""
    wanted = select(Task.assigned_to, Task.approval_status).where(Task.id == payout.task_id, Task.deleted_at.is_(None))
    task = execute(wanted.with_for_update(key_share=True)).one_or_none()
    if task is None or task.assigned_to != payout.editor_id:
        raise Invalid(errors={"taskId": ["Not a task of this editor."]})
    if task.approval_status != Approval.APPROVED:
        raise Conflict("The task is not approved yet.", code="task_not_approved", current=task.approval_status)
    # Sure, since the task is locked; the unique index stands behind it.
    live = execute(select(Payout.status).where(Payout.live_task_id == payout.task_id)).scalar()
    if live is not None:
        raise Conflict("There is a payout for this task already.", code="already_requested", current=live)
    payout.live_task_id = payout.task_id


def _ask_otherwise(payout: Payout, fields: dict[str, Any]) -> None:
    if payout.status != PayoutStatus.PENDING:
        raise _not_now(payout, "Only a pending request can be changed.")
    moved = "task_id" in fields and fields["task_id"] != payout.task_id
    for name, value in fields.items():
        setattr(payout, name, value)
    if moved:
        payout.live_task_id = None
        if payout.task_id:
            _claim_task(payout)


def _decide(payout: Payout, changes: dict[str, Any], *, by: Actor) -> News:
    """A move of the status; the row is locked, so of many at once one finds the old status."""
    status = changes.get("status")
    for name, needed_by in (("reason", PayoutStatus.REJECTED), ("reference", PayoutStatus.PAID)):
        if changes.get(name) and status != needed_by:
            raise Invalid(errors={name: [f"Goes with the status {needed_by} alone."]})
        if status == needed_by and not changes.get(name):
            raise Invalid(errors={name: [f"Needed for the status {needed_by}."]})
    if status is None:
        return _news(payout, "Payout")
    if status not in MOVES.get(PayoutStatus(payout.status), ()):
        raise _not_now(payout, f"A payout that is {payout.status} can't become {status}.")
    if status == PayoutStatus.PAID and needs_second_person(payout) and approved_it(by, payout):
        raise Forbidden("Who approved this amount may not pay it.", code="second_person_required")
    if status in (PayoutStatus.APPROVED, PayoutStatus.PAID):
        ask_again(by=by)
    moment = now()
    payout.status = status
    if status == PayoutStatus.PAID:
        payout.reference, payout.paid_at = changes["reference"], moment
        execute(
            PAYMENTS,
            {
                "payout_id": payout.id,
                "amount_minor": payout.amount_minor,
                "currency": payout.currency,
                "reference": changes["reference"],
                "paid_by": by.id,
                "paid_at": moment,
            },
        )
    else:
        payout.decided_by, payout.decided_at = by.id, moment
    if status == PayoutStatus.REJECTED:
        payout.reason, payout.live_task_id = changes["reason"], None
    return _news(payout, f"Payout {status}")


def needs_second_person(payout: Payout) -> bool:
    least: int | None = this_app().config["PAYOUT_SECOND_APPROVAL_FROM"].get(payout.currency)
    return least is not None and payout.amount_minor >= least


def _not_now(payout: Payout, detail: str) -> Conflict:
    return Conflict(detail, code="illegal_move", current=payout.status)


def _finish(payout: Payout, action: str, *, by: Actor) -> str:
    """Version, audit row and event of a change; one UPDATE, since a paid row takes no second one."""
    before = shown(payout)
    _post_change(payout, by=by)
    payout.version += 1
    payout.updated_at = now()
    body = payouts.save(payout)
    after = parsed(body)
    note(action, "payout", payout.id, difference(before, after), by=by)
    data = {"payoutId": payout.id, "status": payout.status, "updates": changed(before, after)}
    record("payout_updated", data, about="payout", of=payout.id, audience=_audience(payout))
    return body


def _post_change(payout: Payout, *, by: Actor) -> None:
    """The postings of whatever was set since the row was locked: a move, or another amount while it is pending."""
    status, amount, currency = (was_of(payout).values[name] for name in ("status", "amount_minor", "currency"))
    if payout.status != status:
        post(payout, status, payout.status, amount, currency, by=by)
    elif (payout.amount_minor, payout.currency) != (amount, currency):
        post(payout, status, Account.ASKED, amount, currency, by=by)
        post(payout, Account.ASKED, status, payout.amount_minor, payout.currency, by=by)


def _audience(payout: Payout) -> list[str]:
    return ["managers", f"user:{payout.editor_id}"]


def _news(payout: Payout, title: str, *, urgent: bool = False) -> News:
    amount = f"{payout.amount_minor / 100:.2f} {payout.currency}"
    return News(Kind.PAYOUT, title, f"{payout.project_name}: {amount}", "payout", payout.id, urgent)
