"""What every test stands on: a real, migrated database, people with tokens, and a client that checks every answer.

`TEST_DATABASE` chooses sqlite (default), postgresql or mariadb. Each worker of pytest-xdist has a database of its
own; every test begins with empty tables.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from answers import check_answer
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from messages import check_log
from servers import available, mariadb_url, postgres_url, start_servers, stop_servers
from sqlalchemy import create_engine, make_url, select, text
from werkzeug.test import TestResponse

from config import load
from idyll import create_app
from idyll.actor import Actor
from idyll.audit import chain
from idyll.auth import passwords
from idyll.auth.service import Caller, open_session
from idyll.events.models import Event
from idyll.extensions import db
from idyll.limits import forget_counts
from idyll.shapes import parsed
from idyll.transactions import transaction
from idyll.users import service as users
from idyll.users.roles import Role, Status

DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
PASSWORD = "four-minutes-of-film"
# Fast: what a hash costs in production is bench's to measure and test_passwords' to check.
CHEAP_HASH = "scrypt:128:1:1"
KEPT_TABLES = ("alembic_version", "counters")

pytest_plugins = ["live", "tabs"]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        wanted = {DATABASE} - {"sqlite"}
        if available("redis"):
            wanted.add("redis")
        start_servers(wanted)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        stop_servers()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that is about one database is not a test on another."""
    elsewhere = [item for item in items if (mark := item.get_closest_marker("only_on")) and DATABASE not in mark.args]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


# -- the database ----------------------------------------------------------------------------------------------------


def make_database(name: str, folder: Path) -> str:
    """A new, empty database on the server under test; gives its address as a host would hand it out."""
    if DATABASE == "sqlite":
        return f"sqlite:///{folder / name}.db"
    server = make_url({"postgresql": postgres_url, "mariadb": mariadb_url}[DATABASE]())
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


def settings(**more: str) -> dict[str, Any]:
    """The configuration of a test's app: what the environment would give, with cheap hashes and no HTTP limits."""
    environ = {
        "SECRET_KEY": "3a7f1c9e5b2d8046f1e3c5a79b0d2e4f6a8c",
        "JWT_SECRET_KEY": "9d4b2f7a6c1e8350b7d9f2a4c6e81b3d5f70",
        "RATELIMIT_ENABLED": "off",
        "LOG_LEVEL": "warning",
        **more,
    }
    return load(environ) | {"PASSWORD_METHOD": CHEAP_HASH, "TESTING": True, "PROPAGATE_EXCEPTIONS": False}


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> str:
    return make_database(f"idyll_{worker_id}", tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="session")
def app(database_url: str) -> Flask:
    """The application on its migrated database."""
    made = create_app(settings(DATABASE_URL=database_url))
    with made.app_context():
        upgrade()
    return made


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty tables, unless the test does without the app; at its end the events that it caused are looked at."""
    if "app" not in request.fixturenames:
        yield
        return
    app = request.getfixturevalue("app")
    with app.app_context():
        empty_tables()
    forget_counts()
    yield
    with app.app_context():
        check_log(db.session.execute(select(Event.name, Event.data)))


def empty_tables(*, while_running: bool = False) -> None:
    """Deletes every row, frozen ones too: as the database's owner, round the triggers that bind the app.

    What a running application goes by stays: the heartbeats of its instances, and its place in the log of events.
    """
    kept = {*KEPT_TABLES, *(["instances"] if while_running else [])}
    tables = [table.name for table in reversed(db.metadata.sorted_tables) if table.name not in kept]
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if DATABASE == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")
            # Who seals the audit beside the tests locks its rows in another order than they are deleted here.
            one_sealer = f"SELECT 1 FROM counters WHERE name = '{chain.LOCK}' FOR UPDATE"
            connection.exec_driver_sql(";".join([one_sealer, *(f"DELETE FROM {table}" for table in tables)]))
            connection.exec_driver_sql("SET session_replication_role = origin")
        elif DATABASE == "mariadb":
            connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 0")
            for table in tables:
                if connection.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1").first():
                    connection.exec_driver_sql(f"TRUNCATE TABLE {table}")
            connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 1")
        else:
            find = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
            triggers = connection.exec_driver_sql(find).all()
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            for name, _ in triggers:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            for table in tables:
                connection.exec_driver_sql(f"DELETE FROM {table}")
            for _, sql in triggers:
                connection.exec_driver_sql(sql)
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        if not while_running:
            connection.exec_driver_sql("UPDATE counters SET value = 0")
            if DATABASE == "postgresql":
                connection.exec_driver_sql("ALTER SEQUENCE task_numbers RESTART")


# -- people ----------------------------------------------------------------------------------------------------------


@dataclass
class Someone:
    """A person of a test, signed in."""

    id: str
    email: str
    username: str
    name: str
    role: str
    token: str
    refresh_token: str


class People:
    """Makes people as the agency has them; `someone.token` is good for requests."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.count = 0

    def __call__(
        self, role: Role = Role.EDITOR, status: Status = Status.APPROVED, name: str = "", password: str = ""
    ) -> Someone:
        self.count += 1
        username = f"{role.value}{self.count}"
        name = name or f"{role.value.title()} {self.count}"
        fields = {"email": f"{username}@example.com", "username": username, "display_name": name, "role": role}
        with self.app.app_context():
            password_hash = passwords.hashed(password or PASSWORD)
            with transaction():
                user = users.make(fields, status=status, password_hash=password_hash)
                answer = parsed(open_session(user.id, Caller("192.0.2.1", "pytest", None)))
        return Someone(user.id, fields["email"], username, name, role, answer["accessToken"], answer["refreshToken"])

    def owner(self, **kwargs: Any) -> Someone:
        return self(Role.OWNER, **kwargs)

    def moderator(self, **kwargs: Any) -> Someone:
        return self(Role.MODERATOR, **kwargs)

    def editor(self, **kwargs: Any) -> Someone:
        return self(Role.EDITOR, **kwargs)

    def pending(self, **kwargs: Any) -> Someone:
        return self(Role.EDITOR, Status.PENDING, **kwargs)


