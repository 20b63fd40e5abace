from typing import Any

import orjson

from ..blueprints import Blueprint, current_user
from . import service
from .schemas import EventQuery, EventsOut

bp = Blueprint("events", __name__, description="What happened while you were away")


@bp.route("")
@bp.queries(EventQuery)
@bp.answers(200, EventsOut)
def index(query: dict[str, Any]) -> str:
    """Replay what you missed; the twin of the socket's `sync`"""
    answer = service.replay(query.get("since"), query["limit"], viewer=current_user())
    return orjson.dumps(answer).decode()
