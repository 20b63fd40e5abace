"""The statements that lists run, explained by the database itself: on 100,000 tasks none reads them all."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from conftest import Api, People, Someone, make_database, settings
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text

from idyll import clock, create_app, idempotency
from idyll.auth import attempts
from idyll.database import asked
from idyll.events.service import event_id
from idyll.extensions import db

pytestmark = pytest.mark.only_on("postgresql", "sqlite")
BIG = ("tasks", "messages", "notifications", "payouts", "audit", "events")
DAYS = ("2026-01-01", "2026-01-03")
TASK_QUERIES = [
    "",
    "status=pending",
    "status=blocked",
    "priority=high",
    "approvalStatus=approved",
    "overdue=true",
    "overdue=false",
    f"deadlineFrom={DAYS[0]}",
    f"deadlineTo={DAYS[1]}",
    f"deadlineFrom={DAYS[0]}&deadlineTo={DAYS[1]}",
    "sort=deadline",
    "sort=-deadline",
    "sort=priority",
    "sort=deadline&status=pending&priority=low",
    "sort=priority&overdue=true&approvalStatus=reviewing",
    "q=T00777",
    "q=wedding",
    "q=rare",
    "q=wed+fil+client77",
    "q=rare&sort=deadline&status=pending",
    "q=nowhere",
]
# Every list of something that grows without end: who reads it, where, and how it can be filtered.
OTHERS = {
    "/api/chat/messages": ["room=team", "room=editor:{editor}", "room=team&before={message}&after={first_message}"],
    "/api/chat/rooms": [""],
    "/api/notifications": ["", "unread=true", "unread=false"],
    "/api/payouts": ["", "status=pending", "editorId={editor}", "from=2026-01-01&to=2026-01-02", "status=paid"],
    "/api/payouts/user/{editor}": ["", "status=pending", "from=2026-01-01&to=2026-01-02"],
    "/api/audit": [
        "",
        "objectType=payout",
        "objectId={task}",
        "actorId={editor}",
        "from=2026-01-01&to=2026-01-02",
        "objectType=task&objectId={task}",
    ],
    "/api/events": ["since={beginning}", "since={lately}"],
}

N = {"postgresql": (100_000, 20_000), "sqlite": (2_000, 1_000)}
NUMBERS = {
    "postgresql": "SELECT i FROM generate_series(1, {n}) AS i",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) SELECT i FROM n",
}
# Ids of the form that the API takes, rising with i.
KEYS = {
    "postgresql": "('01900000-0000-7{t}-8000-' || lpad(to_hex(i), 12, '0'))::uuid",
    "sqlite": "('01900000-0000-7{t}-8000-' || printf('%012x', i))",
}
DAY = {"postgresql": "date '2025-12-01' + i % 90", "sqlite": "date('2025-12-01', '+' || (i % 90) || ' days')"}
TIME = {
    "postgresql": "timestamptz '2025-12-01 00:00:00Z' + i * interval '1 minute'",
    "sqlite": "strftime('%Y-%m-%dT%H:%M:00.000Z', '2025-12-01', '+' || i || ' minutes')",
}
FILLING = {
    "tasks": """
        INSERT INTO tasks (id, task_number, name, status, priority, priority_rank, deadline, approval_status,
                           assigned_to, version, search_text, created_at, updated_at, deleted_at)
        SELECT {key}, 'T' || i, 'Wedding film ' || i,
               CASE WHEN i % 100 = 0 THEN 'blocked' WHEN i % 3 = 0 THEN 'pending' ELSE 'completed' END,
               CASE i % 3 WHEN 0 THEN 'low' WHEN 1 THEN 'medium' ELSE 'high' END, i % 3 + 1, {day},
               CASE i % 4 WHEN 0 THEN 'approved' ELSE 'reviewing' END, {someone}, 1,
               ' t' || i || ' wedding film client' || i % 400 || CASE WHEN i % 5000 = 0 THEN ' rare' ELSE '' END,
               {time}, {time}, CASE WHEN i % 50 = 1 THEN {time} END
        FROM ({numbers}) AS numbers""",
    "messages": """
        INSERT INTO messages (id, room, message, sender_id, type, timestamp)
        SELECT {key}, CASE i % 4 WHEN 0 THEN 'team' WHEN 1 THEN 'management' ELSE 'editor:' || {someone} END,
               'Message ' || i, {someone}, 'user', {time} FROM ({numbers}) AS numbers""",
    "notifications": """
        INSERT INTO notifications (id, user_id, type, title, message, urgent, read_at, created_at)
        SELECT {key}, {someone}, 'info', 'Title', 'Text', false, CASE WHEN i % 3 > 0 THEN {time} END, {time}
        FROM ({numbers}) AS numbers""",
    "payouts": """
        INSERT INTO payouts (id, editor_id, project_name, amount_minor, currency, status, requested_at, version,
                             updated_at)
        SELECT {key}, {someone}, 'Film', i, 'INR', CASE WHEN i % 50 = 0 THEN 'pending' ELSE 'paid' END, {time}, 1,
               {time}
        FROM ({numbers}) AS numbers""",
    "audit": """
        INSERT INTO audit (id, at, actor_id, action, object_type, object_id, changes)
        SELECT {key}, {time}, {someone}, 'task.updated', CASE WHEN i % 20 = 0 THEN 'payout' ELSE 'task' END,
               {other_key}, '{{}}' FROM ({numbers}) AS numbers""",
    "events": """
        INSERT INTO events (position, name, data, about, of, audience, created_at)
        SELECT i, 'task_updated', '{{}}', 'task', {other_key}, '|managers| |user:' || {someone} || '|', {time}
        FROM ({numbers}) AS numbers""",
    "stored_answers": """
        INSERT INTO stored_answers (id, user_id, key, fingerprint, started_at, status, created_at)
        SELECT {key}, {someone}, 'k' || i, 'x', {time}, 204, {time} FROM ({numbers}) AS numbers""",
    "login_attempts": """
        INSERT INTO login_attempts (id, account, network, at)
        SELECT {key}, 'nobody' || i, '203.0.113.7', {time} FROM ({numbers}) AS numbers""",
}


class Agency:
    """An app whose database has been in use for years; `run` gives the statements of a request."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.api = Api(app)
        people = People(app)
        self.owner = people.owner()
        self.editors = [people.editor() for _ in range(20)]
        self.editor = self.editors[7]
        with app.app_context():
            self.engine = db.engine
            self.dialect = db.engine.dialect.name
        self._fill()
        first = self.api.get("/api/chat/messages?limit=100", self.owner).json["data"]
        with app.app_context():
            beginning, lately = event_id(0), event_id(N[self.dialect][1] - 500)
        self.names = {
            "beginning": beginning,
            "lately": lately,
            "editor": self.editor.id,
            "task": self.api.get("/api/tasks", self.editor).json["data"][0]["id"],
            "message": first[-1]["id"],
            "first_message": first[0]["id"],
        }

    def _fill(self) -> None:
        many, some = N[self.dialect]
        array = ", ".join(f"'{editor.id}'" for editor in self.editors)
        someone = f"(ARRAY[{array}]::uuid[])[i % 20 + 1]"
        if self.dialect == "sqlite":
            cases = " ".join(f"WHEN {n} THEN '{editor.id}'" for n, editor in enumerate(self.editors))
            someone = f"CASE i % 20 {cases} END"
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if self.dialect == "postgresql":
                connection.execute(text("SET statement_timeout = '60s'"))
            for t, (table, statement) in enumerate(FILLING.items(), 1):
                parts = {
                    "numbers": NUMBERS[self.dialect].format(n=many if table == "tasks" else some),
                    "key": KEYS[self.dialect].format(t=f"{t:03}"),
                    "other_key": KEYS[self.dialect].format(t="001"),
                    "someone": someone,
                    "day": DAY[self.dialect],
                    "time": TIME[self.dialect],
                }
                connection.execute(text(statement.format(**parts)))
            sealed = "UPDATE counters SET value = (SELECT max(position) FROM events) WHERE name = 'events_sealed'"
            connection.execute(text(sealed))
            if self.dialect == "postgresql":
                connection.execute(text("VACUUM ANALYZE"))

    def run(self, path: str, viewer: Someone) -> tuple[list[tuple[str, Any]], Any]:
        seen: list[tuple[str, Any]] = []

        def hear(_: Any, statement: str, parameters: Any) -> None:
            seen.append((statement, parameters))

        with asked.connected_to(hear):
            answer = self.api.get(path, viewer)
        assert answer.status_code == 200, answer.json
        return seen, answer

    def plan(self, statement: str, parameters: Any) -> list[tuple[str, str]]:
        """How each table is read: (table, the database's own word for it)."""
        with self.engine.connect() as connection:
            if self.dialect == "postgresql":
                found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
                return list(_nodes((found if isinstance(found, list) else json.loads(found))[0]["Plan"]))
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            details = [row[3] for row in rows if row[3].startswith(("SCAN ", "SEARCH "))]
            return [(detail.split()[1], detail) for detail in details]


