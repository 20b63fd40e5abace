"""How everybody came to the agency: by the form, by registering, made by the owner, promoted, rejected, removed."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from werkzeug.security import generate_password_hash

from ..actor import Actor, system
from ..applications import service as applications
from ..applications.models import Source
from ..auth import passwords
from ..auth.service import Caller, reset_password
from ..concurrency import PARALLEL_HASHES
from ..membership import decisions, registration, removal
from ..shapes import parsed
from ..users import service as users
from ..users.roles import Role, Status
from . import words
from .diary import Diary, table

DEVICE = Caller(None, None, None)
STRANGER = Actor(None, Role.EDITOR, Status.PENDING)
OWNER = "meera"
FINAL_STATUS = {"waiting": Status.PENDING, "rejected": Status.REJECTED}


def address(local: str) -> str:
    return f"{local}@{words.DOMAIN}"


class People:
    """Notes in the diary how they come; afterwards `who(username)` acts for them."""

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.ids: dict[str, str] = {}
        self.roles: dict[str, Role] = {}
        self.filed: dict[str, str] = {}
        rows = list(table(words.PEOPLE))
        self.passwords = {row[0]: secrets.token_urlsafe(12) for row in rows}
        # Side by side in real threads, before the transaction: a hash takes a fifth of a second.
        hashing = partial(generate_password_hash, method=passwords.method())
        with ThreadPoolExecutor(PARALLEL_HASHES) as threads:
            self.hashes = dict(zip(self.passwords, threads.map(hashing, self.passwords.values()), strict=True))
        for row in rows:
            self._comes(*row)
        for row in table(words.APPLICATIONS):
            self._applies_in_vain(*row)

    def who(self, username: str) -> Actor:
        return Actor(self.ids[username], self.roles[username], Status.APPROVED)

    def logins(self) -> list[tuple[str, str, str, str]]:
        """E-mail, role, status and password of everybody who is still there."""
        return [
            (address(username), role, FINAL_STATUS.get(came, Status.APPROVED), self.passwords[username])
            for username, _, role, came, *_ in table(words.PEOPLE)
            if came != "removed"
        ]

    def _comes(self, username: str, name: str, role: str, came: str, day: str, location: str, software: str) -> None:
        on, first = self.diary.on, float(day)
        account = {"email": address(username), "username": username, "display_name": name}
        profile = {"username": username, "location": location, "software": software}
        if came == "applied":
            on(first, partial(self._file, username, {"full_name": name, "email": address(username), "role": "Editor"}))
            on(first + 1.2, partial(self._approve, username))
        elif came in ("registered", "waiting", "rejected"):
            on(first, partial(self._register, account))
        else:
            on(first, partial(self._make, account, Role.EDITOR if came == "promoted" else Role(role)))
        if came in ("registered", "rejected"):
            status = Status.APPROVED if came == "registered" else Status.REJECTED
            on(first + 1.2, partial(self._edit, username, {"status": status}))
        if came != "rejected":
            on(first + 1.5, partial(self._edit, username, profile, oneself=True))
        if came == "promoted":
            on(first + 5.5, partial(self._edit, username, {"role": role}))
        if came == "removed":
            on(-9, lambda: removal.remove(self.ids[username], by=self.who(OWNER)))

    def _make(self, account: dict[str, Any], role: Role) -> None:
        by = self.who(OWNER) if self.ids else system("demo")
        made = users.create({**account, "role": role}, self.hashes[account["username"]], by=by)
        self._know(account["username"], made.id, role)

    def _register(self, account: dict[str, Any]) -> None:
        username = account["username"]
        self._know(username, registration.register(account, self.hashes[username], DEVICE))

    def _file(self, key: str, form: dict[str, Any]) -> None:
        self.filed[key] = parsed(applications.file(form, Source.FORM, by=STRANGER))["id"]

    def _approve(self, username: str) -> None:
        """The applicant sets the password by the link of the invite."""
        answer = parsed(decisions.approve(self.filed[username], by=self.who(OWNER)))
        self._know(username, answer["userId"])
        [token] = parse_qs(urlsplit(answer["invite"]["url"]).query)["token"]
        reset_password(token, self.hashes[username], DEVICE)

    def _know(self, username: str, user_id: str, role: Role = Role.EDITOR) -> None:
        self.ids[username], self.roles[username] = user_id, role

    def _edit(self, username: str, changes: dict[str, Any], *, oneself: bool = False) -> None:
        by = self.who(username if oneself else OWNER)
        decisions.edit_person(users.lock(self.ids[username], viewer=by), changes, None, by=by)
        self.roles[username] = Role(changes.get("role", self.roles[username]))

    def _applies_in_vain(self, name: str, local: str, role: str, day: str, decision: str, message: str) -> None:
        """Without an account: they still wait, or were rejected."""
        form = {"full_name": name, "email": address(local), "role": role, "message": message}
        form["portfolio_link"] = f"https://portfolio.example.com/{local}"
        self.diary.on(float(day), partial(self._file, local, form))
        if decision == "rejected":
            reject = partial(decisions.reject, reason=words.REJECTION)
            self.diary.on(float(day) + 0.5, lambda: reject(self.filed[local], by=self.who(OWNER)))
