"""Messages and rooms; REST and the sockets call the same functions."""

from typing import Any

from sqlalchemy import String, cast, delete, func, insert, literal, select, union_all, update

from .. import idempotency
from ..actor import Actor
from ..audit.service import note
from ..clock import now
from ..database import execute
from ..errors import Conflict, Forbidden, Invalid, NotFound, TooManyRequests
from ..events.service import forget, rewrite_of
from ..ids import uuid7
from ..json_sql import json_object, json_raw, json_text
from ..limits import flood
from ..once import insert_once
from ..pagination import Listing, asked_often
from ..permissions import can_delete_message, can_edit_message, can_enter_room, is_manager
from ..shapes import Shape, parsed
from ..transactions import more_follows, record
from ..users.models import User
from ..users.roles import Role
from ..users.service import known
from .models import Message, MessageType, ReadMark
from .rooms import EDITOR, MANAGEMENT, TEAM
from .schemas import MessageOut

messages = Shape(MessageOut, Message)
MARKS = ReadMark.__table__
NEW_MARK = insert(MARKS)


def enter(room: str, *, viewer: Actor) -> None:
    """Raises `Forbidden` for a room that isn't the viewer's, `NotFound` for one of nobody."""
    _refuse_strangers(room, viewer)
    _refuse_nobodys(room, viewer)


def _refuse_strangers(room: str, viewer: Actor) -> None:
    if not can_enter_room(viewer, room):
        raise Forbidden


def _refuse_nobodys(room: str, viewer: Actor) -> None:
    if room.startswith(EDITOR) and room != f"{EDITOR}{viewer.id}" and not known(room.removeprefix(EDITOR)):
        raise NotFound


def history(room: str, *, viewer: Actor, before: str | None = None, after: str | None = None) -> Listing:
    """Newest page first, oldest message of a page first."""
    _refuse_strangers(room, viewer)
    places = _places(room, before, after)
    if not places:  # a room with messages is somebody's
        _refuse_nobodys(room, viewer)
    bounds = {
        name: _place(places, key, name) for name, key in (("before", before), ("after", after)) if key is not None
    }
    return _messages(viewer=viewer, room=room, **bounds)


@asked_often("room", "before", "after")
def _messages(*, viewer: Actor, room: str, **bounds: int) -> Listing:  # noqa: ARG001 - who may enter sees everything
    where = [Message.room == room]
    if "before" in bounds:
        where.append(Message.seq < bounds["before"])
    if "after" in bounds:
        where.append(Message.seq > bounds["after"])
    return Listing(messages.body, (Message.seq,), where, reverse=True)


def _places(room: str, *keys: str | None) -> dict[str, int]:
    """Where messages of a room stand in its order."""
    wanted = [key for key in keys if key]
    if not wanted:
        return {}
    found = select(Message.id, Message.seq).where(Message.id.in_(wanted), Message.room == room)
    return {row.id: row.seq for row in execute(found)}


def _place(places: dict[str, int], key: str, field: str) -> int:
    if key not in places:
        raise Invalid(errors={field: ["Not a message of this room."]})
    return places[key]


def send(text: str, *, room: str, client_id: str | None, by: Actor) -> tuple[str, bool]:
    """Stores a message once for its `client_id`; gives it, and whether it is new."""
    enter(room, viewer=by)
    try:
        with flood(str(by.id)) as take_back:
            body = _store(text, room, client_id, by)
            if body is None:
                take_back()
    except TooManyRequests:
        more_follows()
        # A repeat is no further message, be it of one that is just being stored. What is new is rolled back.
        if client_id is None or _store(text, room, client_id, by) is not None:
            raise
        body = None
    return (str(_sent(str(client_id), by)), False) if body is None else (body, True)


def _store(text: str, room: str, client_id: str | None, by: Actor) -> str | None:
    key = uuid7()
    row = {"id": key, "room": room, "message": text, "sender_id": by.id, "client_id": client_id, "timestamp": now()}
    row["type"] = MessageType.USER
    # Repeats sent at the same moment wait here for the first.
    return insert_once(messages, row, "new_message", about="message", of=key, audience=[room])


def _sent(client_id: str, by: Actor) -> str | None:
    return messages.find(Message.sender_id == by.id, Message.client_id == client_id)