def _nodes(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "Relation Name" in node or "Index Name" in node:
        yield node.get("Relation Name", "-"), f"{node['Node Type']} {node.get('Index Name', '')}".strip()
    for inner in node.get("Plans", []):
        yield from _nodes(inner)


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Agency]:
    app = create_app(settings(DATABASE_URL=make_database(f"idyll_plans_{worker_id}", tmp_path_factory.mktemp("plans"))))
    with app.app_context():
        upgrade()
    yield Agency(app)
    with app.app_context():
        db.engine.dispose()


def assert_by_index(agency: Agency, path: str, viewer: Someone) -> None:
    """The first page and the one that follows."""
    for _ in range(2):
        seen, answer = agency.run(path, viewer)
        read = [(table, how, statement) for statement, sent in seen for table, how in agency.plan(statement, sent)]
        scans = [found for found in read if found[0] in BIG and _reads_all(found[1])]
        assert scans == [], f"{path}: {scans[0][:2]}\n{scans[0][2]}"
        assert {table for table, *_ in read} & set(BIG), f"{path} reads none of the big tables: {read}"
        cursor = answer.json.get("nextCursor")
        if not cursor:
            return
        path = f"{path.partition('&cursor=')[0]}&cursor={quote(cursor)}"


def _reads_all(how: str) -> bool:
    return how == "Seq Scan" or (how.startswith("SCAN ") and "INDEX" not in how)


