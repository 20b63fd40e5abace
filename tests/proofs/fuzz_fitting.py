"""Most of the valid requests become such as their sender would make: of things that exist, with keys in hand.

The others stay as they were drawn, and so does every request that is meant to be refused.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from zlib import crc32

from schemathesis import Case, Response

from .fuzz_keys import Keys

THING_OF = {
    "messageId": "message_id",
    "before": "message_id",
    "after": "message_id",
    "taskId": "task_id",
    "userId": "user_id",
    "editorId": "user_id",
    "assignedTo": "user_id",
}
LOGIN = "POST /api/auth/login"
NAMES = {"login", "email", "username"}


def drawn(value: Any) -> int:
    """The same number for the same value: a case that is sent again stays the same."""
    return crc32(json.dumps(value, sort_keys=True).encode())


class Fitting:
    """For one person, who is `who` of the world."""

    def __init__(self, ids: dict[str, list[str]], who: str, keys: Keys) -> None:
        self.ids, self.who = ids, who
        self.key_of: dict[str, Callable[[str], str]] = {
            "currentPassword": keys.password,
            "code": keys.code,
            "token": keys.link,
            "refreshToken": lambda who: keys.session(who)["refreshToken"],
        }
        self.name, self.password = keys.name, keys.password
        # What earlier answers gave, by the operation that takes it back.
        self.seen: dict[str, dict[str, str]] = {"cursor": {}, "since": {}}

    def path(self, parameters: dict[str, Any]) -> None:
        """Half of the ids that nothing has become those of something."""
        for name, value in parameters.items():
            there = self.ids.get(name)
            if there and re.fullmatch(r"[0-9a-f-]{36}", str(value)) and value[:3] != there[0][:3] and drawn(value) % 2:
                parameters[name] = there[drawn(value) // 2 % len(there)]

    def remember(self, label: str, answer: Response) -> None:
        """What leads on from a list, or from the events."""
        said = answer.json()
        for name, of in (("cursor", "nextCursor"), ("since", "lastEventId")):
            if isinstance(said.get(of), str):
                self.seen[name][label] = said[of]

    def valid(self, case: Case) -> None:
        body, query, path = case.body, case.query or {}, case.path_parameters or {}
        if "user_id" in path and drawn(path["user_id"]) % 3:
            path["user_id"] = self.who  # of others there are enough
        number = drawn([body if isinstance(body, dict) else None, query])
        if number % 4 == 0:
            return
        case.query = self._agreeing(self._there(case.operation.label, query, number // 4), number)
        if isinstance(body, dict):
            there = self._keys(case.operation.label, self._there(case.operation.label, body, number // 4))
            case.body = self._agreeing(there, number)

    def _there(self, label: str, sent: dict[str, Any], number: int) -> dict[str, Any]:
        texts = {name for name, value in sent.items() if isinstance(value, str)}
        things = {name: self.ids[THING_OF[name]] for name in THING_OF.keys() & texts}
        known = {name: self.seen[name].get(label) for name in self.seen.keys() & texts}
        found = sent | {name: ids[number % len(ids)] for name, ids in things.items()} | known
        return {name: value for name, value in found.items() if name not in known or value is not None}

    def _keys(self, label: str, sent: dict[str, Any]) -> dict[str, Any]:
        if label == LOGIN:
            return (
                sent | dict.fromkeys(NAMES & sent.keys(), self.name(self.who)) | {"password": self.password(self.who)}
            )
        return sent | {name: self.key_of[name](self.who) for name in self.key_of if isinstance(sent.get(name), str)}

    def _agreeing(self, sent: dict[str, Any], number: int) -> dict[str, Any]:
        """What no schema can say, or says of one field alone."""
        found = dict(sent)
        if isinstance(sent.get("amount"), float):
            found["amount"] = max(round(sent["amount"], 2), 0.01)
        if "timezone" in sent:
            found["timezone"] = "Europe/Berlin"
        if sent.get("taskId") and number % 3:
            found["taskId"] = None  # a task is paid once
        if sent.get("startsAt"):
            found = {name: value for name, value in found.items() if name not in ("date", "time")}
        return found
