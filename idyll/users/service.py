import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..actor import Actor
from ..audit.service import difference, note
from ..clock import now
from ..database import ahead, execute
from ..errors import Conflict, Errors, Forbidden, NotFound, Unauthorized
from ..fields import folded
from ..ids import is_id
from ..notifications.models import Kind
from ..notifications.service import News, tell
from ..pagination import Listing, asked_often
from ..permissions import (
    can_change_role,
    can_edit_user,
    can_grant_role,
    can_see_user_details,
    can_see_work_of,
    is_manager,
    is_owner,
    is_self,
)
from ..scope import this_engine
from ..search import matches
from ..shapes import Shape, changed, parsed, per_viewer, shown
from ..transactions import record
from .models import FORMER_MEMBER, User
from .roles import Role, Status, Theme
from .schemas import UserBrief, UserOut

people = Shape(UserOut, User)
lock = people.lock
briefs = Shape(UserBrief, User)

_named = or_(User.id == bindparam("id"), User.email == bindparam("key"), User.username_key == bindparam("key"))
MEMBER = select(User.id).where(_named, User.approved(), User.there()).with_for_update(read=True)
_STAYING = select(User.id).where(User.id == bindparam("id")).with_for_update(read=True)
# The column as SQLite, PostgreSQL and MariaDB name it when its value is not unique.
UNIQUE = re.compile(r"(?:failed: users\.|constraint \"uq_users_|for key 'uq_users_)(email|username_key)\b")
TAKEN = "It is taken."
RANK = {Role.EDITOR: 0, Role.MODERATOR: 1, Role.OWNER: 2}


@asked_often("role", "status")
def listing(*, viewer: Actor, role: str | None = None, status: str | None = None, q: str | None = None) -> Listing:
    """Managers see all of everybody; members see members, and only of themselves everything."""
    manager = is_manager(viewer)
    body = people.body if manager else per_viewer(User.id == viewer.id, people, briefs)
    where = [User.visible_to(viewer)]
    if role is not None:
        where.append(User.role == role)
    if status is not None:
        where.append(User.status == status)
    if q:
        where.append(matches(User.search_text if manager else User.search_name, q))
    return Listing(body, (User.id,), where)


def show(key: str, *, viewer: Actor) -> str:
    shape = people if can_see_user_details(viewer, key) else briefs
    return shape.get(User.id == key, User.visible_to(viewer))


def briefs_of(keys: Sequence[str]) -> list[str]:
    """How members see some people, encoded; removed ones by their standing name."""
    return list(execute(select(briefs.body).where(User.id.in_(keys)).order_by(User.id)).scalars())


def find_member(reference: str) -> str | None:
    """The id of the member whom an id, e-mail or username names; nobody removes them before this transaction ends."""
    key = folded(reference)
    found: str | None = execute(MEMBER, {"id": key if is_id(key) else None, "key": key}).scalar_one_or_none()
    return found


def stay(person: Actor) -> None:
    """Nobody removes whoever acts before this transaction ends. Raises `Unauthorized` for who is gone already."""
    if this_engine().dialect.name == "postgresql":
        # The next statement reads their rights after this lock; MariaDB might read them as they were before.
        ahead(_STAYING, {"id": str(person.id)})
    elif find_member(str(person.id)) is None:
        raise Unauthorized


def find_by_email(email: str | None) -> User | None:
    """Whoever holds an e-mail, locked."""
    return next(iter(people.lock_all(User.email == email, User.there())), None)


def make(fields: dict[str, Any], *, status: Status, password_hash: str | None) -> User:
    """A new row. Raises `Conflict` for an e-mail or a username that somebody has."""
    moment = now()
    user = User(**fields, status=status, password_hash=password_hash, created_at=moment, updated_at=moment)
    user.theme = user.theme or Theme.DARK
    user.username_key = user.username.lower() if user.username else None
    user.index_words()
    _write_unique(people.insert, user)
    return user


def _write_unique(write: Callable[[User], str], user: User) -> None:
    try:
        write(user)
    except IntegrityError as error:
        # The value stands in the message too, and a value may hold any of these words.
        taken = UNIQUE.search(str(error.orig))
        if taken is None:
            raise
        if taken[1] == "email":
            raise Conflict(
                "This e-mail is taken.", code="email_taken", errors={"email": [TAKEN]}, current="taken"
            ) from None
        raise Conflict(
            "This username is taken.", code="username_taken", errors={"username": [TAKEN]}, current="taken"
        ) from None


def create(fields: dict[str, Any], password_hash: str | None, *, by: Actor) -> User:
    """A member at once."""
    if not can_grant_role(by, fields["role"]):
        raise Forbidden(errors={"role": ["Only the owner may grant it."]})
    user = make(fields, status=Status.APPROVED, password_hash=password_hash)
    made = parsed(people.of(user.id))
    note("user.created", "user", user.id, {name: [None, made[name]] for name in ("email", "role")}, by=by)
    record("user_created", {"user": made}, about="user", of=user.id, audience=["managers"])
    return user


