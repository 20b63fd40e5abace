"""Rules that the OpenAPI document can't say: why a request that is valid by it is refused all the same.

Schemathesis takes no other refusal of a valid request. tests/test_document_rules.py sends the example of each.
"""

import re
from dataclasses import dataclass
from typing import Any

NOBODY = "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"
MEETING = {"title": "Round"}
TASK = {"name": "Film", "deadline": "2031-01-01"}


@dataclass(frozen=True)
class Rule:
    """`field` and `words` are patterns of what the answer says; `{payout}` and the like in a path are the sender's."""

    field: str
    words: str
    reason: str
    method: str
    path: str
    sent: dict[str, Any]

    def says(self, field: str, words: str) -> bool:
        return bool(re.fullmatch(self.field, field) and re.fullmatch(self.words, words))


RULES = [
    Rule(
        r"cursor",
        r"Not a cursor of this list\.",
        "A cursor is signed, and good for its own list and order alone.",
        "GET",
        "/api/tasks",
        {"cursor": "bm90LW91cnM"},
    ),
    Rule(
        r"before|after|messageId",
        r"Not a message of this room\.",
        "Which messages a room has is in the database.",
        "GET",
        "/api/chat/messages",
        {"before": NOBODY},
    ),
    Rule(
        r"since",
        r"Not the id of an event\.",
        "Places in the history are the server's own words.",
        "GET",
        "/api/events",
        {"since": "yesterday"},
    ),
    Rule(
        r"timezone",
        r"Not an IANA time zone\.",
        "Which zones there are is the time zone database's to say, and it changes.",
        "POST",
        "/api/meetings",
        MEETING | {"date": "2031-01-01", "time": "10:00", "timezone": "Asia/Atlantis"},
    ),
    Rule(
        r"amount",
        r"A number greater than 0, at most 10000000, with at most two decimals\.",
        "multipleOf 0.01 says it, but validators that divide floats refuse 1500.1 for it.",
        "POST",
        "/api/payouts",
        {"projectName": "Film", "amount": 1.005},
    ),
    Rule(
        r"assignedTo|editorId|to",
        r"There is no such member\.",
        "Who is a member is in the database.",
        "POST",
        "/api/tasks",
        TASK | {"assignedTo": "nobody"},
    ),
    Rule(
        r"attendees",
        r"There is no member .*\.",
        "Who is a member is in the database.",
        "POST",
        "/api/meetings",
        MEETING | {"date": "2031-01-01", "time": "10:00", "attendees": ["nobody"]},
    ),
    Rule(
        r"to",
        r"all, managers, editors, or a member's id\.",
        "One of three words or an id: the id's form alone would not say that it must be a member's.",
        "POST",
        "/api/notifications",
        {"title": "Note", "message": "Read it", "to": "some"},
    ),
    Rule(
        r"login",
        r"Send login, email or username\.",
        "One of three fields must have a text; which of them is the client's to choose.",
        "POST",
        "/api/auth/login",
        {"login": None, "email": "", "password": "four-minutes-of-film"},
    ),
    Rule(
        r"token",
        r"It is missing\.",
        "Any other text is compared and refused with 401; nothing is said about a token's form.",
        "POST",
        "/api/auth/password/reset",
        {"token": "", "password": "four-minutes-of-film"},
    ),
    Rule(
        r"code",
        r"Not the code that the app shows now\.",
        "Which code it is follows from a secret and the time.",
        "POST",
        "/api/auth/two-step/confirm",
        {"code": "000000"},
    ),
    Rule(
        r"room",
        r"team, management, or editor:<userId>\.",
        "A room of an editor has that editor's id in its name.",
        "POST",
        "/api/chat/messages",
        {"message": "Hello", "room": "kitchen"},
    ),
    Rule(
        r"startsAt|date|time",
        r"Send (either )?startsAt, or date and time\.",
        "A beginning is written in one of two ways, and not in both.",
        "POST",
        "/api/meetings",
        MEETING | {"startsAt": "2031-01-01T10:00:00Z", "date": "2031-01-01", "time": "10:00"},
    ),
    Rule(
        r"startsAt|date",
        r"Out of range\.",
        "With its zone and duration a beginning may fall out of the calendar.",
        "POST",
        "/api/meetings",
        MEETING | {"startsAt": "9999-12-31T23:59:00Z"},
    ),
    Rule(
        r"password",
        r"This password is too common; choose another\.",
        "The list of common passwords is too long for a document.",
        "POST",
        "/api/users",
        {"email": "new@example.com", "displayName": "Neha", "password": "password123"},
    ),
    Rule(
        r"email",
        r"Not a valid e-mail address\.",
        "The formats `email` of schemas and of mail servers differ; this one has a domain with a dot.",
        "POST",
        "/api/applications",
        {"fullName": "Asif", "email": "asif@[127.0.0.1]"},
    ),
    Rule(
        r"rawFileLink|editedFileLink|meetingLink|portfolioLink|photoURL|editedLink",
        r"Not an absolute http or https link with a host and without user info\.",
        "A port out of range, quotes, or a character that doesn't show: the pattern would not be read by anybody.",
        "POST",
        "/api/tasks",
        TASK | {"rawFileLink": "https://example.com:99999/raw"},
    ),
    Rule(
        r"blockedReason",
        r"A blocked task needs a reason\.",
        "Only where the status is `blocked`, sent now or before.",
        "POST",
        "/api/tasks",
        TASK | {"status": "blocked"},
    ),
    Rule(
        r"taskId",
        r"Not a task of this editor\.",
        "Whose a task is is in the database.",
        "POST",
        "/api/payouts",
        {"projectName": "Film", "amount": 5, "taskId": NOBODY},
    ),
    Rule(
        r"reason|reference",
        r"(Needed for|Goes with) the status (paid|rejected)( alone)?\.",
        "Which fields a decision needs depends on the decision.",
        "PUT",
        "/api/payouts/{payout}",
        {"status": "rejected"},
    ),
]


def rule_of(field: str, words: str) -> Rule | None:
    return next((rule for rule in RULES if rule.says(field, words)), None)
