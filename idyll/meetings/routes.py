from typing import Any

from ..blueprints import Blueprint, current_user, only, unless_stale
from ..pagination import Listing
from ..permissions import is_manager
from ..transactions import transaction
from . import service
from .schemas import MeetingEdit, MeetingIn, MeetingOut, MeetingQuery

bp = Blueprint("meetings", __name__, description="Who meets when")


@bp.route("")
@bp.lists(MeetingQuery, MeetingOut)
def index(filters: dict[str, Any]) -> Listing:
    """List meetings by their start: managers all, editors theirs"""
    return service.listing(viewer=current_user(), **filters)


@bp.route("", methods=["POST"])
@only(is_manager)
@bp.accepts(MeetingIn)
@bp.answers(201, MeetingOut)
def create(fields: dict[str, Any]) -> str:
    """Schedule a meeting"""
    with transaction():
        return service.schedule(fields, by=current_user())


@bp.route("/<id:meeting_id>")
@bp.answers(200, MeetingOut)
def show(meeting_id: str) -> str:
    """Show a meeting"""
    return service.show(meeting_id, viewer=current_user())


@bp.edit("/<id:meeting_id>")
@only(is_manager)
@bp.accepts(MeetingEdit)
@bp.answers(200, MeetingOut)
def edit(changes: dict[str, Any], meeting_id: str) -> str:
    """Change a meeting; its attendees are told"""
    with transaction():
        meeting = service.lock(meeting_id, viewer=current_user())
        unless_stale(service.show, meeting_id, viewer=current_user())
        return service.edit(meeting, changes, by=current_user())


@bp.route("/<id:meeting_id>", methods=["DELETE"])
@only(is_manager)
@bp.answers(204)
def remove(meeting_id: str) -> None:
    """Cancel a meeting; its attendees are told, the row stays"""
    with transaction():
        meeting = service.lock(meeting_id, viewer=current_user())
        unless_stale(service.show, meeting_id, viewer=current_user())
        service.cancel(meeting, by=current_user())