def edit(key: str, text: str, *, by: Actor) -> str:
    # Their name is about to be told: a removal waits for it, or comes first.
    execute(select(User.id).where(User.id == by.id).with_for_update(read=True))
    message = messages.lock(key, viewer=by)
    if not can_edit_message(by, message):
        raise Forbidden
    if message.deleted_at is not None:
        raise Conflict("The message was deleted.", code="message_deleted", current="deleted")
    if message.message == text:
        return messages.save(message)
    message.message, message.edited_at = text, now()
    body = messages.save(message)
    shown = parsed(body)
    # A replay tells the words that stand now, never those that were taken back.
    rewrite_of("message", key, lambda data: {"message": shown} if isinstance(data.get("message"), dict) else shown)
    record("message_updated", {"message": shown}, about="message", of=key, audience=[message.room])
    return body


def remove(key: str, *, by: Actor) -> None:
    """Takes the text away and leaves the place. A second time changes nothing."""
    message = messages.lock(key, viewer=by)
    if not can_delete_message(by, message):
        raise Forbidden
    if message.deleted_at is not None:
        return
    message.message, message.deleted_at = None, now()
    messages.save(message)
    forget("message", key)
    idempotency.rewrite(key, lambda answer: answer | {"message": None} if answer.get("id") == key else answer)
    if message.sender_id != by.id:
        note("message.deleted", "message", key, {"message": [None, None]}, by=by)
    gone = {"messageId": key, "room": message.room}
    record("message_deleted", gone, about="parting", of=key, audience=[message.room])


# -- rooms ---------------------------------------------------------------------------------------------------------


def rooms(*, viewer: Actor, only: str | None = None) -> Listing:
    """The rooms that somebody works in, with what they have not read there: the shared ones first.

    `only` is a room that they entered: managers may enter a former editor's too, which the list leaves out.
    """
    shared = [(0, TEAM, "Team")] + ([(1, MANAGEMENT, "Management")] if is_manager(viewer) else [])
    named = [
        select(literal(rank).label("rank"), literal(room).label("room"), literal(title).label("title"))
        for rank, room, title in shared
    ]
    editors = select(literal(2), literal(EDITOR) + cast(User.id, String(36)), User.display_name)
    mine = User.role == Role.EDITOR if is_manager(viewer) else User.id == viewer.id
    listed = [mine, User.approved(), User.there()] if only is None else []
    all_of_them = union_all(*named, editors.where(*listed)).subquery("rooms")
    room = all_of_them.c.room
    body = json_text(
        json_object(
            {
                "room": room,
                "title": all_of_them.c.title,
                "unread": _unread(room, viewer),
                "lastMessage": json_raw(_last_message(room)),
            }
        )
    )
    return Listing(body, (all_of_them.c.rank, room), [room == only] if only else [], descending=False)


def _unread(room: Any, viewer: Actor) -> Any:
    mark = select(ReadMark.seq).where(ReadMark.user_id == viewer.id, ReadMark.room == room)
    seen = func.coalesce(mark.correlate_except(ReadMark).scalar_subquery(), 0)
    others = (Message.sender_id.is_distinct_from(viewer.id), Message.deleted_at.is_(None))
    unread = select(func.count()).select_from(Message).where(Message.room == room, Message.seq > seen, *others)
    return unread.correlate_except(Message).scalar_subquery()


def _last_message(room: Any) -> Any:
    newest = select(messages.body).where(Message.room == room).order_by(Message.seq.desc()).limit(1)
    return newest.correlate_except(Message).scalar_subquery()


def mark_read(room: str, message_id: str, *, by: Actor) -> str:
    """Everything up to the message is read; a mark never moves back. Gives the room."""
    enter(room, viewer=by)
    seq = _place(_places(room, message_id), message_id, "messageId")
    mine = (ReadMark.user_id == by.id, ReadMark.room == room)
    marked = select(ReadMark.seq).where(*mine)
    if execute(marked).first() is None:
        # The first mark of a room, one tab at a time: two inserts of one key deadlock on MariaDB.
        execute(select(User.id).where(User.id == by.id).with_for_update(key_share=True))
        if execute(marked).first() is None:
            execute(NEW_MARK, {"user_id": by.id, "room": room, "seq": seq})
    execute(update(MARKS).where(*mine, ReadMark.seq < seq).values(seq=seq, updated_at=now()))
    return str(rooms(viewer=by, only=room).rows(1, None)[0][0])


def forget_reader(user_id: str) -> None:
    execute(delete(MARKS).where(ReadMark.user_id == user_id))
