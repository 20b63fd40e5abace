"""A message that waits in the database while the rights of its sender end: the rights of the end are what counts."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from conftest import DATABASE
from driver import NoAck
from sqlalchemy import insert, select, text, update
from talk import SOON, join, say, until

from idyll import guess
from idyll.auth.models import Session
from idyll.chat.models import Message
from idyll.extensions import db
from idyll.users.models import User

# On SQLite nobody waits for a row: there is one writer at a time.
pytestmark = [pytest.mark.database, pytest.mark.only_on("postgresql", "mariadb")]

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = "management"
HELD_UP = {
    "postgresql": "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    # Not innodb_trx: who reads that again within 0.1 s is told what it said before.
    "mariadb": "information_schema.global_status "
    "WHERE variable_name = 'Innodb_row_lock_current_waits' AND variable_value > 0",
}
LOSSES = {
    "demoted": lambda who: update(User).where(User.id == who.id).values(role="editor"),
    "removed": lambda who: update(User).where(User.id == who.id).values(removed_at=LONG_AGO),
    "logged out": lambda who: update(Session).where(Session.user_id == who.id).values(ended_at=LONG_AGO),
}


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def olga(live, owner):
    client = live.connect(owner)
    join(client, ROOM)
    return client


@pytest.fixture
def max_(live, olga, moderator):
    client = live.connect(moderator)
    say(client, "They are known, and may", ROOM)
    return client


@contextmanager
def waiting(live, client, holding):
    """A message waits for what another transaction holds, for longer than what is known of its sender is fresh.

    Gives that transaction and the acknowledgement to come.
    """
    with live.inside.app_context(), db.engine.connect() as holder, db.engine.connect() as watcher:
        # In a transaction it would see the same again and again.
        watcher.execution_options(isolation_level="AUTOCOMMIT")
        holder.execute(holding)
        answer = client.send("send_message", {"message": "Among us", "room": ROOM, "clientId": "c-1"})
        held_up = text(f"SELECT count(*) FROM {HELD_UP[DATABASE]}")
        until(lambda: watcher.execute(held_up).scalar(), timeout=4)  # the server waits for 5 s
        time.sleep(guess.FRESH_SECONDS + 0.2)
        yield holder, answer


def is_refused(live, max_, olga, answer, status):
    """The sender is told so, or shown out before that; nothing is stored, and nobody hears it."""
    try:
        assert answer.result(20).get("status") == status
    except NoAck:
        assert status == 401
    if status == 401:
        assert max_.wait("token_expired", timeout=SOON) == {}
    said = ["They are known, and may", say(olga, "Later", ROOM)["message"]]
    olga.wait("new_message", lambda data: data["message"] == "Later")
    assert [event.data["message"] for event in olga.events("new_message")] == said
    with live.inside.app_context(), db.engine.connect() as connection:
        assert connection.execute(select(Message.message).order_by(Message.seq)).scalars().all() == said
    return True


@pytest.mark.parametrize("loss", LOSSES)
def test_who_loses_their_rights_while_a_message_waits_for_their_row_sends_nothing(live, olga, max_, moderator, loss):
    with waiting(live, max_, select(User.id).where(User.id == moderator.id).with_for_update()) as (holder, answer):
        # The loss and the end of the wait are one moment.
        holder.execute(LOSSES[loss](moderator))
        holder.commit()
    assert is_refused(live, max_, olga, answer, 403 if loss == "demoted" else 401)


def test_who_is_logged_out_while_a_message_waits_for_the_same_of_another_tab_sends_nothing(live, olga, max_, moderator):
    same = insert(Message).values(room=ROOM, message="Among us", sender_id=moderator.id, client_id="c-1")
    with waiting(live, max_, same) as (holder, answer):
        with db.engine.begin() as other:
            other.execute(LOSSES["logged out"](moderator))
        holder.rollback()
    assert is_refused(live, max_, olga, answer, 401)


def test_who_keeps_their_rights_while_a_message_waits_is_heard(live, olga, max_, moderator):
    with waiting(live, max_, select(User.id).where(User.id == moderator.id).with_for_update()) as (holder, answer):
        holder.rollback()
    assert answer.result(20)["message"] == "Among us"
    assert olga.wait("new_message", lambda data: data["message"] == "Among us")["sender"] == moderator.name