def edit(user: User, changes: dict[str, Any], password_hash: str | None, *, by: Actor) -> None:
    """Changes the profile; with `role`, call `guard_owners` before. The rules are the contract's §2 and Users."""
    if not can_edit_user(by, user):
        raise Forbidden
    own = is_self(by, user)
    refused = ("role", "status") if own else ("password", "current_password")
    errors: Errors = {}
    for name in refused:
        if name in changes:
            field = "currentPassword" if name == "current_password" else name
            errors[field] = ["Nobody changes their own." if own else "Nobody sets another's."]
    role = changes.get("role")
    if role and role != user.role and not own and not (can_change_role(by, user) and can_grant_role(by, role)):
        errors["role"] = ["Only the owner may grant it."]
    if errors:
        raise Forbidden(errors=errors)
    before = shown(user)
    for name in changes.keys() - {"password", "current_password", "status"}:
        setattr(user, name, changes[name])
    if "username" in changes:
        user.username_key = changes["username"].lower() if changes["username"] else None
    if password_hash:
        user.password_hash = password_hash
    user.index_words()
    _write_unique(people.save, user)
    tell_of_changes(user, before, by=by, password_changed=bool(password_hash))
    if role and role != before["role"]:
        news = News(Kind.USER, "Your role has changed", f"You are {role} now.", "user", user.id)
        tell([user.id], news)


def tell_of_changes(user: User, before: dict[str, Any], *, by: Actor, password_changed: bool = False) -> None:
    """The audit row and the event of a changed profile; neither if nothing changed."""
    difference_ = difference(before, parsed(people.save(user)))
    if password_changed:
        difference_["password"] = [None, None]
    if not difference_:
        return
    user.updated_at = now()
    updates = changed(before, parsed(people.save(user)))
    note("user.updated", "user", user.id, difference_, by=by)
    data = {"userId": user.id, "updates": updates}
    record("user_updated", data, about="user", of=user.id, audience=[f"user:{user.id}", "managers"])


def is_loss(old: str, new: str) -> bool:
    """Whether a change of role takes rights away, which ends the person's sessions."""
    return RANK[Role(new)] < RANK[Role(old)]


def guard_owners(user_id: str, *, by: Actor) -> None:
    """Before an owner is demoted or removed: locks all owners, in one order, so that two can't demote each other.

    Raises `Conflict` when nobody would be left, and `Forbidden` when the actor was demoted meanwhile.
    """
    owning = select(User.id).where(User.role == Role.OWNER, User.status == Status.APPROVED, User.there())
    owners = set(execute(owning.order_by(User.id).with_for_update(key_share=True)).scalars())
    if user_id in owners and len(owners) == 1:
        raise Conflict(
            "The last owner can be neither demoted nor removed.", code="last_owner", current=Role.OWNER.value
        )
    if is_owner(by) and by.id and by.id not in owners:
        raise Forbidden


def lock_to_lower(user_id: str, *, by: Actor, first: Callable[[], object] = lambda: None) -> User:
    """The person before a demotion or a removal: the owners, then what `first` locks, then the person."""
    guarded = is_owner(by) and _role_now(user_id) == Role.OWNER
    if guarded:
        guard_owners(user_id, by=by)
    first()
    user = lock(user_id, viewer=by)
    if user.role == Role.OWNER and is_owner(by) and not guarded:
        raise Conflict("Somebody else changed this role at the same time; read it again.", current=user.role)
    return user


def _role_now(user_id: str) -> str | None:
    role: str | None = execute(select(User.role).where(User.id == user_id)).scalar()
    return role


def email_now(user_id: str) -> str | None:
    email: str | None = execute(select(User.email).where(User.id == user_id)).scalar()
    return email


def renew_hash(user_id: str, old: str, new: str) -> None:
    """The same password hashed anew, unless another one was set meanwhile."""
    users = people.table
    execute(update(users).where(users.c.id == user_id, users.c.password_hash == old).values(password_hash=new))


def erase(user: User) -> None:
    """Nothing personal is left; the row stays for what refers to it."""
    user.email = user.username = user.username_key = user.password_hash = None
    user.photo_url = user.location = user.software = user.portfolio_link = user.contact = None
    user.two_step_at = None
    user.display_name = FORMER_MEMBER
    user.status, user.search_name, user.search_text = Status.REJECTED, "", ""
    user.removed_at = user.updated_at = now()
    people.save(user)


def known(user_id: str) -> bool:
    """Whether such a person is or was here."""
    return execute(select(User.id).where(User.id == user_id)).first() is not None


def check_sees_work_of(user_id: str, *, viewer: Actor) -> None:
    """Raises `Forbidden` for another editor, whether or not the id exists, and `NotFound` for an unknown one."""
    if not can_see_work_of(viewer, user_id):
        raise Forbidden
    if user_id != viewer.id and not known(user_id):
        raise NotFound
