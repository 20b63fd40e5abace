"""How statements are run: kept where they are always the same, prepared where connections last, and never lost."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from conftest import Api
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from idyll import running
from idyll.database import asked, execute
from idyll.events import sealing
from idyll.extensions import db
from idyll.hosts import database_url, statements_last
from idyll.transactions import transaction

pytestmark = pytest.mark.database
FILM = {"name": "Film", "deadline": "2031-01-01"}


def everything(api, who):
    """A read, a search and a write."""
    assert api.get("/api/tasks", who).status_code == 200
    assert api.get("/api/tasks", who, query_string={"q": "fi"}).status_code == 200
    return api.post("/api/tasks", who, FILM).status_code


@pytest.fixture
def forget(app: Flask) -> Iterator[Callable[[], None]]:
    """What a pooler in transaction mode does: the next one gets a connection on which nothing is prepared."""

    def deallocate() -> None:
        with app.app_context():
            pool = db.engine.pool
            lent = [db.engine.raw_connection() for _ in range(pool.checkedin() or 1)]
            for connection in lent:
                connection.cursor().execute("DEALLOCATE ALL")
            for connection in lent:
                connection.close()

    def begin_anew() -> None:
        app.extensions["prepares"] = True
        with app.app_context():
            db.engine.dispose()

    begin_anew()
    yield deallocate
    begin_anew()


def test_what_is_asked_once_is_not_kept_for_ever(api, owner, editor):
    everything(api, owner)
    for who in (owner, editor):
        for sort in ("deadline", "-deadline"):
            assert api.get("/api/tasks", who, query_string={"q": "x", "sort": sort}).status_code == 200
    kept = len(running._fixed)
    for n in range(60):
        query = {"q": f"word{n}", "deadlineFrom": f"2031-01-{n % 28 + 1:02}"}
        assert api.get("/api/tasks", owner, query_string=query).status_code == 200
    assert len(running._fixed) == kept


def test_one_statement_serves_all_who_ask_alike_and_shows_each_their_own(api, people, owner):
    first, second = people.editor(), people.editor()
    for who in (first, second):
        api.post("/api/tasks", owner, FILM | {"assignedTo": who.id})
    kept = set()
    for who in (first, second, first, second):
        assert api.get("/api/tasks", who).status_code == 200  # as one who was seen before
    for who in (first, second, first):
        shown = api.get("/api/tasks", who).json["data"]
        assert [task["assignedTo"] for task in shown] == [who.id]
        kept.add(len(running._fixed))
    assert len(kept) == 1


@pytest.mark.only_on("postgresql")
def test_one_statement_writes_however_many_rows_and_in_their_order(app, api, people, owner):
    prepared = set()
    people.moderator()
    for told in range(2, 6):
        people.moderator()
        answer = api.post("/api/payouts", owner, {"projectName": f"Film {told}", "amount": 1})
        assert answer.status_code == 201
        with app.app_context():
            written = execute(text(f"SELECT name FROM events ORDER BY id DESC LIMIT {told + 1}")).scalars()
            assert list(written) == ["new_notification"] * told + ["payout_created"]
            like = "%INSERT INTO notifications%json_to_recordset%"
            counted = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE :like")
            prepared.add(execute(counted.bindparams(like=like)).scalar())
    assert len(prepared) == 1, prepared
    assert prepared != {0}


@pytest.mark.only_on("postgresql")
def test_statements_are_prepared_on_a_connection_that_lasts(app, api, owner):
    everything(api, owner)
    with app.app_context():
        there = set(execute(text("SELECT name FROM pg_prepared_statements")).scalars())
    assert any(name.startswith("idyll_") for name in there)


@pytest.mark.only_on("postgresql")
def test_a_pooler_that_forgets_what_was_prepared_costs_nothing_but_speed(app, api, owner, caplog, forget):
    for _ in range(2):
        assert everything(api, owner) == 201
    forget()
    with caplog.at_level(logging.WARNING, "idyll.preparing"):
        assert everything(api, owner) == 201
    assert "prepared statements do not last here" in caplog.text
    assert app.extensions["prepares"] is False
    assert everything(api, owner) == 201


@pytest.mark.only_on("postgresql")
def test_a_write_that_meets_a_forgetful_pooler_is_asked_to_come_again_and_leaves_nothing(api, owner, forget):
    assert everything(api, owner) == 201
    before = len(api.get("/api/tasks", owner).json["data"])
    forget()
    refused = api.post("/api/tasks", owner, FILM)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert api.post("/api/tasks", owner, FILM).status_code == 201
    assert len(api.get("/api/tasks", owner).json["data"]) == before + 1


@pytest.mark.only_on("postgresql")
def test_a_message_that_meets_a_forgetful_pooler_is_sent_once(api, owner, forget):
    assert api.post("/api/chat/messages", owner, {"message": "Before"}).status_code == 201
    forget()
    assert api.post("/api/chat/messages", owner, {"message": "After"}).status_code == 201
    assert len(api.get("/api/chat/messages", owner).json["data"]) == 2


@pytest.mark.only_on("postgresql")
def test_places_in_the_log_are_not_given_without_their_lock_when_a_pooler_forgets_it(app, api, owner, forget):
    assert everything(api, owner) == 201
    with app.app_context():
        sealed = sealing.seal().sealed
    assert everything(api, owner) == 201
    forget()
    with app.app_context():
        with pytest.raises(DBAPIError):
            sealing.seal()
        assert sealing.seal().sealed > sealed


@pytest.mark.only_on("postgresql")
def test_a_failure_that_nobody_spoke_of_is_no_commit(app):
    """PostgreSQL answers COMMIT with ROLLBACK then, and no error."""

    def lose() -> None:
        with transaction():
            execute(text("INSERT INTO counters (name, value) VALUES ('lost', 1)"))
            with suppress(DBAPIError):
                execute(text("SELECT 1 / 0"))

    with app.app_context(), pytest.raises(RuntimeError, match="nobody said so"):
        lose()
    with app.app_context():
        assert execute(text("SELECT count(*) FROM counters WHERE name = 'lost'")).scalar() == 0


def test_a_transaction_in_which_nothing_ran_costs_no_trip(app):
    heard = []

    def hear(*_, **said):
        heard.append(said)

    with app.app_context(), asked.connected_to(hear, db.engine), transaction():
        pass
    assert heard == []


@pytest.mark.parametrize(
    ("url", "last"),
    [
        ("postgres://u:p@db.example.com/idyll", True),
        ("postgres://u:p@aws-0-eu.pooler.supabase.com:5432/postgres", True),
        ("postgres://u:p@aws-0-eu.pooler.supabase.com:6543/postgres", False),
        ("postgres://u:p@ep-cool-name-123456.eu-central-1.aws.neon.tech/neondb", True),
        ("postgres://u:p@ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech/neondb", False),
        ("mysql://u:p@db.example.com/idyll", False),
        ("sqlite:///idyll.db", False),
    ],
)
def test_where_connections_last(url, last):
    assert statements_last(database_url(url)) is last


def test_who_was_demoted_a_moment_ago_writes_nothing(app, api: Api, owner, moderator):
    assert api.post("/api/tasks", moderator, FILM).status_code == 201
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE users SET role = 'editor' WHERE id = :id"), {"id": moderator.id})
    assert api.post("/api/tasks", moderator, FILM).status_code == 403
    assert len(api.get("/api/tasks", owner).json["data"]) == 1
