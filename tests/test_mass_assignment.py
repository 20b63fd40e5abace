"""No field reaches a column that its sender may not set: every field of every model, by every write route and caller.

The fields come from the models, the routes from the app. All rows are compared before and after.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson
import pytest
from conftest import PASSWORD, Api, People, Someone, empty_tables
from flask import Flask
from sqlalchemy import select
from test_permissions import CALLERS, World, rows

from idyll.extensions import db
from idyll.fields import camelcase
from idyll.limits import forget_counts
from idyll.openapi import document

# What is refused or taken before a statement is made; one database says it.
pytestmark = pytest.mark.only_on("sqlite")

SPELLINGS = {"photoUrl": "photoURL"}
FIELDS = sorted(
    {
        SPELLINGS.get(camelcase(column.key), camelcase(column.key))
        for mapper in db.Model.registry.mappers
        for column in mapper.column_attrs
    }
)
ROUTES = [line for line, _ in rows() if not line.startswith("GET") and "#" not in line]
FEW = 10  # words of an enumeration; there are as many currencies as countries
# They take no notice of a body: log-out may carry a refresh token, as clients send it.
DEAF = ("POST /api/auth/logout", "POST /api/auth/logout/everywhere", "DELETE /api/auth/sessions/<id:session_id>")
# Written by the server whatever is sent: when somebody called, the next number, that rights changed.
SEEN = ("sessions.last_seen_at", "counters.value")

PROFILE = "username username_key display_name photo_url location software portfolio_link contact theme sound_enabled"
OF_USERS = f"{PROFILE} email search_name search_text updated_at"
OF_TASKS = (
    "name description status blocked_reason priority priority_rank deadline raw_file_link edited_file_link "
    "approval_status assigned_to completed_at version search_text updated_at"
)
OF_MEETINGS = (
    "title description starts_at ends_at local_date local_time timezone duration_minutes meeting_link all_team "
    "version updated_at"
)
OF_PAYOUTS = (
    "project_name amount_minor currency edited_link payment_method note task_id live_task_id version updated_at"
)
DECIDED = "status reason decided_by decided_at version updated_at"
# Several edits of one object within a minute make one notification.
TOLD_AGAIN = {"notifications": "title message type urgent read_at created_at"}
# Besides new rows, which are looked at apart, a request changes these columns of rows that are there.
MAY: dict[str, dict[str, dict[str, str]]] = {
    "POST /api/auth/refresh": {"*": {"refresh_tokens": "used_at", "sessions": "last_seen_at expires_at"}},
    "POST /api/auth/password/reset": {
        "*": {"users": "password_hash updated_at", "sessions": "ended_at", "password_tokens": "used_at"}
    },
    "PUT /api/users/<id:user_id>": {
        "editor": {
            "users": f"{OF_USERS} password_hash",
            "applications": "email search_text",
            "sessions": "ended_at",
            "password_tokens": "used_at",
        },
        "moderator": {"users": OF_USERS, "applications": "email search_text"},
        "owner": {
            "users": f"{OF_USERS} role",
            "applications": "email search_text",
            "sessions": "ended_at",
            "password_tokens": "used_at",
        },
    },
    "PUT /api/applications/<id:application_id>/reject": {
        "moderator owner": {"applications": "status reason user_id decided_by decided_at"}
    },
    "PUT /api/tasks/<id:task_id>": {
        "editor": {"tasks": "status blocked_reason edited_file_link approval_status completed_at version updated_at"},
        "moderator owner": {"tasks": OF_TASKS, **TOLD_AGAIN},
    },
    "PUT /api/meetings/<id:meeting_id>": {"moderator owner": {"meetings": OF_MEETINGS, **TOLD_AGAIN}},
    "PUT /api/payouts/<id:payout_id>": {
        "editor": {"payouts": OF_PAYOUTS},
        "moderator owner": {"payouts": DECIDED},
    },
    "PUT /api/chat/messages/<id:message_id>": {"editor": {"messages": "message edited_at", "events": "data"}},
    "PUT /api/chat/rooms/<room>/read": {"*": {"chat_read_marks": "seq message_id"}},
    "DELETE /api/users/<id:user_id>": {
        "editor moderator owner": {
            "users": f"{OF_USERS} password_hash status removed_at",
            "applications": "full_name email",
            "events": "data",
            "notifications": "message",
        }
    },
}
# Where a request of each route makes rows: the sent value may stand in a column of these.
MAKES = {
    "POST /api/auth/register": "users applications",
    "POST /api/users": "users",
    "POST /api/applications": "applications",
    "POST /api/tasks": "tasks",
    "POST /api/meetings": "meetings meeting_attendees",
    "POST /api/payouts": "payouts ledger",
    "PUT /api/payouts/<id:payout_id>": "ledger",
    "POST /api/auth/two-step": "two_step_secrets",
    "POST /api/chat/messages": "messages",
    "POST /api/notifications": "notifications",
    "PUT /api/meetings/<id:meeting_id>": "meeting_attendees",
    "PUT /api/chat/rooms/<room>/read": "chat_read_marks",
}
TRACES = "audit events notifications stored_answers sessions refresh_tokens password_tokens messages"
# A look at a password or a code is counted, whether or not it was the right one.
COUNTED = "login_attempts"
# Of a new row nobody chooses these, whatever they send.
NEVER_CHOSEN = {
    "users": {"password_hash", "created_at", "removed_at", "id"},
    "tasks": {"task_number", "created_by", "version", "id"},
    "login_attempts": {"id", "account", "network", "at"},
    "two_step_secrets": {"user_id", "secret"},
    "ledger": {"payout_id", "taken_from", "put_into"},
    "payouts": {"decided_by", "paid_at", "version", "id", "requested_at"},
    "meetings": {"organizer_id", "version", "id"},
    "messages": {"sender_id", "seq", "type", "id", "timestamp"},
    "applications": {"user_id", "decided_by", "source", "status", "status_digest", "id"},
}


def everything() -> dict[str, dict[Any, dict[str, Any]]]:
    """All rows of all tables by their keys."""
    found = {}
    with db.engine.connect() as connection:
        for table in db.metadata.sorted_tables:
            keys = [column.name for column in table.primary_key]
            got = connection.execute(select(table)).mappings()
            found[table.name] = {tuple(row[key] for key in keys): dict(row) for row in got}
    return found


def difference(before: dict[str, Any], after: dict[str, Any]) -> tuple[set[str], dict[str, list[dict[str, Any]]]]:
    """The columns changed in rows that were there, as table.column, and the rows that are new."""
    columns, new = set(), {}
    for name, kept in after.items():
        for key, row in kept.items():
            old = before[name].get(key)
            if old is None:
                new.setdefault(name, []).append(row)
            else:
                columns |= {f"{name}.{column}" for column in row if row[column] != old[column]} - set(SEEN)
    return columns, new


def may(route: str, caller: str) -> set[str]:
    allowed = MAY.get(route, {})
    tables = next((tables for who, tables in allowed.items() if who == "*" or caller in who.split()), {})
    return {f"{table}.{column}" for table, columns in tables.items() for column in columns.split()}


@cache
def schema_of(app: Flask, route: str) -> dict[str, Any]:
    method, rule = route.split()
    path = rule.replace("<id:", "{").replace("<", "{").replace(">", "}")
    spec = document(app)
    body = spec["paths"][path][method.lower()].get("requestBody")
    if body is None:
        return {}
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    found: dict[str, Any] = spec["components"]["schemas"][name]["properties"]
    return found


class Attack:
    """One route and one caller: sends the base of a fit request with one field more, or another value in it."""

    def __init__(self, app: Flask, route: str, caller: str) -> None:
        with app.app_context():
            empty_tables()
        forget_counts()
        people = People(app)
        self.app, self.route, self.client = app, route, app.test_client()
        self.editor, self.other = people.editor(), people.editor()
        callers = {
            "nobody": None,
            "pending": people.pending(),
            "editor": self.editor,
            "another": self.other,
            "moderator": people.moderator(),
            "owner": people.owner(),
        }
        self.by: Someone | None = callers[caller]
        world = World(Api(app), people, self.editor)
        self.method, rule = route.split()
        self.path = world.path(rule)
        self.base: dict[str, Any] = world.request(route).get("json") or {}

    def send(self, **more: Any) -> int:
        headers = {"Authorization": f"Bearer {self.by.token}"} if self.by else {}
        body = orjson.dumps(self.base | more)
        sent = {"method": self.method, "headers": headers, "data": body, "content_type": "application/json"}
        return self.client.open(self.path, **sent).status_code


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in DEAF])
def test_a_field_that_a_route_does_not_take_changes_nothing(route, app):
    known = schema_of(app, route)
    for caller in CALLERS:
        attack = Attack(app, route, caller)
        with app.app_context():
            before = everything()
        for name in FIELDS:
            if name in known:
                continue
            for spelled in {name, "".join(f"_{c.lower()}" if c.isupper() else c for c in name)}:
                status = attack.send(**{spelled: "true"})
                assert status in (401, 403, 404, 422), f"{caller} sent {spelled}: {status}"
        with app.app_context():
            assert difference(before, everything()) == (set(), {}), f"something changed for {caller}"


def values(name: str, schema: dict[str, Any], attack: Attack) -> Iterator[Any]:
    """Fit values of a field: each word of an enumeration, and ids that would be worth something to an attacker."""
    formats = [schema.get("format"), *(one.get("format") for one in schema.get("anyOf", ()))]
    kind = schema.get("type", "string")
    kinds = kind if isinstance(kind, list) else [kind]
    if "enum" in schema:
        yield from [word for word in schema["enum"] if word is not None][:FEW]
    elif "boolean" in kinds:
        yield from (True, False)
    elif "integer" in kinds or "number" in kinds:
        yield 7
    elif "uuid" in formats or name in ("assignedTo", "to"):
        yield from (attack.other.id, attack.editor.id)
    elif "array" in kinds:
        yield [attack.other.id]
    elif "email" in formats:
        yield "attack@example.com"
    elif "uri" in formats:
        yield "https://example.com/attack"
    elif "date" in formats:
        yield "2031-05-05"
    elif "date-time" in formats:
        yield "2031-05-05T10:00:00Z"
    else:
        known = {"time": "11:11", "timezone": "UTC", "currency": "USD", "room": "team", "currentPassword": PASSWORD}
        yield known.get(name, "attack-value")


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in DEAF])
@pytest.mark.parametrize("caller", CALLERS)
def test_a_field_that_a_route_takes_changes_only_what_its_sender_may(route, caller, app):
    attack = Attack(app, route, caller)
    for name, schema in schema_of(app, route).items():
        n = 0
        # Its people are others each time, so the values are too.
        while n < len(chosen := list(values(name, schema, attack))):
            value, n = chosen[n], n + 1
            more = {"currentPassword": PASSWORD} if name in ("password", "email") and route.startswith("PUT") else {}
            with app.app_context():
                before = everything()
            status = attack.send(**{name: value, **more})
            with app.app_context():
                columns, new = difference(before, everything())
            words = f"{caller} sent {name}: {value!r}, and got {status}"
            if status >= 400:
                assert (columns, new.keys() - {COUNTED}) == (set(), set()), words
                continue
            assert columns <= may(route, caller), f"{words}: {sorted(columns - may(route, caller))}"
            assert new.keys() <= {COUNTED, *TRACES.split(), *MAKES.get(route, "").split()}, f"{words}: {sorted(new)}"
            for table, made in new.items():
                taken = {column for row in made for column, was in row.items() if was == value and value is not True}
                assert not taken & NEVER_CHOSEN.get(table, set()), f"{words}: {table}.{taken}"
            attack = Attack(app, route, caller)


@pytest.mark.parametrize("route", DEAF)
def test_a_body_that_is_not_listened_to_changes_nothing_more(route, app):
    for name in FIELDS:
        attack = Attack(app, route, "editor")
        with app.app_context():
            before = everything()
        assert attack.send(**{name: "true"}) == 204
        with app.app_context():
            columns, new = difference(before, everything())
        assert (columns, new.keys()) == ({"sessions.ended_at"}, {"audit"}), name
