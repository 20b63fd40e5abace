"""SQL statements are counted: no list takes more than three, whatever its length, and no object either."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Someone
from rows import copy_last, fill
from sqlalchemy import event, select

from idyll.auth.tokens import digest
from idyll.database import asked
from idyll.extensions import db
from idyll.openapi import document

pytestmark = pytest.mark.database
MOST = 3
MANY = 60

TASK_FILTERS = (
    "status=pending&priority=high&approvalStatus=reviewing&assignedTo={user_id}&overdue=true"
    "&deadlineFrom=2020-01-01&deadlineTo=2030-01-01&q=e&sort=deadline"
)
# Every list, with what it must be asked with and with all its filters at once. A new list without a row here fails.
LISTS = {
    "/api/auth/sessions": ("", ""),
    "/api/users": ("", "role=editor&status=approved&q=e"),
    "/api/applications": ("", "status=pending&q=e"),
    "/api/tasks": ("", TASK_FILTERS),
    "/api/tasks/user/<id:user_id>": ("", "status=pending&q=e&sort=priority"),
    "/api/meetings": ("", "from=2020-01-01&to=2030-01-01&cancelled=true"),
    "/api/payouts": ("", "status=approved&editorId={user_id}&from=2020-01-01&to=2030-01-01"),
    "/api/payouts/user/<id:user_id>": ("", "status=approved&from=2020-01-01&to=2030-01-01"),
    "/api/chat/rooms": ("", ""),
    "/api/chat/messages": ("room=editor:{user_id}", "&before={message_id}&after={message_id}"),
    "/api/notifications": ("", "unread=true"),
    "/api/audit": ("", "objectType=task&objectId={task_id}&actorId={user_id}&from=2020-01-01&to=2030-01-01"),
    "/api/events": ("since={since}", ""),
}
OBJECTS = [
    "/api/auth/me",
    "/api/auth/two-step",
    "/api/users/<id:user_id>",
    "/api/applications/<id:application_id>",
    "/api/applications/status/<status_token>",
    "/api/tasks/<id:task_id>",
    "/api/meetings/<id:meeting_id>",
    "/api/payouts/<id:payout_id>",
    "/api/stats/summary",
    "/api/stats/summary?userId=<id:user_id>",
    "/healthz",
    "/readyz",
    "/api/openapi.json",
    "/api/asyncapi.json",
    "/docs",
    "/docs/",
    "/docs/events",
    "/docs/<path:name>",
]
NAMES = {
    "application_id": "applications",
    "task_id": "tasks",
    "meeting_id": "meetings",
    "payout_id": "payouts",
    "message_id": "messages",
}
MANAGERS = {"/api/applications", "/api/audit"}
# What somebody has many of; an editor has two rooms, whatever comes.
GROWING = ["users", "sessions", "notifications", "audit", "events", *NAMES.values()]


@contextmanager
def statements(app) -> Iterator[list[str]]:
    seen: list[str] = []

    def hear(_connection, _cursor, statement, *_):
        seen.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", hear)
    with asked.connected_to(lambda _, statement, **__: seen.append(statement)):
        yield seen
    event.remove(engine, "before_cursor_execute", hear)


def fill_for(app, viewer: Someone, editor: Someone) -> dict[str, str]:
    """A row in every table, the viewer's own wherever it is somebody's; the ids by their names in routes."""
    rows: dict[str, dict[str, Any]] = {
        "users": {"role": "editor", "status": "approved"},
        "sessions": {"user_id": viewer.id, "ended_at": None, "expires_at": datetime(2999, 1, 1, tzinfo=UTC)},
        "notifications": {"user_id": viewer.id, "read_at": None},
        "events": {"about": "parting", "audience": "|members|", "position": None},
        "tasks": {"assigned_to": editor.id, "deleted_at": None},
        "payouts": {"editor_id": editor.id},
        "messages": {"room": f"editor:{editor.id}", "deleted_at": None},
        "meetings": {"all_team": True, "cancelled_at": None},
        "applications": {"status_digest": digest("token")},
    }
    with app.app_context(), db.engine.begin() as connection:
        fill(connection, **rows)
        ids = {name: connection.scalars(select(_table(table).c.id)).all()[-1] for name, table in NAMES.items()}
    return ids | {"user_id": editor.id, "status_token": "token", "name": "start.js"}


def grow(app) -> None:
    with app.app_context(), db.engine.begin() as connection:
        for name in GROWING:
            copy_last(connection, _table(name), MANY, **({"position": None} if name == "events" else {}))


def _table(name: str) -> Any:
    return db.metadata.tables[name]


def path_of(rule: str, ids: dict[str, str]) -> str:
    return re.sub(r"<(\w+:)?(\w+)>", lambda found: ids[found[2]], rule)


def test_every_get_is_counted_here(app):
    served = {str(rule) for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert served == set(LISTS) | {rule.partition("?")[0] for rule in OBJECTS}
    paged = {path for path, found in document(app)["paths"].items() if "nextCursor" in str(found.get("get"))}
    assert {re.sub(r"<(\w+:)?(\w+)>", r"{\2}", rule) for rule in LISTS} == paged | {"/api/events"}


@pytest.mark.parametrize("rule", LISTS)
@pytest.mark.parametrize("who", ["owner", "editor"])
def test_a_list_takes_three_statements_at_most_whatever_its_length(request, app, api, editor, rule, who):
    viewer = request.getfixturevalue(who)
    ids = fill_for(app, viewer, editor)
    ids["since"] = api.get("/api/events", viewer).json["lastEventId"]
    needed, filters = (part.format(**ids) for part in LISTS[rule])
    path = path_of(rule, ids)
    addresses = [f"{path}?limit=100&{needed}", f"{path}?limit=100&{needed}{filters}"]

    def count() -> list[int]:
        counts = []
        for address in addresses:
            with statements(app) as seen:
                answer = api.get(address, viewer)
            assert answer.status_code == (403 if who == "editor" and rule in MANAGERS else 200), answer.json
            assert len(seen) <= MOST, "\n".join(seen)
            counts.append(len(seen))
        return counts

    short = count()
    grow(app)
    answer = api.get(addresses[0], viewer)  # the events, too, have their places from here on
    if answer.status_code == 200 and (who, rule) != ("editor", "/api/chat/rooms"):
        assert len(answer.json.get("data", answer.json.get("events"))) >= MANY
    assert count() == short


@pytest.mark.parametrize("rule", OBJECTS)
def test_an_object_takes_three_statements_at_most(app, api, owner, editor, rule):
    ids = fill_for(app, editor, editor)
    grow(app)
    for viewer in (owner, editor):
        with statements(app) as seen:
            answer = api.get(path_of(rule, ids), viewer)
        allowed = (403,) if viewer is editor and "/applications/<id" in rule else (200, 308)
        assert answer.status_code in allowed
        assert len(seen) <= MOST, "\n".join(seen)


@pytest.mark.parametrize("rule", [*LISTS, *OBJECTS])
def test_reading_writes_nothing(app, api, owner, editor, rule):
    ids = fill_for(app, owner, editor)
    ids["since"] = api.get("/api/events", owner).json["lastEventId"]
    needed, _ = LISTS.get(rule, ("", ""))
    with statements(app) as seen:
        answer = api.get(f"{path_of(rule, ids)}?{needed.format(**ids)}".rstrip("?"), owner)
    assert answer.status_code in (200, 308), answer.json
    assert [statement for statement in seen if not statement.startswith(("SELECT", "PRAGMA", "DESCRIBE"))] == []
