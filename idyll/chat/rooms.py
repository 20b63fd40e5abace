"""Room names: `team`, `management`, and `editor:<userId>`, one for each editor with the managers."""

from ..ids import is_id
from ..permissions import Person, is_manager, is_member

TEAM, MANAGEMENT, EDITOR = "team", "management", "editor:"


def is_room(text: str) -> bool:
    return text in (TEAM, MANAGEMENT) or (text.startswith(EDITOR) and is_id(text.removeprefix(EDITOR)))


def rooms_of(user: Person) -> list[str]:
    """The rooms that somebody may enter, but for the editors' rooms, which managers enter all."""
    if not is_member(user):
        return []
    return [TEAM, *([MANAGEMENT] if is_manager(user) else []), f"{EDITOR}{user.id}"]
