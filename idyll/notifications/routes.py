from typing import Any

import orjson

from ..blueprints import Blueprint, current_user, only
from ..pagination import Listing
from ..permissions import is_manager
from ..transactions import transaction
from . import service
from .schemas import BroadcastIn, BroadcastOut, NotificationOut, NotificationQuery

bp = Blueprint("notifications", __name__, description="What you are told; each sees only their own")


@bp.route("")
@bp.lists(NotificationQuery, NotificationOut)
def index(filters: dict[str, Any]) -> Listing:
    """List your notifications, newest first"""
    return service.listing(viewer=current_user(), **filters)


@bp.route("", methods=["POST"])
@only(is_manager)
@bp.accepts(BroadcastIn)
@bp.answers(201, BroadcastOut)
def create(fields: dict[str, Any]) -> str:
    """Notify a member, all, the managers or the editors"""
    with transaction():
        count = service.broadcast(fields, by=current_user())
    return orjson.dumps({"recipients": count}).decode()


@bp.edit("/<id:notification_id>/read")
@bp.answers(200, NotificationOut)
def mark_read(notification_id: str) -> str:
    """Mark one as read"""
    with transaction():
        return service.mark_read(notification_id, by=current_user())


@bp.edit("/read-all")
@bp.answers(204)
def mark_all_read() -> None:
    """Mark all as read"""
    with transaction():
        service.mark_all_read(by=current_user())


@bp.route("/<id:notification_id>", methods=["DELETE"])
@bp.answers(204)
def remove(notification_id: str) -> None:
    """Delete one"""
    with transaction():
        service.remove(notification_id, by=current_user())
