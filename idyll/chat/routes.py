from typing import Any

from flask import Response

from ..blueprints import Blueprint, current_user, respond
from ..errors import NotFound
from ..pagination import Listing, PageQuery
from ..transactions import transaction
from . import service
from .rooms import is_room
from .schemas import MessageEdit, MessageIn, MessageOut, MessageQuery, ReadIn, RoomOut

bp = Blueprint("chat", __name__, description="Rooms and messages")


@bp.route("/rooms")
@bp.lists(PageQuery, RoomOut)
def rooms(_: dict[str, Any]) -> Listing:
    """List your rooms, with what you have not read"""
    return service.rooms(viewer=current_user())


@bp.edit("/rooms/<room>/read")
@bp.accepts(ReadIn)
@bp.answers(200, RoomOut)
def mark_read(fields: dict[str, Any], room: str) -> str:
    """Mark a room as read up to a message"""
    if not is_room(room):
        raise NotFound
    with transaction():
        return service.mark_read(room, fields["message_id"], by=current_user())


@bp.route("/messages")
@bp.lists(MessageQuery, MessageOut)
def index(query: dict[str, Any]) -> Listing:
    """List messages of a room: the newest page, ascending; `nextCursor` leads to older ones"""
    return service.history(viewer=current_user(), **query)


@bp.route("/messages", methods=["POST"])
@bp.accepts(MessageIn)
@bp.answers(201, MessageOut)
@bp.answers(200, MessageOut, "It was sent before, under the same clientId")
def create(fields: dict[str, Any]) -> Response:
    """Send a message; the same `clientId` is stored once"""
    with transaction(of_one=True):
        body, new = service.send(
            fields["message"], room=fields["room"], client_id=fields.get("client_id"), by=current_user()
        )
    return respond(body, 201 if new else 200)


@bp.edit("/messages/<id:message_id>")
@bp.accepts(MessageEdit)
@bp.answers(200, MessageOut)
def edit(fields: dict[str, Any], message_id: str) -> str:
    """Change what you wrote"""
    with transaction():
        return service.edit(message_id, fields["message"], by=current_user())


@bp.route("/messages/<id:message_id>", methods=["DELETE"])
@bp.answers(204)
def remove(message_id: str) -> None:
    """Delete what you wrote; managers may delete anybody's"""
    with transaction():
        service.remove(message_id, by=current_user())
