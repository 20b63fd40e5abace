from typing import Any

from ..actor import Actor
from ..blueprints import Blueprint, current_user, only, public, unless_stale
from ..membership import decisions
from ..pagination import Listing
from ..permissions import is_manager
from ..scope import here, this_request
from ..transactions import transaction
from ..users.roles import Role, Status
from . import service
from .models import Source
from .schemas import (
    ApplicationDecidedOut,
    ApplicationFiledOut,
    ApplicationIn,
    ApplicationOut,
    ApplicationQuery,
    ApplicationStatusOut,
    RejectIn,
)

bp = Blueprint("applications", __name__, description="People who want to join")


@bp.route("", methods=["POST"])
@public(limit="PUBLIC_WRITE_LIMIT_PER_MINUTE")
@bp.accepts(ApplicationIn)
@bp.answers(201, ApplicationFiledOut)
def create(fields: dict[str, Any]) -> str:
    """Apply; keep the `statusToken` to ask how it goes"""
    stranger = Actor(None, Role.EDITOR, Status.PENDING, None, this_request().remote_addr, here().get("request_id"))
    with transaction():
        return service.file(fields, Source.FORM, by=stranger)


@bp.route("/status/<status_token>")
@public(limit="RATE_LIMIT_PER_MINUTE")
@bp.answers(200, ApplicationStatusOut)
def status(status_token: str) -> str:
    """How an application goes"""
    return service.status(status_token)


@bp.route("")
@only(is_manager)
@bp.lists(ApplicationQuery, ApplicationOut)
def index(filters: dict[str, Any]) -> Listing:
    """List applications, newest first"""
    return service.listing(**filters)


@bp.route("/<id:application_id>")
@only(is_manager)
@bp.answers(200, ApplicationOut)
def show(application_id: str) -> str:
    """Show an application"""
    return service.show(application_id)


@bp.route("/<id:application_id>", methods=["DELETE"])
@only(is_manager)
@bp.answers(204)
def remove(application_id: str) -> None:
    """Delete an application"""
    with transaction():
        service.lock(application_id)
        unless_stale(service.show, application_id)
        service.remove(application_id, by=current_user())


@bp.edit("/<id:application_id>/approve")
@only(is_manager)
@bp.answers(200, ApplicationDecidedOut)
def approve(application_id: str) -> str:
    """Approve the person, with all their applications; makes the account, with an invite, where there is none"""
    with transaction():
        service.lock(application_id)
        unless_stale(service.show, application_id)
        return decisions.approve(application_id, by=current_user())


@bp.edit("/<id:application_id>/reject")
@only(is_manager)
@bp.accepts(RejectIn)
@bp.answers(200, ApplicationOut)
def reject(fields: dict[str, Any], application_id: str) -> str:
    """Reject all pending applications of the person"""
    with transaction():
        service.lock(application_id)
        unless_stale(service.show, application_id)
        return decisions.reject(application_id, fields["reason"], by=current_user())
