"""What changes in the very moment in which the follower looks: nobody is told too much by it, nor too little."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from conftest import actor
from engineio import socket as engine
from engineio.packet import MESSAGE
from flask_jwt_extended import decode_token
from sqlalchemy import delete, select, update

from idyll.counters import Counter
from idyll.database import asked
from idyll.events import sealing
from idyll.events.models import Event
from idyll.extensions import db
from idyll.live.connections import Connection
from idyll.live.follower import Follower
from idyll.transactions import committed, committing

GIVES_PLACES = "UPDATE events SET position="
ASKS_WHO_MAY_SEE = "SELECT events.position FROM events"


@pytest.fixture
def hub(app):
    hub = app.extensions["hub"]
    yield hub
    for connection in hub.connections:
        hub.connections.remove(connection)
    hub.server.eio.sockets.clear()


@pytest.fixture
def follower(app, hub):
    return Follower(app, hub)


@pytest.fixture
def step(app, follower):
    """What a running process does each half second."""

    def step():
        with app.app_context():
            follower.step(look_at_rights=True)

    return step


@pytest.fixture
def socket(app, hub):
    """A namespace of a client as the door makes it once its token was looked at; admit it yourself."""

    def made(who, key="one", namespace="/"):
        if key not in hub.server.eio.sockets:
            hub.server.eio.sockets[key] = engine.Socket(hub.server.eio, key)
        with app.app_context():
            log, session = sealing.state(), decode_token(who.token)["sid"]
        now = replace(actor(who), session_id=session)
        return Connection(f"{key}{namespace}", key, namespace, now, time.time() + 60, log.sealed, log.rights)

    return made


@pytest.fixture
def heard(hub):
    """The names of the events that were sent over a namespace."""

    def names(connection):
        space = "" if connection.namespace == "/" else f"{connection.namespace},"
        queue = hub.server.eio.sockets[connection.engine].queue.queue
        sent = [packet.data for packet in queue if packet is not None and packet.packet_type == MESSAGE]
        return [data.split('"')[1] for data in sent if data.startswith(f"2{space}[")]

    return names


@pytest.fixture
def said(hub):
    """The messages that were sent over a namespace."""

    def words(connection):
        queue = hub.server.eio.sockets[connection.engine].queue.queue
        sent = [packet.data for packet in queue if packet is not None and packet.packet_type == MESSAGE]
        return [json.loads(data[1:])[1]["message"] for data in sent if data.startswith('2["new_message"')]

    return words


@contextmanager
def just_before(words, deed):
    """Something happens just before the first question that has these words."""
    done = []

    def interrupt(_, statement, **__):
        if words in " ".join(statement.replace("`", "").split()) and not done:
            done.append(statement)
            deed()

    with asked.connected_to(interrupt):
        yield
    assert done, "it was never asked"


def test_who_was_let_in_by_rights_lost_meanwhile_is_told_nothing_by_them(
    api, hub, step, socket, heard, owner, moderator
):
    hub.connections.add(socket(owner, "another"))
    late = socket(moderator)
    assert api.put(f"/api/users/{moderator.id}", owner, {"role": "editor"}).status_code == 200
    assert api.post("/api/payouts", owner, {"projectName": "Rent", "amount": 1}).status_code == 201
    with just_before(GIVES_PLACES, lambda: hub.connections.add(late)):
        step()
    assert heard(late) == ["token_expired"]


def test_who_loses_the_socket_while_recipients_are_chosen_is_told_nothing_more(
    api, hub, step, socket, heard, owner, moderator
):
    # Two people's namespaces on one connection, which stays open for the other.
    leaver, stayer = socket(moderator), socket(owner, namespace="/ws/chat")
    for connection in (leaver, stayer):
        hub.connections.add(connection)
    assert api.post("/api/payouts", owner, {"projectName": "Rent", "amount": 1}).status_code == 201
    with just_before(ASKS_WHO_MAY_SEE, lambda: hub.silence(leaver)):
        step()
    assert heard(leaver) == ["token_expired"]
    assert heard(stayer) == ["payout_created"]


def test_who_gains_rights_while_recipients_are_chosen_misses_nothing(app, api, hub, step, socket, heard, owner, editor):
    task = {"name": "T", "deadline": "2030-01-01", "assignedTo": editor.id}
    riser = socket(editor)
    hub.connections.add(riser)
    assert api.post("/api/tasks", owner, task).status_code == 201
    promoted = replace(riser.actor, role="owner")
    with just_before(ASKS_WHO_MAY_SEE, lambda: hub.connections.set_actor(riser, promoted, riser.as_of)):
        step()
    assert sorted(heard(riser)) == ["new_notification", "task_created"]


def say(api, who, words):
    assert api.post("/api/chat/messages", who, {"message": words}).status_code == 201


@pytest.fixture
def told_at_once(follower):
    """As when it runs: it hears of each commit, and goes along with those that let it."""
    with committing.connected_to(follower.at_rest), committed.connected_to(follower.hear):
        yield


@pytest.fixture
def olga(hub, socket, owner):
    """The owner, who listens to the team."""
    olga = socket(owner)
    hub.connections.add(olga)
    hub.connections.join(olga, "team")
    return olga


@pytest.mark.only_on("postgresql")
def test_what_is_committed_with_its_place_is_told_without_asking_again(
    app, api, follower, told_at_once, olga, heard, owner
):
    say(api, owner, "Cut")
    questions = []

    def note(_, statement, **__):
        questions.append(statement)

    with app.app_context(), asked.connected_to(note):
        follower.step(look_at_rights=False)
    assert heard(olga) == ["new_message"]
    assert questions == []


def test_what_is_heard_of_together_is_told_in_the_order_of_the_log(
    api, follower, told_at_once, step, olga, said, owner
):
    for words in ("First", "Second", "Third"):
        say(api, owner, words)
    step()
    assert said(olga) == ["First", "Second", "Third"]


@pytest.mark.only_on("postgresql")
def test_many_messages_get_their_places_together(app, api, follower, told_at_once, step, olga, said, owner):
    for words in ("First", "Second"):
        say(api, owner, words)
    step()
    say(api, owner, "Third")
    with app.app_context():
        assert sealing.state().waiting
    step()
    assert said(olga) == ["First", "Second", "Third"]
    say(api, owner, "Fourth")
    with app.app_context():
        assert not sealing.state().waiting


@pytest.mark.only_on("postgresql")
def test_what_others_have_placed_is_told_right_after_a_message_from_here(
    app, api, follower, told_at_once, olga, said, owner
):
    say(api, owner, "From here")
    with committed.muted():
        say(api, owner, "From elsewhere")
    follower.wake()
    with app.app_context():
        follower.step(look_at_rights=False)
    assert said(olga) == ["From here", "From elsewhere"]


@pytest.fixture
def told_others(hub, monkeypatch):
    """What this process says to the others."""
    kinds = []
    monkeypatch.setattr(hub.bus, "say", lambda kind, **_: kinds.append(kind))
    return kinds


def elsewhere(api, owner, message):
    """Another process stores it, and has not given it a place."""
    with committed.muted():
        say(api, owner, message)


def placed_elsewhere(app, api, owner, message):
    """Another process stores it and gives it its place."""
    elsewhere(api, owner, message)
    with app.app_context():
        sealing.seal()


def test_who_is_told_by_another_process_passes_it_on_to_nobody(
    app, api, follower, step, olga, said, owner, told_others
):
    """All were told: processes that told each other again would be a word for each pair of them."""
    placed_elsewhere(app, api, owner, "From elsewhere")
    follower.wake()
    step()
    assert said(olga) == ["From elsewhere"]
    assert told_others == []


def test_who_gives_others_events_their_places_tells_all(api, step, olga, said, owner, told_others):
    """The process that stored it may be dead."""
    elsewhere(api, owner, "Left behind")
    step()
    assert said(olga) == ["Left behind"]
    assert told_others == ["wake"]


def test_others_are_told_of_a_message_from_here(api, follower, told_at_once, step, olga, said, owner, told_others):
    elsewhere(api, owner, "From elsewhere")
    follower.wake()
    say(api, owner, "From here")
    step()
    assert said(olga) == ["From elsewhere", "From here"]
    assert told_others == ["wake"]


@pytest.mark.only_on("postgresql")
def test_others_are_told_of_a_message_that_is_stored_with_its_place(api, told_at_once, olga, owner, told_others):
    say(api, owner, "Cut")
    assert told_others == ["wake"]


@pytest.mark.only_on("postgresql")
def test_what_was_found_before_its_commit_was_heard_of_is_told_to_the_others_all_the_same(
    app, api, follower, step, olga, said, owner, told_others
):
    """Another process told of something of its own just before, and its word led to a look that found both."""
    placed_elsewhere(app, api, owner, "From here")
    follower.wake()
    step()
    with app.app_context():
        follower.hear(seen=sealing.look(0))
    step()
    assert said(olga) == ["From here"]
    assert told_others == ["wake"]


@pytest.mark.only_on("postgresql")
def test_the_others_are_told_again_of_what_gets_its_place_after_the_first_word(
    app, api, follower, step, olga, said, owner, told_others
):
    placed_elsewhere(app, api, owner, "With its place")
    with app.app_context():
        follower.hear(seen=sealing.look(0))
    elsewhere(api, owner, "Waits for its place")
    follower.hear()
    follower.wake()
    step()
    assert said(olga) == ["With its place", "Waits for its place"]
    assert told_others == ["wake", "wake"]


@pytest.mark.only_on("postgresql")
def test_what_is_placed_here_by_its_own_statement_is_told_to_the_others_whatever_they_tell(
    app, api, follower, step, olga, said, owner, told_others
):
    placed_elsewhere(app, api, owner, "From here")
    follower.stepping = True  # so that it waits to be looked at again
    with app.app_context():
        follower.hear(seen=sealing.look(0))
    follower.stepping = False
    follower.wake()
    step()
    assert said(olga) == ["From here"]
    assert told_others == ["wake"]


def test_others_are_told_of_rights_that_changed_here(
    api, follower, told_at_once, step, owner, moderator, told_others, olga
):
    assert api.put(f"/api/users/{moderator.id}", owner, {"role": "editor"}).status_code == 200
    step()
    assert told_others == ["wake"]


@pytest.fixture
def held_up(app, api, step, owner, told_others):
    """An event of another process that gets no place, since somebody rewrites it."""
    with committed.muted():
        task = api.post("/api/tasks", owner, {"name": "T", "deadline": "2030-01-01"}).json["id"]
    with app.app_context(), db.engine.connect() as removal, removal.begin():
        removal.execute(select(Event.id).where(Event.of == task).with_for_update())
        step()
        told_others.clear()  # of the notifications, which nobody holds
        yield removal


@pytest.mark.database
@pytest.mark.only_on("postgresql", "mariadb")
def test_nobody_is_told_of_what_gets_no_place_yet(step, held_up, told_others):
    """Processes that woke each other for it would go on until whoever holds the row is done."""
    step()
    assert told_others == []
    held_up.rollback()
    step()
    assert told_others == ["wake"]


@pytest.mark.database
@pytest.mark.only_on("postgresql", "mariadb")
def test_others_are_told_of_what_is_committed_here_during_a_look(follower, step, held_up, told_others, monkeypatch):
    """Of changed rights too, which have no place."""
    look = sealing.look

    def commits_meanwhile(after):
        follower.hear()
        return look(after)

    monkeypatch.setattr(follower, "_is_heard", lambda: True)
    monkeypatch.setattr(sealing, "look", commits_meanwhile)
    step()
    assert told_others == ["wake"]


class Over(Exception):
    """The follower ran through all of the waits that a test has."""


@pytest.fixture
def run_through(follower):
    """Runs it with a deed during each of its waits; gives whether each wait was ended by its deed."""

    def run_through(*deeds):
        to_come, ended = iter(deeds), []

        class Woken(threading.Event):
            def wait(self, timeout=None):
                for deed in to_come:
                    deed()
                    ended.append(self.is_set())
                    return self.is_set()
                raise Over

        follower.woken = Woken()
        with pytest.raises(Over):
            follower.run()
        return ended

    return run_through


def nothing():
    pass


@pytest.fixture
def more_comes(follower, monkeypatch):
    """Others tell of something while it looks for the first time; gives the looks."""
    looks, look = [], sealing.look

    def told_meanwhile(after):
        if not looks:
            follower.wake()
        looks.append(after)
        return look(after)

    monkeypatch.setattr(sealing, "look", told_meanwhile)
    return looks


def test_what_others_tell_of_is_looked_at_at_once(follower, run_through, olga):
    assert run_through(follower.wake, follower.wake, nothing) == [True, True, False]


def test_what_many_tell_of_is_looked_at_together(follower, run_through, olga, more_comes):
    def several():
        for _ in range(3):
            follower.wake()

    #                                   its rest
    assert run_through(follower.wake, several, nothing, nothing) == [True, False, True, False]
    assert len(more_comes) == 3


def test_what_is_committed_here_waits_for_no_rest(follower, run_through, olga, more_comes):
    assert run_through(follower.wake, follower.hear, nothing, nothing) == [True, True, True, False]


def test_a_look_that_fails_is_tried_again_by_the_clock_and_not_at_once(follower, run_through, olga, monkeypatch):
    def fails(**_):
        raise ConnectionError

    monkeypatch.setattr(follower, "step", fails)
    assert run_through(follower.wake, nothing, nothing) == [True, False, False]


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("busy", ["stepping", "resting"])
def test_what_is_deleted_before_it_is_told_is_not_told(api, follower, told_at_once, step, olga, heard, owner, busy):
    def waits(_):  # as when it began to be busy while the message was stored
        return True

    setattr(follower, busy, True)
    with committing.connected_to(waits):
        gone = api.post("/api/chat/messages", owner, {"message": "Forget it"}).json["id"]
    assert api.delete(f"/api/chat/messages/{gone}", owner).status_code == 204
    setattr(follower, busy, False)
    step()
    assert heard(olga) == ["message_deleted"]


@pytest.mark.parametrize("listening", [True, False])
def test_a_log_that_is_shorter_than_it_was_is_followed_from_its_end(
    app, api, hub, follower, step, socket, said, owner, listening
):
    """The database was restored from a backup."""
    before = socket(owner, "before")
    hub.connections.add(before)
    for n in range(5):
        say(api, owner, f"{n}")
    step()
    assert follower.position == 5
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(delete(Event).where(Event.position > 2))
        connection.execute(update(Counter).where(Counter.name == sealing.SEALED).values(value=2))
    if not listening:
        hub.connections.remove(before)
    step()
    late = socket(owner, "late")
    hub.connections.add(late)
    hub.connections.join(late, "team")
    say(api, owner, "After it")
    step()
    assert said(late) == ["After it"]


def test_a_log_that_is_shorter_than_somebody_said_is_not_waited_for(app, follower, olga):
    said = sealing.LogState(sealed=100, swept=0, rights=0, waiting=False)
    with app.app_context():
        follower._tell(sealing.Seen(said, after=50))
    assert follower.position == 0


def test_what_waits_is_told_after_what_has_its_place_already(api, told_at_once, step, olga, heard, owner):
    say(api, owner, "Cut")
    assert api.post("/api/tasks", owner, {"name": "T", "deadline": "2030-01-01"}).status_code == 201
    say(api, owner, "It is made")
    step()
    assert heard(olga) == ["new_message", "task_created", "new_message"]


def test_who_missed_more_than_is_read_at_once_is_told_all_of_it(app, api, step, olga, said, owner, monkeypatch):
    monkeypatch.setitem(app.config, "CHAT_FLOOD_LIMIT", 10**6)
    words = [f"{n}" for n in range(sealing.BATCH + 20)]
    for one in words:
        say(api, owner, one)
    with app.app_context():
        sealing.seal()
    step()
    assert said(olga) == words


@pytest.mark.database
@pytest.mark.only_on("postgresql", "mariadb")
def test_the_places_of_a_thing_keep_their_order_while_somebody_rewrites_the_first(app, api, owner):
    """A removal holds the events that speak of the person, and waits for nobody else's."""
    task = api.post("/api/tasks", owner, {"name": "T", "deadline": "2030-01-01"}).json["id"]
    with app.app_context(), db.engine.connect() as removal, removal.begin():
        removal.execute(select(Event.id).where(Event.of == task).with_for_update())
        assert api.put(f"/api/tasks/{task}", owner, {"name": "Other"}).status_code == 200
        another = api.post("/api/tasks", owner, {"name": "Another", "deadline": "2030-01-01"}).json["id"]
        sealing.seal()
        places = dict(db.session.execute(select(Event.of, Event.position)).all())
        assert places[another] == 1
    with app.app_context():
        sealing.seal()
        found = select(Event.name).where(Event.of == task).order_by(Event.position)
        assert list(db.session.execute(found).scalars()) == ["task_created", "task_updated"]
