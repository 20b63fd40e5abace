from typing import Any

from ..blueprints import Blueprint, only
from ..pagination import Listing
from ..permissions import is_manager
from . import service
from .schemas import AuditOut, AuditQuery

bp = Blueprint("audit", __name__, description="Who did what, when and from where")


@bp.route("")
@only(is_manager)
@bp.lists(AuditQuery, AuditOut, csv="audit")
def index(filters: dict[str, Any]) -> Listing:
    """List the changes, newest first; as CSV with `Accept: text/csv`"""
    return service.listing(**filters)
