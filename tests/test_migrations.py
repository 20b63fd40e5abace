"""Migrations: up, down and up again with data, the same schema as the models, closed to strangers on PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from conftest import DATABASE, make_database, settings
from flask import Flask
from flask_migrate import Migrate, downgrade, upgrade
from rows import copy_last, fill
from sqlalchemy import Connection, Table, create_engine, inspect, make_url, select, text
from sqlalchemy.exc import DBAPIError

from config import database_url as normalised
from idyll import create_app
from idyll.database import release
from idyll.extensions import db
from idyll.health import MIGRATIONS
from idyll.ledger import service as books

pytestmark = pytest.mark.database

ROOT = Path(__file__).parent.parent
STEPS = ["0010", "0009", "0008", "0007", "0006", "0005", "0004", "0003", "0002", "0001"]
TABLES = {table.name for table in db.metadata.sorted_tables}


@pytest.fixture
def url(tmp_path: Path, worker_id: str) -> str:
    return make_database(f"idyll_migrations_{worker_id}", tmp_path)


@pytest.fixture
def empty(url: str) -> Iterator[Flask]:
    """An app on a database without a table, within its context: Alembic runs there too."""
    made = create_app(settings(DATABASE_URL=url))
    with made.app_context():
        yield made
        db.engine.dispose()


@pytest.fixture
def connection(empty: Flask) -> Iterator[Connection]:
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


# What a migration after the first one brought, and takes with it when it goes.
LATER_TABLES = {
    "instances",
    "login_attempts",
    "two_step_secrets",
    "recovery_codes",
    "ledger",
    "audit_seals",
    "anchors",
}
LATER_COUNTERS = {"rights", "audit_sealed"}
LATER_COLUMNS = {"users": {"two_step_at"}, "sessions": {"network", "proved_at"}}


def everything(connection: Connection, but: Container[str] = ()) -> dict[str, list[Any]]:
    tables = [table for table in db.metadata.sorted_tables if table.name not in but]
    return {table.name: rows_of(connection, table) for table in tables}


def rows_of(connection: Connection, table: Table, but: Container[str] = ()) -> list[Any]:
    columns = [column for column in table.c if column.name not in but]
    return list(connection.execute(select(*columns).order_by(*table.primary_key)))


def what_was_there_first(connection: Connection) -> dict[str, list[Any]]:
    tables = [table for table in db.metadata.sorted_tables if table.name not in LATER_TABLES]
    rows = {table.name: rows_of(connection, table, but=LATER_COLUMNS.get(table.name, ())) for table in tables}
    rows["counters"] = [row for row in rows["counters"] if row.name not in LATER_COUNTERS]
    return rows


def test_there_is_one_head():
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_heads() == [STEPS[0]]
    assert [script.revision for script in scripts.walk_revisions()] == STEPS


def test_data_survives_the_way_down_to_the_tables_and_up_again(connection):
    upgrade()
    fill(connection)
    before = what_was_there_first(connection)
    assert all(before.values()), "a row in every table"
    for step in STEPS[1:]:
        downgrade(revision=step)
        assert what_was_there_first(connection) == before
    upgrade()
    assert what_was_there_first(connection) == before


@pytest.mark.only_on("postgresql")
def test_task_numbers_go_on_where_they_were_on_the_way_down_and_up(connection):
    upgrade(revision="0005")
    connection.execute(text("UPDATE counters SET value = 41 WHERE name = 'task_number'"))
    upgrade()
    assert [connection.execute(text("SELECT nextval('task_numbers')")).scalar() for _ in range(2)] == [42, 43]
    downgrade(revision="0005")
    assert connection.execute(text("SELECT value FROM counters WHERE name = 'task_number'")).scalar() == 43
    upgrade()
    downgrade(revision="0005")
    assert connection.execute(text("SELECT value FROM counters WHERE name = 'task_number'")).scalar() == 43


def test_where_sessions_came_from_is_known_after_the_way_up_as_far_as_it_can_be(connection):
    upgrade()
    fill(connection)
    downgrade(revision="0006")
    found = {}
    for address in ("203.0.113.7", "2001:db8::7", None):
        connection.execute(text("UPDATE sessions SET address = :address"), {"address": address})
        upgrade()
        found[address] = connection.execute(text("SELECT network FROM sessions")).scalar()
        downgrade(revision="0006")
    assert found == {"203.0.113.7": "203.0.113.7", "2001:db8::7": None, None: None}


def test_the_books_are_made_of_the_payouts_that_are_there(connection):
    upgrade()
    money = {"amount_minor": 7, "currency": "INR"}
    fill(connection, payouts={**money, "status": "paid"}, payments=money, ledger=money)
    for status in ("pending", "approved", "rejected", "cancelled"):
        copy_last(connection, db.metadata.tables["payouts"], 2, status=status, live_task_id=None)
    downgrade(revision="0006")
    upgrade()
    faults, balances = list(books.faults()), books.all_balances()
    release()
    assert faults == []
    assert balances == {
        "asked": {"INR": -63},
        "pending": {"INR": 14},
        "approved": {"INR": 14},
        "paid": {"INR": 7},
        "rejected": {"INR": 14},
        "cancelled": {"INR": 14},
    }


def test_the_way_down_ends_with_nothing_and_up_again_begins_anew(connection):
    upgrade()
    fill(connection)
    downgrade(revision="base")
    assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    assert connection.execute(text("SELECT * FROM alembic_version")).all() == []
    upgrade()
    counters = connection.execute(text("SELECT name, value FROM counters ORDER BY name")).all()
    names = ["audit_sealed", "events_sealed", "events_swept", "rights", "task_number"]
    assert counters == [(name, 0) for name in names]
    fill(connection)


def test_upgrading_twice_changes_nothing(connection):
    upgrade()
    fill(connection)
    before = everything(connection)
    upgrade()
    assert everything(connection) == before


def test_autogenerate_finds_no_drift(empty):
    upgrade()
    migrate: Migrate = empty.extensions["migrate"].migrate
    command.check(migrate.get_config())


def test_the_migrations_make_what_the_models_say(connection, tmp_path, worker_id):
    """Also what autogenerate doesn't compare: checks, names of constraints, collations."""
    upgrade()
    migrated = described(connection)
    other = make_database(f"idyll_models_{worker_id}", tmp_path)
    engine = create_engine(normalised(other))
    db.metadata.create_all(engine)
    with engine.connect() as fresh:
        assert migrated == described(fresh)
    engine.dispose()