@pytest.mark.parametrize("query", TASK_QUERIES)
def test_tasks_are_found_by_an_index(agency, query):
    assert_by_index(agency, f"/api/tasks?limit=50&{query}", agency.owner)
    assert_by_index(agency, f"/api/tasks?limit=50&{query}", agency.editor)
    assert_by_index(agency, f"/api/tasks/user/{agency.editor.id}?limit=50&{query}", agency.owner)
    assert_by_index(agency, f"/api/tasks?limit=50&{query}&assignedTo={agency.editor.id}", agency.owner)


@pytest.mark.parametrize(
    ("who", "path", "query"),
    [
        (who, path, query)
        for path, queries in OTHERS.items()
        for query in queries
        for who in ("owner", "editor")
        if (who, path) != ("editor", "/api/audit")
    ],
)
def test_what_grows_without_end_is_found_by_an_index(agency, who, path, query):
    viewer = getattr(agency, who)
    assert_by_index(agency, f"{path}?limit=50&{query}".format(**agency.names), viewer)


@pytest.mark.parametrize("path", ["/api/tasks/{task}", "/api/auth/me"])
def test_one_object_is_found_by_an_index(agency, path):
    for viewer in (agency.owner, agency.editor):
        assert_by_index(agency, path.format(**agency.names), viewer)


@pytest.mark.parametrize(("what", "sweep"), [("stored_answers", idempotency.sweep), ("login_attempts", attempts.sweep)])
def test_a_sweep_looks_at_nothing_that_is_young(agency, what, sweep):
    seen = []

    def hear(_, statement, parameters):
        seen.append((statement, parameters))

    with clock.at(datetime(2025, 11, 1, tzinfo=UTC)), agency.app.app_context(), asked.connected_to(hear):
        assert sweep() == 0
    [read] = [found for statement, sent in seen for found in agency.plan(statement, sent)]
    assert read[0] == what
    assert not _reads_all(read[1]), read


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    "query", ["q=rare", "q=t7712", "q=wed+t77", "q=nowhere", "q=rare&status=blocked&sort=deadline"]
)
def test_a_rare_word_is_found_through_the_index_of_words(agency, query):
    """Not by walking the list in its order and looking at each."""
    assert "Bitmap Index Scan ix_tasks_words" in _scans(agency, query)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("query", ["q=wed", "q=wedding+film", "q=wedding&status=pending"])
def test_a_word_of_every_task_is_found_by_walking_the_list(agency, query):
    """Not by fetching and sorting all of them for one page."""
    assert not [how for how in _scans(agency, query) if "ix_tasks_words" in how]


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("sort", ["-createdAt", "deadline", "-deadline", "priority"])
def test_overdue_tasks_are_looked_for_among_the_open_ones(agency, sort):
    """Not past all that are done."""
    assert [how for how in _scans(agency, f"overdue=true&sort={sort}") if " ix_tasks_open_" in how]


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("days", ["deadlineFrom={0}&deadlineTo={1}", "deadlineFrom={0}", "deadlineTo={1}"])
def test_days_of_long_ago_are_found_by_day(agency, days):
    """Where the newest tasks are of other days: not by walking past all of them."""
    assert "Index Scan ix_tasks_deadline_id" in _scans(agency, days.format(*DAYS))


def _scans(agency: Agency, query: str) -> set[str]:
    seen, _ = agency.run(f"/api/tasks?{query}", agency.owner)
    return {how for statement, sent in seen for _, how in agency.plan(statement, sent)}
