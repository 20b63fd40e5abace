from typing import Any

import orjson

from ..blueprints import Blueprint, current_user
from . import service
from .schemas import StatsOut, StatsQuery

bp = Blueprint("stats", __name__, description="Numbers for the home pages")


@bp.route("/summary")
@bp.queries(StatsQuery)
@bp.answers(200, StatsOut)
def summary(query: dict[str, Any]) -> str:
    """Count people, applications, tasks, meetings and payouts; an editor gets their own"""
    return orjson.dumps(service.summary(viewer=current_user(), **query)).decode()