def described(connection: Connection) -> dict[str, Any]:
    found = inspect(connection)
    own = {f"ix_{table}_words" for table in TABLES}
    own |= {f"ix_tasks_open_{order}" for order in ("id", "deadline_id", "priority_rank_id")}
    return {
        table: {
            "columns": {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)},
            "key": found.get_pk_constraint(table),
            "keys": sorted(map(str, found.get_foreign_keys(table))),
            "checks": sorted((c["name"] or "", c["sqltext"]) for c in found.get_check_constraints(table)),
            "unique": sorted(map(str, found.get_unique_constraints(table))),
            "indexes": sorted(str(index) for index in found.get_indexes(table) if index["name"] not in own),
            "options": {k: v for k, v in found.get_table_options(table).items() if "auto_increment" not in k},
        }
        for table in sorted(TABLES)
    }


@pytest.mark.parametrize("step", [None, "0001"], ids=["fresh", "after a step back"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET currency = 'EUR'", "DELETE FROM {}"])
def test_paid_rows_are_frozen_after_every_way_up(connection, step, statement):
    upgrade()
    if step:
        downgrade(revision=step)
        upgrade()
    fill(connection)
    with pytest.raises(DBAPIError, match="payments is frozen"):
        connection.execute(text(statement.format("payments")))


def test_a_step_back_lifts_what_the_step_forbade(connection):
    upgrade()
    fill(connection)
    downgrade(revision="0001")
    connection.execute(text("UPDATE audit SET action = 'changed'"))
    assert connection.execute(text("SELECT action FROM audit")).scalar() == "changed"


def test_a_hosts_address_is_good_for_the_release_command(url):
    """`postgres://` and `mysql://`, as hosts hand them out."""
    scheme = {"postgresql": "postgres", "mariadb": "mysql", "sqlite": "sqlite"}[DATABASE]
    handed_out = scheme + "://" + url.split("://", 1)[1].partition("?")[0]
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"],
        check=False,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": handed_out},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    engine = create_engine(normalised(url))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == STEPS[0]
        assert set(inspect(connection).get_table_names()) == TABLES | {"alembic_version"}
    engine.dispose()


# -- row-level security --------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(connection: Connection, worker_id: str) -> Iterator[str]:
    """A role with every right that Supabase gives its public one, and no more."""
    upgrade()
    fill(connection)
    role = f"stranger_{worker_id}"
    connection.execute(text(f"DROP ROLE IF EXISTS {role}"))
    connection.execute(text(f"CREATE ROLE {role}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {role}"))
    connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
    yield role
    connection.execute(text("RESET ROLE"))
    connection.execute(text(f"DROP OWNED BY {role}"))
    connection.execute(text(f"DROP ROLE {role}"))


@pytest.mark.only_on("postgresql")
def test_every_table_has_row_level_security(connection):
    upgrade()
    tables = text("SELECT tablename, rowsecurity FROM pg_tables WHERE schemaname = 'public'")
    assert dict(connection.execute(tables).all()) == dict.fromkeys(TABLES | {"alembic_version"}, True)
    downgrade(revision="0003")
    assert not any(secured for _, secured in connection.execute(tables))


@pytest.mark.only_on("postgresql")
def test_a_strange_role_sees_and_changes_nothing(connection, stranger):
    owned = everything(connection)
    connection.execute(text(f"SET ROLE {stranger}"))
    assert everything(connection) == {table: [] for table in TABLES}
    assert connection.execute(text("UPDATE users SET role = 'owner'")).rowcount == 0
    assert connection.execute(text("DELETE FROM messages")).rowcount == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        connection.execute(text("INSERT INTO counters (name, value) VALUES ('x', 1)"))
    connection.execute(text("RESET ROLE"))
    assert everything(connection) == owned


def test_the_address_keeps_its_password_and_parameters():
    """As Heroku, Neon and Supabase write them."""
    found = normalised("postgres://u:p%40ss@db.example.com:6543/app?sslmode=require&channel_binding=require")
    assert found == make_url(
        "postgresql+psycopg2://u:p%40ss@db.example.com:6543/app?sslmode=require&channel_binding=require"
    )
    assert found.password == "p@ss"
