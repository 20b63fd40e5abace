from typing import Any

from ..blueprints import Blueprint, current_user, only, unless_stale
from ..pagination import Listing
from ..permissions import is_manager
from ..transactions import transaction
from . import service
from .schemas import TaskEdit, TaskIn, TaskOut, TaskQuery

bp = Blueprint("tasks", __name__, description="Edit jobs: raw file in, edited file out")


@bp.route("")
@bp.lists(TaskQuery, TaskOut, csv="tasks", may_csv=is_manager)
def index(filters: dict[str, Any]) -> Listing:
    """List tasks: managers all, editors their own; as CSV with `Accept: text/csv` (managers)"""
    return service.listing(viewer=current_user(), **filters)


@bp.route("/user/<id:user_id>")
@bp.lists(TaskQuery, TaskOut)
def of_user(filters: dict[str, Any], user_id: str) -> Listing:
    """List somebody's tasks: that editor, or a manager"""
    return service.listing_of(user_id, viewer=current_user(), **filters)


@bp.route("", methods=["POST"])
@only(is_manager)
@bp.accepts(TaskIn)
@bp.answers(201, TaskOut)
def create(fields: dict[str, Any]) -> str:
    """Hand out a task"""
    with transaction():
        return service.create(fields, by=current_user())


@bp.route("/<id:task_id>")
@bp.answers(200, TaskOut)
def show(task_id: str) -> str:
    """Show a task"""
    return service.show(task_id, viewer=current_user())


@bp.edit("/<id:task_id>")
@bp.accepts(TaskEdit)
@bp.answers(200, TaskOut)
def edit(changes: dict[str, Any], task_id: str) -> str:
    """Change a task: managers everything, the assigned editor its status and the edited file"""
    with transaction():
        task = service.lock(task_id, viewer=current_user())
        unless_stale(service.show, task_id, viewer=current_user())
        return service.edit(task, changes, by=current_user())


@bp.route("/<id:task_id>", methods=["DELETE"])
@only(is_manager)
@bp.answers(204)
def remove(task_id: str) -> None:
    """Delete a task for ever; a payout that waits for it is cancelled"""
    with transaction():
        task = service.lock(task_id, viewer=current_user())
        unless_stale(service.show, task_id, viewer=current_user())
        service.remove(task, by=current_user())
