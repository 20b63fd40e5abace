"""Who may do what: pure questions about a person and a thing, one page. Nothing here reads a database or a request."""

from typing import Protocol

from .users.roles import MANAGERS, Role, Status


class Account(Protocol):
    """Whoever is acted on."""

    @property
    def id(self) -> str | None: ...
    @property
    def role(self) -> str: ...


class Person(Account, Protocol):
    """Whoever acts."""

    @property
    def status(self) -> str: ...
    @property
    def must_enrol(self) -> bool: ...


class Assigned(Protocol):
    @property
    def assigned_to(self) -> str | None: ...


class Earned(Protocol):
    @property
    def editor_id(self) -> str: ...


class Approved(Protocol):
    @property
    def decided_by(self) -> str | None: ...


class Written(Protocol):
    @property
    def sender_id(self) -> str | None: ...


def is_member(user: Person) -> bool:
    """The approved; who must use two-step log-in and doesn't yet has no rights but to enrol."""
    return user.status == Status.APPROVED and not user.must_enrol


def is_manager(user: Person) -> bool:
    return is_member(user) and user.role in MANAGERS


def is_owner(user: Person) -> bool:
    return is_member(user) and user.role == Role.OWNER


def is_self(user: Person, other: Account) -> bool:
    return user.id is not None and user.id == other.id


# -- people: moderators manage editors only, the owner manages everybody -----------------------------------------


def can_manage_user(user: Person, other: Account) -> bool:
    return is_owner(user) or (is_manager(user) and other.role == Role.EDITOR)


def can_edit_user(user: Person, other: Account) -> bool:
    return is_self(user, other) or can_manage_user(user, other)


def can_grant_role(user: Person, role: str) -> bool:
    return is_owner(user) or (is_manager(user) and role == Role.EDITOR)


def can_change_role(user: Person, other: Account) -> bool:
    return not is_self(user, other) and can_manage_user(user, other)


def can_see_user_details(user: Person, other_id: str) -> bool:
    return is_manager(user) or user.id == other_id


# -- work ----------------------------------------------------------------------------------------------------------


def can_see_work_of(user: Person, user_id: str) -> bool:
    """Somebody's tasks, payouts and numbers."""
    return is_manager(user) or (is_member(user) and user.id == user_id)


def can_hand_in(user: Person, task: Assigned) -> bool:
    return is_member(user) and task.assigned_to == user.id


def can_edit_payout(user: Person, payout: Earned) -> bool:
    return is_member(user) and payout.editor_id == user.id


def can_decide_payout(user: Person, payout: Earned) -> bool:
    """Nobody decides on their own money."""
    return is_manager(user) and payout.editor_id != user.id


def approved_it(user: Person, payout: Approved) -> bool:
    """From some amount on, who approved a payout does not pay it too."""
    return payout.decided_by is not None and payout.decided_by == user.id


def can_enter_room(user: Person, room: str) -> bool:
    """`team` is every member's, `management` the managers', `editor:<id>` that editor's and the managers'."""
    if room == "team":
        return is_member(user)
    return is_manager(user) or (is_member(user) and room == f"editor:{user.id}")


def can_edit_message(user: Person, message: Written) -> bool:
    return is_member(user) and message.sender_id == user.id


def can_delete_message(user: Person, message: Written) -> bool:
    return is_manager(user) or can_edit_message(user, message)


# -- what a client shows buttons by: one boolean a permission that depends on the person alone -------------------------

GENERAL = {
    "seeUsers": is_member,
    "createUsers": is_manager,
    "manageEditors": is_manager,
    "manageManagers": is_owner,
    "decideApplications": is_manager,
    "seeTasks": is_member,
    "createTasks": is_manager,
    "editTasks": is_manager,
    "deleteTasks": is_manager,
    "seeMeetings": is_member,
    "manageMeetings": is_manager,
    "requestPayouts": is_member,
    "decidePayouts": is_manager,
    "seeAllPayouts": is_manager,
    "chat": is_member,
    "chatWithManagement": is_manager,
    "broadcast": is_manager,
    "seeNotifications": is_member,
    "seeStats": is_member,
    "seeAllStats": is_manager,
    "seeAudit": is_manager,
    "exportCsv": is_manager,
    "seeEvents": is_member,
}


def general(user: Person) -> dict[str, bool]:
    return {name: allowed(user) for name, allowed in GENERAL.items()}
