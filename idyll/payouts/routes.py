from typing import Any

from ..blueprints import Blueprint, current_user, unless_stale
from ..pagination import Listing
from ..permissions import is_manager
from ..transactions import transaction
from . import service
from .schemas import PayoutEdit, PayoutIn, PayoutOut, PayoutQuery

bp = Blueprint("payouts", __name__, description="Money: requested, approved, paid once")


@bp.route("")
@bp.lists(PayoutQuery, PayoutOut, csv="payouts", may_csv=is_manager)
def index(filters: dict[str, Any]) -> Listing:
    """List payouts: managers all, editors their own; as CSV with `Accept: text/csv` (managers)"""
    return service.listing(viewer=current_user(), **filters)


@bp.route("/user/<id:user_id>")
@bp.lists(PayoutQuery, PayoutOut)
def of_user(filters: dict[str, Any], user_id: str) -> Listing:
    """List somebody's payouts: that editor, or a manager"""
    return service.listing_of(user_id, viewer=current_user(), **filters)


@bp.route("", methods=["POST"])
@bp.accepts(PayoutIn)
@bp.answers(201, PayoutOut)
def create(fields: dict[str, Any]) -> str:
    """Request a payout; a manager may add one for any member"""
    with transaction():
        return service.request(fields, by=current_user())


@bp.route("/<id:payout_id>")
@bp.answers(200, PayoutOut)
def show(payout_id: str) -> str:
    """Show a payout"""
    return service.show(payout_id, viewer=current_user())


@bp.edit("/<id:payout_id>")
@bp.accepts(PayoutEdit)
@bp.answers(200, PayoutOut)
def edit(changes: dict[str, Any], payout_id: str) -> str:
    """Change a pending request (its editor), or decide on it (a manager, not on their own)

    While it is pending, its editor may change the amount: send `If-Match` with a decision, and it is one on what you
    saw (412 otherwise). From the approval on nobody can change it.
    """
    with transaction():
        payout = service.lock(payout_id, viewer=current_user())
        unless_stale(service.show, payout_id, viewer=current_user())
        return service.edit(payout, changes, by=current_user())


@bp.route("/<id:payout_id>", methods=["DELETE"])
@bp.answers(204)
def remove(payout_id: str) -> None:
    """Take a pending request back"""
    with transaction():
        payout = service.lock(payout_id, viewer=current_user())
        unless_stale(service.show, payout_id, viewer=current_user())
        service.cancel(payout, by=current_user())
