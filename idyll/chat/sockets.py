"""The chat's events; what they do is in service.py, which REST calls too."""

from typing import Any

import orjson

from ..errors import Errors, Forbidden
from ..events import service as events
from ..live.connections import Connection
from ..live.events import on
from ..live.hub import hub
from ..transactions import transaction
from ..users import service as users
from . import service
from .schemas import JoinRoom, LeaveRoom, MessageOut, MessageSend, RoomJoined, RoomLeft, Typing, TypingTold


@on("join_room", JoinRoom, ack=RoomJoined)
def join_room(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """Joins a chat room. `userId` and `role` may be left out; when sent they must equal the signed-in person's now."""
    actor, room = connection.actor, fields["room"]
    claimed = {"userId": (fields["user_id"], actor.id), "role": (fields["role"], actor.role)}
    wrong: Errors = {name: ["Not yours."] for name, (sent, own) in claimed.items() if sent not in (None, own)}
    if wrong:
        raise Forbidden(errors=wrong)
    service.enter(room, viewer=actor)
    hub().join(connection, room)
    present = users.briefs_of(sorted(hub().presence.present(room)))
    last = events.replay(None, 0, viewer=actor)["lastEventId"]
    return {"room": room, "members": [orjson.loads(card) for card in present], "lastEventId": last}


@on("leave_room", LeaveRoom, ack=RoomLeft)
def leave_room(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """Leaves a chat room."""
    room = fields["room"]
    if room in connection.rooms:
        hub().connections.leave(connection, room)
        hub().leave(connection.user_id, room, linger=False)
    return {"room": room}


@on("send_message", MessageSend, ack=MessageOut, free=True, writes=True)
def send_message(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """Stores a message, then broadcasts it. Needs no `join_room`; a `sender` that is sent is ignored."""
    with transaction(of_one=True):
        body, _ = service.send(
            fields["message"], room=fields["room"], client_id=fields.get("client_id"), by=connection.actor
        )
    stored: dict[str, Any] = orjson.loads(body)
    return stored


@on("typing", Typing, ack=TypingTold)
def typing(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """Told to the others in the room; nobody keeps it."""
    room, now = fields["room"], fields["typing"]
    service.enter(room, viewer=connection.actor)
    card = orjson.loads(users.briefs_of([connection.user_id])[0])
    user = {"id": card["id"], "displayName": card["displayName"]}
    hub().typing(room, user, now)
    hub().bus.say("typing", room=room, user=user, typing=now)
    return {"room": room, "typing": now}
