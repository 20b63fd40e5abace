"""The chain over the audit: sealed after the commit, each row once, and no hand goes into it unseen."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import DATABASE, Api, Someone
from flask import Flask
from sqlalchemy import Connection, text

from idyll.actor import system
from idyll.audit import chain
from idyll.audit.service import note
from idyll.database import asked
from idyll.extensions import db
from idyll.ids import first_of, made_at, uuid7
from idyll.transactions import transaction

pytestmark = pytest.mark.database


@pytest.fixture
def noted(app: Flask, api: Api, owner: Someone) -> Callable[..., Any]:
    """Makes some rows; gives a function that reads with SQL."""
    for n in range(6):
        assert api.post("/api/tasks", owner, {"name": f"Film {n}", "deadline": "2031-01-01"}).status_code == 201

    def read(statement: str, **values: Any) -> Any:
        with app.app_context(), db.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    return read


@contextmanager
def the_owner_of_the_database(app: Flask) -> Iterator[Connection]:
    """Somebody whom neither triggers nor foreign keys hold."""
    with app.app_context(), db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        triggers: list[Any] = []
        if DATABASE == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")
        elif DATABASE == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            triggers = list(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        else:
            connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 0")
            triggers = list(
                connection.exec_driver_sql(
                    "SELECT trigger_name, CONCAT('CREATE TRIGGER ', trigger_name, ' BEFORE ', event_manipulation,"
                    " ' ON ', event_object_table, ' FOR EACH ROW ', action_statement)"
                    " FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
                )
            )
        for name, _ in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        try:
            yield connection
        finally:
            for _, made_by in triggers:
                connection.exec_driver_sql(made_by)
            if DATABASE == "postgresql":
                connection.exec_driver_sql("SET session_replication_role = origin")
            elif DATABASE == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            else:
                connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 1")


def verify(app: Flask, *args: str) -> tuple[int, str]:
    found = app.test_cli_runner().invoke(args=["audit", "verify", *args])
    return found.exit_code, found.output


def head_of(output: str) -> str:
    return output.rsplit(maxsplit=1)[-1]


def test_each_row_is_sealed_once_in_the_order_of_the_ids(app, noted):
    with app.app_context():
        assert chain.seal() == len(noted("SELECT id FROM audit"))
        assert chain.seal() == 0
    assert noted("SELECT audit_id FROM audit_seals ORDER BY position") == noted("SELECT id FROM audit ORDER BY id")
    count = len(noted("SELECT position FROM audit_seals"))
    assert noted("SELECT min(position), max(position) FROM audit_seals") == [(1, count)]
    code, said = verify(app)
    assert (code, said.splitlines()[0]) == (0, "ok")
    assert said.splitlines()[1].startswith(f"{count} rows, head {count}:")


def test_more_than_a_batch_is_sealed_too(app, owner):
    with app.app_context():
        with transaction():
            for _ in range(chain.BATCH * 2 + 3):
                note("task.created", "task", uuid7(), by=system())
        # And the person who signed in for the test.
        assert chain.seal() == chain.BATCH * 2 + 4
    assert verify(app)[0] == 0


def test_a_row_that_was_committed_late_is_sealed_all_the_same(app, noted):
    """Its id is older than those of the rows that were sealed meanwhile."""
    with app.app_context():
        chain.seal()
    late = first_of(datetime.now(UTC) - timedelta(minutes=2))
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO audit (id, at, action, object_type, object_id, changes)"
                " SELECT :key, at, action, object_type, object_id, changes FROM audit WHERE id ="
                " (SELECT audit_id FROM audit_seals WHERE position = 1)"
            ),
            {"key": late},
        )
    with app.app_context():
        # A short look passes over it, a long one does not.
        assert chain.seal(datetime.now(UTC) - timedelta(seconds=5)) == 0
        assert chain.seal() == 1
    last = noted("SELECT audit_id FROM audit_seals ORDER BY position DESC LIMIT 1")
    assert str(last[0][0]) == late
    assert verify(app)[0] == 0


def test_a_look_for_nothing_is_one_statement_and_writers_do_no_more_than_before(app, api, owner, noted):
    with app.app_context():
        chain.seal()
        seen: list[str] = []
        with asked.connected_to(lambda _, statement, **__: seen.append(statement)):
            chain.seal(datetime.now(UTC) - timedelta(seconds=5))
    assert len(seen) == 1
    seen.clear()
    with asked.connected_to(lambda _, statement, **__: seen.append(statement)):
        api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01"})
    assert [s for s in seen if "audit_seals" in s] == []


@pytest.mark.only_on("postgresql")
def test_the_end_of_a_backlog_is_sealed_without_reading_what_is_sealed_already(app, owner):
    with app.app_context():
        with transaction():
            for _ in range(chain.BATCH * 3):
                note("task.created", "task", uuid7(), by=system())
        chain.seal()
        db.session.execute(text("ANALYZE"))
        time.sleep(0.01)
        lately = datetime.now(UTC)
        with transaction():
            note("task.created", "task", uuid7(), by=system())
        seen: list[tuple[str, Any]] = []
        with asked.connected_to(lambda _, statement, parameters: seen.append((statement, parameters))):
            assert chain.seal(lately) == 1
        for statement, parameters in seen:
            if statement.startswith("SELECT") and "audit_seals.audit_id IS NULL" in statement:
                with db.engine.connect() as connection:
                    explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
                    [found] = connection.exec_driver_sql(explained, parameters).scalar_one()
                assert _read_of(found["Plan"], "audit_seals") <= 1, statement
                seen = []
        assert seen == []


def _read_of(plan: dict[str, Any], table: str) -> float:
    """How many rows of a table were handed on."""
    mine = plan["Actual Rows"] * plan["Actual Loops"] if plan.get("Relation Name") == table else 0
    return mine + sum(_read_of(inner, table) for inner in plan.get("Plans", []))


CHANGES = (
    "UPDATE audit SET action = 'task.deleted' WHERE {third}",
    "UPDATE audit SET changes = '{{}}' WHERE {third}",
    "UPDATE audit SET address = NULL WHERE {third}",
    "UPDATE audit SET actor_id = NULL WHERE {third}",
    "UPDATE audit SET object_id = id WHERE {third}",
    "UPDATE audit SET at = {older} WHERE {third}",
    "UPDATE audit SET request_id = 'x' WHERE {third}",
    "UPDATE audit_seals SET digest = '0' WHERE position = 3",
)
TAKEN_OUT = (
    "DELETE FROM audit WHERE {third}",
    "DELETE FROM audit WHERE {third}; DELETE FROM audit_seals WHERE position = 3",
    (
        "DELETE FROM audit WHERE {third}; DELETE FROM audit_seals WHERE position = 3;"
        " UPDATE audit_seals SET position = 3 WHERE position = 4"
    ),
    "DELETE FROM audit_seals WHERE position = 3",
)
PUT_IN = (
    (
        "INSERT INTO audit (id, at, action, object_type, object_id, changes)"
        " SELECT '{old}', at, 'task.created', object_type, object_id, '{{}}' FROM audit WHERE {third}"
    ),
    (
        "INSERT INTO audit (id, at, action, object_type, object_id, changes)"
        " SELECT '{old}', at, 'task.created', object_type, object_id, '{{}}' FROM audit WHERE {third};"
        " UPDATE audit_seals SET position = 1000 WHERE position = 3;"
        " INSERT INTO audit_seals (position, audit_id, digest) VALUES (3, '{old}', '{digest}')"
    ),
)


@pytest.mark.parametrize("hand", [*CHANGES, *TAKEN_OUT, *PUT_IN])
def test_a_hand_in_the_audit_is_found(app, noted, hand):
    assert verify(app)[0] == 0
    third = noted("SELECT audit_id FROM audit_seals WHERE position = 3")[0][0]
    older = {"sqlite": "'2020-01-01T00:00:00.000Z'", "postgresql": "'2020-01-01'", "mariadb": "'2020-01-01'"}[DATABASE]
    old = first_of(datetime.now(UTC) - timedelta(days=1))
    named = {"third": f"id = '{third}'", "older": older, "old": old, "digest": "ab" * 32}
    with the_owner_of_the_database(app) as connection:
        for statement in hand.format(**named).split(";"):
            assert connection.exec_driver_sql(statement.strip()).rowcount == 1, statement
    code, said = verify(app)
    assert code == 1, said
    assert "BROKEN" in said
    assert "place 3" in said or "put in" in said
    assert "ok" not in said


def test_the_last_rows_are_missed_by_a_head_noted_before(app, noted):
    head = head_of(verify(app)[1])
    assert verify(app, "--head", head)[0] == 0
    last = int(head.split(":")[0])
    with the_owner_of_the_database(app) as connection:
        connection.exec_driver_sql(
            f"DELETE FROM audit WHERE id IN (SELECT audit_id FROM audit_seals WHERE position > {last - 2})"
        )
        connection.exec_driver_sql(f"DELETE FROM audit_seals WHERE position > {last - 2}")
    assert verify(app)[0] == 0
    code, said = verify(app, "--head", head)
    assert code == 1
    assert head in said


def test_a_head_is_found_again_in_a_chain_that_has_grown(app, api, owner, noted):
    head = head_of(verify(app)[1])
    api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01"})
    code, said = verify(app, "--head", head)
    assert code == 0
    assert head_of(said) != head
    assert verify(app, "--head", head.partition(":")[2])[0] == 0
    for wrong in ("7:" + "0" * 64, f"1:{head.partition(':')[2]}", "nonsense"):
        assert verify(app, "--head", wrong)[0] == 1


def test_an_audit_sealed_anew_from_the_start_has_another_head(app, noted):
    """Whoever owns the database can do it; a head noted elsewhere tells."""
    head = head_of(verify(app)[1])
    third = noted("SELECT audit_id FROM audit_seals WHERE position = 3")[0][0]
    with the_owner_of_the_database(app) as connection:
        connection.exec_driver_sql(f"UPDATE audit SET action = 'task.deleted' WHERE id = '{third}'")
        connection.exec_driver_sql("DELETE FROM audit_seals")
    assert verify(app)[0] == 0
    assert verify(app, "--head", head)[0] == 1


def test_the_time_of_an_id_is_read_back():
    moment = datetime(2026, 1, 5, 9, 30, 15, 7000, tzinfo=UTC)
    assert made_at(uuid7(moment)) == made_at(first_of(moment)) == moment
    assert first_of(moment) <= uuid7(moment)


def test_a_command_seals_what_it_noted(app, owner):
    assert app.test_cli_runner().invoke(args=["users", "invite", owner.email]).exit_code == 0
    with app.app_context(), db.engine.connect() as connection:
        counts = [
            connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in ("audit", "audit_seals")
        ]
    assert counts[0] == counts[1] >= 2
