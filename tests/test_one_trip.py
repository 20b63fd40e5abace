"""A message, its event and the event's place are one trip to PostgreSQL, and everything that holds of others holds."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from conftest import Api, actor
from flask import Flask
from listeners import nothing_told
from sqlalchemy import bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from idyll import idempotency
from idyll.chat import service as chat
from idyll.chat.models import Message
from idyll.counters import Counter
from idyll.database import asked, execute
from idyll.events import sealing
from idyll.events.models import Event
from idyll.events.sealing import SEALED, Seen
from idyll.events.service import event_id
from idyll.extensions import db
from idyll.transactions import committed, committing, execute_whole, owe, recorded, transaction
from idyll.users.models import User

pytestmark = [pytest.mark.database, pytest.mark.only_on("postgresql")]
MESSAGES = "/api/chat/messages"
FILM = {"name": "Film", "deadline": "2031-01-01"}


@pytest.fixture
def heard() -> Iterator[list[Seen | None]]:
    """What is told after each commit, while somebody waits to tell it at once."""
    found: list[Seen | None] = []

    def waits(_: object) -> bool:
        return True

    def hear(_: object, *, seen: Seen | None = None) -> None:
        found.append(seen)

    with committing.connected_to(waits), committed.connected_to(hear):
        yield found


@pytest.fixture
def look(app: Flask) -> Callable[[Any], list[Any]]:
    def look(statement: Any) -> list[Any]:
        with app.app_context(), db.engine.connect() as connection:
            return list(connection.execute(statement))

    return look


@contextmanager
def trips(app: Flask) -> Iterator[list[str]]:
    """What the driver is sent meanwhile."""
    sent: list[str] = []

    def note(_: object, **running: Any) -> None:
        sent.append(running["statement"])

    with app.app_context():
        engine = db.engine
    with asked.connected_to(note, engine):
        yield sent


def stores(sent: list[str]) -> list[str]:
    return [words for words in sent if "INSERT INTO messages" in words]


def test_a_message_is_told_with_its_place_by_the_statement_that_stores_it(app, api, owner, heard, look):
    api.post(MESSAGES, owner, {"message": "They are known"})
    with trips(app) as sent:
        stored = api.post(MESSAGES, owner, {"message": "Cut", "clientId": "c-1"}).json
    assert sent[1:] == stores(sent)
    assert len(sent) == 2
    [row] = look(select(*Event.__table__.c).where(Event.of == stored["id"]))
    [seen] = heard[1:]
    assert seen.after == row.position - 1
    assert seen.told == [(row.position, row.name, row.data, row.about, row.of, row.audience)]
    assert (row.name, row.audience) == ("new_message", "|team|")
    [event] = api.get("/api/events", owner, query_string={"since": since(app, row.position - 1)}).json["events"]
    assert event["data"] | {"eventId": ""} == stored | {"eventId": ""}
    with app.app_context():
        assert sealing.state() == seen.log


def since(app: Flask, position: int) -> str:
    with app.app_context():
        return event_id(position)


def test_a_repeat_is_neither_stored_nor_told_again(api, owner, heard, look):
    first = api.post(MESSAGES, owner, {"message": "Cut", "clientId": "c-1"})
    again = api.post(MESSAGES, owner, {"message": "Cut", "clientId": "c-1"})
    assert (first.status_code, again.status_code, again.json) == (201, 200, first.json)
    assert len(heard) == 1
    assert len(look(select(Event.id).where(Event.name == "new_message"))) == 1


def test_what_waits_for_its_place_gets_it_first(app, api, owner, heard, look):
    task = api.post("/api/tasks", owner, FILM).json["id"]
    stored = api.post(MESSAGES, owner, {"message": "It is yours"}).json
    assert heard == [None, None]
    with app.app_context():
        sealing.seal()
    places = dict(look(select(Event.of, Event.position).where(Event.of.in_([task, stored["id"]]))))
    assert places[task] < places[stored["id"]]


def test_where_nobody_waits_a_message_takes_no_place(api, owner, look):
    stored = api.post(MESSAGES, owner, {"message": "Is anybody here?"}).json
    assert look(select(Event.position).where(Event.of == stored["id"])) == [(None,)]


def test_a_log_that_somebody_holds_holds_nobody_up(app, api, owner, heard, look):
    with nothing_told(app), trips(app) as sent:
        stored = api.post(MESSAGES, owner, {"message": "Meanwhile"})
        assert stored.status_code == 201
    assert len(stores(sent)) == 1
    assert heard == [None]
    with app.app_context():
        sealing.seal()
    assert look(select(Event.position).where(Event.of == stored.json["id"])) == [(1,)]


def test_messages_of_many_at_once_get_different_places_without_a_gap(app, owner, heard, look, monkeypatch):
    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 1000)

    def send(n: int) -> Any:
        if n % 10 == 0:  # as the follower does
            with app.app_context():
                sealing.seal()
        return Api(app).post(MESSAGES, owner, {"message": f"{n}"})

    with ThreadPoolExecutor(8) as pool:
        answers = [send(0), *pool.map(send, range(1, 80))]
    assert {answer.status_code for answer in answers} == {201}
    with app.app_context():
        sealing.seal()
    assert sorted(place for (place,) in look(select(Event.position))) == list(range(1, 81))
    assert look(select(Counter.value).where(Counter.name == SEALED)) == [(80,)]
    told = [seen for seen in heard if seen]
    assert told
    assert all(seen.told[0].position == seen.after + 1 == seen.log.sealed for seen in told)


def test_who_was_demoted_a_moment_ago_says_nothing_among_managers(app, api, moderator, heard, look, monkeypatch):
    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 2)
    among = {"message": "Among us", "room": "management"}
    assert api.post(MESSAGES, moderator, among).status_code == 201
    demote = update(User).where(User.id == moderator.id).values(role="editor")
    with db_of(api).begin() as connection:
        connection.execute(demote)
    assert api.post(MESSAGES, moderator, among).status_code == 403
    assert len(look(select(Message.id))) == len(look(select(Event.id))) == len(heard) == 1
    assert (
        api.post(MESSAGES, moderator, {"message": "To the team"}).status_code == 201
    )  # what was refused does not count


def db_of(api: Api) -> Any:
    with api.app.app_context():
        return db.engine


def test_a_message_under_a_key_whose_answer_cannot_be_kept_is_not_sent(api, owner, heard, look, monkeypatch):
    def breaks(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(idempotency, "_store", breaks)
        assert api.post(MESSAGES, owner, {"message": "x"}, headers={"Idempotency-Key": "k"}).status_code == 500
    assert look(select(Message.id)) == look(select(Event.id)) == heard == []
    assert api.post(MESSAGES, owner, {"message": "x"}, headers={"Idempotency-Key": "k"}).status_code == 201


def test_a_repeat_is_answered_at_the_limit_though_the_first_is_just_being_stored(
    app, api, owner, heard, look, monkeypatch
):
    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 1)
    same = {"message": "Cut", "clientId": "c-1"}
    row = {"room": "team", "message": "Cut", "sender_id": owner.id, "client_id": "c-1"}
    assert api.post(MESSAGES, owner, {"message": "The one"}).status_code == 201
    assert api.post(MESSAGES, owner, same).status_code == 429
    with db_of(api).connect() as first, ThreadPoolExecutor(1) as other:
        first.execute(insert(Message).values(row))
        again = other.submit(Api(app).post, MESSAGES, owner, same)
        time.sleep(0.3)  # it waits by now
        first.commit()
        assert again.result(10).status_code == 200
    assert api.post(MESSAGES, owner, {"message": "Another", "clientId": "c-2"}).status_code == 429
    assert len(look(select(Message.id))) == 2
    assert len(heard) == 1


def test_messages_of_one_transaction_are_sent_together_or_not_at_all(app, owner, heard, look):
    with app.app_context(), suppress(ZeroDivisionError), transaction():
        for words in ("First", "Second"):
            chat.send(words, room="team", client_id=None, by=actor(owner))
        raise ZeroDivisionError
    assert look(select(Message.id)) == look(select(Event.id)) == heard == []


COUNT_ON = (
    update(Counter.__table__).where(Counter.__table__.c.name == bindparam("counter")).values(value=Counter.value + 1)
)
SENT = insert(Message.__table__)
WHOLE = select(text("1 AS one"))
BEFORE = {True: WHOLE, False: WHOLE}


def changed_at_once() -> None:
    execute(COUNT_ON, {"counter": SEALED})


def changed_at_the_end() -> None:
    owe(COUNT_ON, {"counter": SEALED})


def done_in_one(then: Callable[[], None]) -> None:
    with transaction(of_one=True):
        execute_whole(WHOLE, {}, BEFORE)
        recorded()
        then()


@pytest.mark.parametrize("change", [changed_at_once, changed_at_the_end])
def test_nothing_is_changed_after_what_was_all_of_the_transaction(app, look, change):
    with app.app_context():
        with pytest.raises(RuntimeError, match="is committed"):
            done_in_one(change)
        with transaction():  # and the next one is a transaction again
            change()
    assert look(select(Counter.value).where(Counter.name == SEALED)) == [(1,)]


def test_what_follows_a_statement_that_did_nothing_is_a_transaction(app, look):
    with app.app_context():
        with suppress(ZeroDivisionError), transaction(of_one=True):
            execute_whole(WHOLE, {}, BEFORE)
            changed_at_once()
            raise ZeroDivisionError
        with transaction(of_one=True):
            execute_whole(WHOLE, {}, BEFORE)
            changed_at_the_end()
    assert look(select(Counter.value).where(Counter.name == SEALED)) == [(1,)]


def twice(row: dict[str, Any]) -> None:
    with transaction():
        owe(SENT, row)
        owe(SENT, row)
        changed_at_the_end()


def test_a_commit_that_fails_loses_no_statement_that_was_to_be_prepared_in_it(app, owner, look):
    """PostgreSQL is sent all statements of a commit, and stops at the first that fails."""
    row = {"id": owner.id, "room": "team", "message": "x", "sender_id": owner.id}
    with app.app_context():
        db.engine.dispose()
        with pytest.raises(IntegrityError):
            twice(row)
        with transaction():
            changed_at_the_end()
    assert look(select(Counter.value).where(Counter.name == SEALED)) == [(1,)]