@pytest.fixture
def people(app: Flask) -> People:
    return People(app)


@pytest.fixture
def owner(people: People) -> Someone:
    return people.owner(name="Olga Owner")


@pytest.fixture
def moderator(people: People) -> Someone:
    return people.moderator(name="Max Moderator")


@pytest.fixture
def editor(people: People) -> Someone:
    return people.editor(name="Asha Editor")


@pytest.fixture
def other_editor(people: People) -> Someone:
    return people.editor(name="Ravi Editor")


@pytest.fixture
def pending(people: People) -> Someone:
    return people.pending(name="Pia Pending")


# -- requests --------------------------------------------------------------------------------------------------------


class Api:
    """A client of the API. Every answer is checked against the OpenAPI document."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()

    def __call__(
        self, method: str, path: str, by: Someone | str | None = None, json: Any = None, **kwargs: Any
    ) -> TestResponse:
        """`by` is a person or a token; `headers`, `data` and the like go through to werkzeug."""
        headers = dict(kwargs.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {by.token if isinstance(by, Someone) else by}"
        if json is not None:
            kwargs["json"] = json
        response = self.client.open(path, method=method, headers=headers, **kwargs)
        check_answer(self.app, response)
        return response

    def get(self, path: str, by: Someone | str | None = None, **kwargs: Any) -> TestResponse:
        return self("GET", path, by, **kwargs)

    def post(self, path: str, by: Someone | str | None = None, json: Any = None, **kwargs: Any) -> TestResponse:
        return self("POST", path, by, json, **kwargs)

    def put(self, path: str, by: Someone | str | None = None, json: Any = None, **kwargs: Any) -> TestResponse:
        return self("PUT", path, by, json, **kwargs)

    def patch(self, path: str, by: Someone | str | None = None, json: Any = None, **kwargs: Any) -> TestResponse:
        return self("PATCH", path, by, json, **kwargs)

    def delete(self, path: str, by: Someone | str | None = None, json: Any = None, **kwargs: Any) -> TestResponse:
        return self("DELETE", path, by, json, **kwargs)

    def pages(self, path: str, by: Someone, **query: Any) -> Iterator[dict[str, Any]]:
        """Every row of a list, page after page; each begins elsewhere."""
        cursor: str | None = None
        begun: set[str] = set()
        while True:
            found = self.get(path, by, query_string={**query, **({"cursor": cursor} if cursor else {})})
            assert found.status_code == 200, found.get_data(as_text=True)
            yield from found.json["data"]
            cursor = found.json["nextCursor"]
            if cursor is None:
                return
            assert cursor not in begun, "a list that never ends"
            begun.add(cursor)


@pytest.fixture
def api(app: Flask) -> Api:
    return Api(app)


def actor(someone: Someone, status: Status = Status.APPROVED) -> Actor:
    """The same person for a service called without a request."""
    return Actor(someone.id, someone.role, status)
