"""The whole agency, in one transaction: a start that is broken off leaves nothing of it behind."""

from collections.abc import Callable

from sqlalchemy import func, select

from ..database import execute
from ..scope import this_app
from ..transactions import transaction
from ..users.models import User
from ..users.roles import Role
from . import work
from .diary import Diary
from .people import People

Login = tuple[str, str, str, str]


def refusal() -> str | None:
    """Why there may be no demo agency here; None where there may."""
    if this_app().config["APP_ENV"] != "development":
        return "demo people are for development alone, and APP_ENV says otherwise"
    found = execute(select(User.role, func.count().label("people")).group_by(User.role))
    counts = {row.role: row.people for row in found}
    if counts not in ({}, {Role.OWNER: 1}):
        return "this database has people besides the owner"
    return None


def make(keep: Callable[[list[Login]], None]) -> None:
    """Makes it; `keep` gets the log-ins before the commit, so that nobody is made whose password is lost."""
    diary = Diary()
    people = People(diary)
    work.note_tasks(diary, people)
    work.note_money_without_a_task(diary, people)
    work.note_meetings(diary, people)
    work.note_talk(diary, people)
    work.note_reading(diary, people)
    with transaction():
        diary.live()
        keep(people.logins())
