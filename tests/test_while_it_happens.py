"""What somebody does while somebody else removes them, resets their password or reads along: nothing slips through."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import PASSWORD, Api
from doors import log_in, token_of
from flask import Flask
from sqlalchemy import select, update

from idyll.auth import passwords
from idyll.counters import Counter
from idyll.database import asked
from idyll.events import service as events
from idyll.events.models import Event
from idyll.events.sealing import SEALED
from idyll.extensions import db
from idyll.search import words
from idyll.transactions import transaction
from idyll.users.service import renew_hash

pytestmark = pytest.mark.database


@contextmanager
def in_between(app: Flask, statement: str, deed: Callable[[], Any]) -> Iterator[list[Future[Any]]]:
    """What somebody else does just before the first such statement of this thread; what holds them up may end later."""
    with app.app_context():
        engine = db.engine
    here, deeds = threading.current_thread(), []

    def interrupt(_engine: Any, **running: Any) -> None:
        begins = running["statement"].startswith(statement)
        if begins and threading.current_thread() is here and not deeds:
            deeds.append(pool.submit(deed))
            wait(deeds, timeout=1)  # more than they need where nothing holds them up

    with ThreadPoolExecutor(1) as pool, asked.connected_to(interrupt, engine):
        yield deeds


def test_a_log_in_under_way_does_not_outlive_a_new_password(api, owner, editor, monkeypatch):
    token = token_of(api.post(f"/api/users/{editor.id}/invite", owner).json["invite"])
    check, fitted = passwords.matches, []

    def slow_check(stored, password):
        fitted.append(check(stored, password))
        if len(fitted) == 1:
            reset = {"token": token, "password": "another-reel-of-film"}
            assert api.post("/api/auth/password/reset", json=reset).status_code == 204
        return fitted[-1]

    monkeypatch.setattr(passwords, "matches", slow_check)
    answer = log_in(api, editor.email, PASSWORD)
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")
    assert fitted == [True, False]


def test_a_log_in_under_way_gets_in_though_another_one_renews_the_hash(api, editor, monkeypatch):
    check, renewed = passwords.matches, []

    def slow_check(stored, password):
        fits = check(stored, password)
        if not renewed:
            renewed.append(passwords.hashed(PASSWORD))
            with transaction():
                renew_hash(editor.id, stored, *renewed)
        return fits

    monkeypatch.setattr(passwords, "matches", slow_check)
    assert log_in(api, editor.email, PASSWORD).status_code == 200
    assert renewed


def test_a_link_from_before_a_promotion_or_a_new_password_is_worth_nothing(api, owner, moderator, editor, other_editor):
    links = [api.post(f"/api/users/{one.id}/invite", moderator).json["invite"] for one in (editor, other_editor)]
    assert api.put(f"/api/users/{editor.id}", owner, {"role": "owner"}).status_code == 200
    own = {"password": "a-reel-of-my-own", "currentPassword": PASSWORD}
    assert api.put(f"/api/users/{other_editor.id}", other_editor, own).status_code == 200
    for link in links:
        reset = {"token": token_of(link), "password": "another-reel-of-film"}
        assert api.post("/api/auth/password/reset", json=reset).status_code == 401


def test_the_rejected_get_no_link(api, owner, pending):
    assert api.put(f"/api/users/{pending.id}", owner, {"status": "rejected"}).status_code == 200
    assert api.post(f"/api/users/{pending.id}/invite", owner).json["code"] == "account_rejected"


def test_a_member_made_by_hand_is_no_applicant_any_more(api, owner):
    filed = api.post("/api/applications", json={"fullName": "R", "email": "r@example.com"}).json
    assert api.post("/api/users", owner, {"email": "r@example.com", "displayName": "R"}).status_code == 201
    assert api.get(f"/api/applications/{filed['id']}", owner).json["status"] == "approved"


@pytest.mark.only_on("postgresql", "mariadb")
def test_nothing_lands_on_somebody_who_is_being_removed(app, api, owner, people):
    for _ in range(3):
        victim, ready = people.editor(), threading.Barrier(4)
        task = {"name": "Film", "deadline": "2031-01-01", "assignedTo": victim.id}
        meeting = {"title": "R", "date": "2031-01-01", "time": "10:00", "attendees": [victim.id]}

        def at_once(method, path, by, body, ready=ready):
            ready.wait()
            headers = {"Authorization": f"Bearer {by.token}"}
            for _ in range(5):  # MariaDB may end one of them to save the others: 503, and clients try again
                answer = app.test_client().open(path, method=method, json=body, headers=headers)
                if answer.status_code != 503:
                    break
            return answer.status_code

        with ThreadPoolExecutor(4) as pool:
            futures = [
                pool.submit(at_once, "DELETE", f"/api/users/{victim.id}", owner, None),
                pool.submit(at_once, "POST", "/api/tasks", owner, task),
                pool.submit(at_once, "POST", "/api/meetings", owner, meeting),
                pool.submit(at_once, "POST", "/api/payouts", victim, {"projectName": "F", "amount": 1}),
            ]
        assert futures[0].result() == 204
        assert {future.result() for future in futures[1:]} <= {201, 401, 422}
        assert [t for t in api.get("/api/tasks", owner).json["data"] if t["assignedTo"] == victim.id] == []
        assert [m for m in api.get("/api/meetings", owner).json["data"] if victim.id in m["attendees"]] == []
        payouts = api.get("/api/payouts", owner, query_string={"editorId": victim.id}).json["data"]
        assert {payout["status"] for payout in payouts} <= {"cancelled"}


@pytest.mark.only_on("postgresql", "mariadb")
@pytest.mark.parametrize(
    ("table", "body", "whom", "left"),
    [
        ("tasks", {"name": "Film", "deadline": "2031-01-01"}, "assignedTo", {"assignedTo": None}),
        ("meetings", {"title": "R", "date": "2031-01-01", "time": "10:00"}, "attendees", {"attendees": []}),
        ("payouts", {"projectName": "Film", "amount": 1}, "editorId", {"status": "cancelled"}),
    ],
)
def test_a_removal_waits_for_what_is_being_written_for_the_person(app, api, owner, editor, table, body, whom, left):
    def leave():
        return Api(app).delete(f"/api/users/{editor.id}", owner).status_code

    sent = body | {whom: [editor.id] if whom == "attendees" else editor.id}
    with in_between(app, f"INSERT INTO {table} ", leave) as left_by:
        made = api.post(f"/api/{table}", owner, sent)
    assert (made.status_code, [one.result() for one in left_by]) == (201, [204])
    found = api.get(f"/api/{table}/{made.json['id']}", owner).json
    assert {name: found[name] for name in left} == left


@pytest.mark.only_on("postgresql", "mariadb")
@pytest.mark.parametrize("what", ["edits a message", "has their meeting changed"])
def test_a_removal_waits_for_what_is_being_told_of_the_person(app, api, people, owner, editor, what):
    leaver = people.moderator(name="Lena Leaver")

    def leave():
        return Api(app).delete(f"/api/users/{leaver.id}", owner).status_code

    meeting = {"title": "R", "date": "2031-01-01", "time": "10:00"}
    said = api.post("/api/chat/messages", leaver, {"message": "Helo"}).json["id"]
    path = f"/api/meetings/{api.post('/api/meetings', leaver, meeting).json['id']}"
    with in_between(app, "INSERT INTO events", leave) as left_by:
        if what == "edits a message":
            answer = api.put(f"/api/chat/messages/{said}", leaver, {"message": "Hello"})
        else:
            answer = api.put(path, owner, {"attendees": [editor.id]})
    assert (answer.status_code, [one.result() for one in left_by]) == (200, [204])
    with app.app_context():
        told = " ".join(db.session.execute(select(Event.data)).scalars())
    assert "Lena" not in told
    assert "Former member" in told


@pytest.mark.only_on("postgresql", "mariadb")
def test_a_deletion_under_way_holds_up_its_own_events_alone(app, api, owner):
    since = api.get("/api/events", owner).json["lastEventId"]
    film = {"name": "F", "deadline": "2031-01-01"}
    first, held, last = (api.post("/api/tasks", owner, film).json["id"] for _ in range(3))
    with app.app_context():
        engine = db.engine

    def news():
        answer = api.get("/api/events", owner, query_string={"since": since})
        assert answer.status_code == 200
        return [told["data"]["task"]["id"] for told in answer.json["events"]]

    with engine.begin() as deletion:
        row = deletion.execute(select(Event.id, Event.position).where(Event.of == held)).one()
        assert row.position is None
        deletion.execute(select(Event.id).where(Event.id == row.id).with_for_update())
        assert news() == [first, last]
    assert news() == [first, last, held]


@pytest.mark.only_on("postgresql", "mariadb")
def test_two_who_read_at_once_are_told_of_a_task_in_the_order_of_its_changes(app, api, owner):
    since = api.get("/api/events", owner).json["lastEventId"]
    film = {"name": "F", "deadline": "2031-01-01"}
    other, task = (api.post("/api/tasks", owner, film).json["id"] for _ in range(2))
    with app.app_context():
        engine = db.engine
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as reader:
            # As far as one comes who gave a place to the first event alone, before the commit.
            last = reader.execute(select(Counter.value).where(Counter.name == SEALED).with_for_update()).scalar_one()
            reader.execute(update(Event).where(Event.of == other).values(position=last + 1))
            reader.execute(update(Counter).where(Counter.name == SEALED).values(value=last + 1))
            reading = pool.submit(Api(app).get, "/api/events", owner)
            assert wait([reading], timeout=1).not_done
            assert api.put(f"/api/tasks/{task}", owner, {"name": "G"}).status_code == 200
        assert reading.result().status_code == 200
    told = api.get("/api/events", owner, query_string={"since": since}).json["events"]
    assert [event["event"] for event in told] == ["task_created", "task_created", "task_updated"]
    assert [event["data"].get("taskId") or event["data"]["task"]["id"] for event in told] == [other, task, task]


@pytest.mark.only_on("postgresql", "mariadb")
def test_reading_along_while_things_are_deleted_is_no_error(app, api, owner):
    since, over = api.get("/api/events", owner).json["lastEventId"], threading.Event()
    headers = {"Authorization": f"Bearer {owner.token}"}

    def poll():
        statuses = set()
        while not over.is_set():
            statuses.add(app.test_client().get("/api/events", headers=headers).status_code)
        return statuses

    def come_and_go():
        client = app.test_client()
        for _ in range(25):
            made = client.post("/api/tasks", json={"name": "F", "deadline": "2031-01-01"}, headers=headers).json
            assert client.delete(f"/api/tasks/{made['id']}", headers=headers).status_code == 204

    with ThreadPoolExecutor(5) as pool:
        polls = [pool.submit(poll) for _ in range(2)]
        changes = [pool.submit(come_and_go) for _ in range(3)]
        try:
            for change in changes:
                change.result()
        finally:
            over.set()
    assert {status for one in polls for status in one.result()} == {200}
    told = api.get("/api/events", owner, query_string={"since": since, "limit": 500}).json["events"]
    assert [event["event"] for event in told].count("task_deleted") == 75


def test_a_log_from_before_a_backup_asks_to_begin_anew(app, api, owner):
    with app.app_context():
        ahead = events.event_id(10**6)
    assert api.get("/api/events", owner, query_string={"since": ahead}).json["resync"] is True


def test_a_text_that_was_taken_back_is_not_in_the_stored_answer_either(api, editor):
    key = {"headers": {"Idempotency-Key": "k"}}
    said = api.post("/api/chat/messages", editor, {"message": "Secret"}, **key).json
    assert api.delete(f"/api/chat/messages/{said['id']}", editor).status_code == 204
    again = api.post("/api/chat/messages", editor, {"message": "Secret"}, **key)
    assert (again.headers["Idempotency-Replayed"], again.json["message"]) == ("true", None)


def test_changes_are_asked_for_as_often_as_they_are_needed(api, owner, editor):
    task = api.post("/api/tasks", owner, {"name": "F", "deadline": "2031-01-01", "assignedTo": editor.id}).json
    path = f"/api/tasks/{task['id']}"
    for _ in range(2):
        assert api.put(path, editor, {"status": "completed"}).json["status"] == "completed"
        assert api.put(path, owner, {"approvalStatus": "need-changes"}).json["status"] == "in-progress"


def test_words_keep_their_vowel_signs_and_a_bound():
    assert words("राम मोर") == ["राम", "मोर"]
    assert [len(word) for word in words("z" * 5000)] == [100]


@pytest.mark.parametrize("folded", ["ASHA@example.com", "\uff41sha@example.com", " asha@example.com "])
def test_an_address_is_one_however_it_is_typed(api, owner, folded):
    new = {"email": "asha@example.com", "displayName": "A", "password": PASSWORD}
    assert api.post("/api/users", owner, new).status_code == 201
    assert log_in(api, folded, PASSWORD).status_code == 200
    task = {"name": "F", "deadline": "2031-01-01", "assignedTo": folded}
    assert api.post("/api/tasks", owner, task).status_code == 201
