"""Making, reading and clearing notifications.

Texts name tasks, projects and meetings, never people: a notification outlives the person whom it is about.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Boolean, ColumnElement, any_, bindparam, delete, func, insert, or_, select, update

from ..actor import Actor
from ..audit.service import note
from ..clock import now
from ..columns import ID
from ..database import execute
from ..errors import Invalid, NotFound
from ..events.service import forget
from ..ids import is_id, uuid7
from ..pagination import Listing, asked_often
from ..scope import this_engine
from ..shapes import Shape, parsed
from ..transactions import owe, record
from ..users.models import User
from ..users.roles import MANAGERS, Role
from .models import Kind, Notification
from .schemas import NotificationOut

ONE_MINUTE = timedelta(minutes=1)

notifications = Shape(NotificationOut, Notification)
TABLE = notifications.table
SHOWN = (TABLE.c.id, TABLE.c.user_id, notifications.body)
ROWS = insert(TABLE)
# What was told of one thing a short while ago, and how it is told anew.
SAME = (
    TABLE.c.entity_id == bindparam("entity"),
    TABLE.c.type == bindparam("kind"),
    TABLE.c.created_at > bindparam("since"),
)
RECENT = select(TABLE.c.id, TABLE.c.user_id).where(*SAME)
ANEW = update(TABLE).values(
    title=bindparam("anew_title"),
    message=bindparam("anew_message"),
    urgent=or_(TABLE.c.urgent, bindparam("anew_urgent", type_=Boolean())),
    read_at=None,
)
ANEW_BY_ID = ANEW.where(TABLE.c.id == bindparam("key"))
TOLD_AGAIN = ANEW.where(*SAME, TABLE.c.user_id == any_(bindparam("people", type_=ARRAY(ID)))).returning(*SHOWN)
MANAGING = select(User.id).where(User.managing(), User.id.is_distinct_from(bindparam("but", type_=ID)))
OWNERS = MANAGING.where(User.role == Role.OWNER)


@dataclass(frozen=True)
class News:
    """What is told, and about which thing."""

    kind: Kind
    title: str
    message: str
    entity_type: str
    entity_id: str
    urgent: bool = False


def tell(recipients: Iterable[str | None], news: News, *, first: bool = False) -> None:
    """Writes a notification for each person, in the transaction of the change.

    Several edits of one object within a minute make one notification: a recent one gets the new text, becomes unread
    again and stays urgent. The object's row is locked by its change, so two edits can't both find nothing to rewrite.
    Of a thing that was made just now this is the `first` that is told.
    """
    people = sorted({person for person in recipients if person})
    if not people:
        return
    moment = now()
    text = {"title": news.title[:200], "message": news.message[:2000]}
    again = [] if first else _told_again(people, news, text, moment)
    for row in again:
        _announce(row.user_id, parsed(row.body))
    told = {row.user_id for row in again}
    fresh = text | {
        "type": news.kind.value,
        "urgent": news.urgent,
        "entity_type": news.entity_type,
        "entity_id": news.entity_id,
        "created_at": moment,
    }
    # Nothing of a new one is for the database to say.
    shown = notifications.dumped(fresh | {"id": None, "read": False, "read_at": None})
    for person in people:
        if person not in told:
            key = uuid7()
            owe(ROWS, fresh | {"id": key, "user_id": person})
            _announce(person, shown | {"id": key})


def _announce(person: str, shown: dict[str, Any]) -> None:
    data = {"notification": shown}
    record("new_notification", data, about="notification", of=shown["id"], audience=[f"user:{person}"])


def _told_again(people: Sequence[str], news: News, text: dict[str, str], moment: datetime) -> Sequence[Any]:
    """Rewrites what was told of the same thing within the last minute, and gives it as it is now."""
    same = {"entity": news.entity_id, "kind": news.kind.value, "since": moment - ONE_MINUTE}
    anew = {"anew_title": text["title"], "anew_message": text["message"], "anew_urgent": news.urgent}
    if this_engine().dialect.name == "postgresql":
        found: Sequence[Any] = execute(TOLD_AGAIN, {**same, **anew, "people": list(people)}).all()
        return found
    ids = [row.id for row in execute(RECENT, same) if row.user_id in people]
    for key in ids:
        execute(ANEW_BY_ID, {**anew, "key": key})
    return execute(select(*SHOWN).where(TABLE.c.id.in_(ids))).all() if ids else []


def managers(*, but: Actor | None = None, only_owners: bool = False) -> list[str]:
    """Whom to tell what managers are told; not who did it themselves."""
    whom = OWNERS if only_owners else MANAGING
    return list(execute(whom, {"but": but.id if but else None}).scalars())


def broadcast(fields: dict[str, Any], *, by: Actor) -> int:
    """A manager's own notification to one person or many; gives how many got it."""
    to = fields["to"]
    groups: dict[str, ColumnElement[bool]] = {
        "all": User.approved(),
        "managers": User.role.in_(MANAGERS),
        "editors": User.role == Role.EDITOR,
    }
    if to not in groups and not is_id(to):
        raise Invalid(errors={"to": ["all, managers, editors, or a member's id."]})
    chosen = groups.get(to, User.id == to)
    people = list(execute(select(User.id).where(chosen, User.approved(), User.there())).scalars())
    if not people and to not in groups:
        raise Invalid(errors={"to": ["There is no such member."]})
    broadcast_id = uuid7()
    kind = Kind(fields["type"])
    tell(people, News(kind, fields["title"], fields["message"], "broadcast", broadcast_id, fields["urgent"]))
    note("broadcast.sent", "broadcast", broadcast_id, {"to": [None, to], "recipients": [None, len(people)]}, by=by)
    return len(people)


@asked_often(by_form=("unread",))
def listing(*, viewer: Actor, unread: bool | None = None) -> Listing:
    where = [Notification.user_id == viewer.id]
    if unread is not None:
        where.append(Notification.read_at.is_(None) if unread else Notification.read_at.is_not(None))
    return Listing(notifications.body, (Notification.id,), where)


def unread_of(user_id: Any) -> Any:
    """How many somebody has not read, as an expression."""
    mine = (Notification.user_id == user_id, Notification.read_at.is_(None))
    return select(func.count()).select_from(Notification).where(*mine).scalar_subquery()


def mark_read(key: str, *, by: Actor) -> str:
    mine = (Notification.id == key, Notification.user_id == by.id)
    execute(update(TABLE).where(*mine, Notification.read_at.is_(None)).values(read_at=now()))
    return notifications.get(*mine)


def mark_all_read(*, by: Actor) -> None:
    mine = (Notification.user_id == by.id, Notification.read_at.is_(None))
    execute(update(TABLE).where(*mine).values(read_at=now()))


def remove(key: str, *, by: Actor) -> None:
    found: Any = execute(delete(TABLE).where(Notification.id == key, Notification.user_id == by.id))
    if not found.rowcount:
        raise NotFound
    forget("notification", key)


def remove_all_of(user_id: str) -> None:
    """What a removed person was told."""
    mine = select(Notification.id).where(Notification.user_id == user_id)
    forget("notification", mine)
    execute(delete(TABLE).where(Notification.user_id == user_id))
