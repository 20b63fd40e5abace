"""`Idempotency-Key`: a repeated POST changes nothing and answers the same."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import orjson
import pytest
from conftest import PASSWORD, Api, Someone
from flask import Flask
from sqlalchemy import func, select, update

from idyll import idempotency
from idyll.clock import now
from idyll.database import execute
from idyll.errors import Unauthorized, Unavailable
from idyll.extensions import db
from idyll.idempotency import StoredAnswer
from idyll.tasks import service as tasks_service
from idyll.tasks.models import Task
from idyll.transactions import committed
from idyll.users.models import User

pytestmark = pytest.mark.database

TASK = {"name": "Wedding", "deadline": "2030-01-01"}
MESSAGE = {"message": "Hello"}


def key(text: str = "k-1") -> dict[str, str]:
    return {"Idempotency-Key": text}


def stored(app: Flask) -> list[StoredAnswer]:
    with app.app_context():
        return list(db.session.execute(select(StoredAnswer)).scalars())


def change_stored(app: Flask, **values) -> None:
    with app.app_context():
        db.session.execute(update(StoredAnswer).values(**values))
        db.session.commit()


def tasks(api: Api, by: Someone) -> int:
    return len(api.get("/api/tasks", by).json["data"])


POSTS = {
    "/api/tasks": TASK,
    "/api/meetings": {"title": "Round", "startsAt": "2030-01-01T10:00:00Z"},
    "/api/payouts": {"projectName": "Wedding", "amount": 100},
    "/api/users": {"email": "new@example.com", "displayName": "Neha", "password": PASSWORD},
    "/api/chat/messages": MESSAGE,
    "/api/notifications": {"title": "Note", "message": "Read it", "to": "all"},
    "/api/applications": {"fullName": "Asif", "email": "asif@example.com"},
}


@pytest.mark.parametrize("path", POSTS)
def test_a_repeat_gets_the_first_answer_and_does_nothing(path, api, owner):
    first = api.post(path, owner, POSTS[path], headers=key())
    assert (first.status_code, first.headers.get("Idempotency-Replayed")) == (201, None)
    before = api.get(path, owner).json
    again = api.post(path, owner, POSTS[path], headers=key())
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.content_type == first.content_type
    assert again.json == {name: value for name, value in first.json.items() if name != "statusToken"}
    assert api.get(path, owner).json == before


def test_a_rotated_token_and_another_session_replay_too(api, owner):
    first = api.post("/api/tasks", owner, TASK, headers=key())
    token = api.post("/api/auth/login", json={"login": owner.email, "password": PASSWORD}).json["accessToken"]
    assert api.post("/api/tasks", token, TASK, headers=key()).json == first.json


def test_a_key_is_its_users_own(api, owner, moderator):
    answers = [api.post("/api/tasks", by, TASK, headers=key()) for by in (owner, moderator)]
    assert answers[0].json["id"] != answers[1].json["id"]
    assert "Idempotency-Replayed" not in answers[1].headers


def test_keys_differ_in_case_and_in_spaces(api, owner):
    ids = {api.post("/api/tasks", owner, TASK, headers=key(text)).json["id"] for text in ("a", "A", "a b", "a  b")}
    assert len(ids) == 4


def test_the_same_key_with_another_route_or_body_is_refused(api, owner):
    api.post("/api/tasks", owner, TASK, headers=key())
    others = [("/api/tasks", TASK | {"name": "Other"}), ("/api/chat/messages", MESSAGE), ("/api/meetings", TASK)]
    for path, body in others:
        answer = api.post(path, owner, body, headers=key())
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
    assert api.post("/api/tasks", owner, TASK, headers=key()).headers["Idempotency-Replayed"] == "true"
    assert tasks(api, owner) == 1


@pytest.mark.parametrize("text", ["", "x" * 256, "tab\tbed", "schlüssel", "\x7f"])
def test_a_key_is_1_to_255_printable_characters(text, api, owner):
    answer = api.post("/api/tasks", owner, TASK, headers=key(text))
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["Idempotency-Key"])
    assert api.post("/api/tasks", owner, TASK, headers=key("~" * 255)).status_code == 201


# -- what is stored ----------------------------------------------------------------------------------------------------


def test_refusals_are_repeated_too(api, owner, editor):
    body = {"projectName": "Wedding", "amount": 5, "taskId": None}
    made = api.post("/api/tasks", owner, TASK | {"assignedTo": editor.id}).json
    body["taskId"] = made["id"]
    asked = [("/api/payouts", body, 409), ("/api/payouts", {"amount": 5}, 422), ("/api/payouts", "{", 400)]
    for n, (path, sent, status) in enumerate(asked):
        data = sent if isinstance(sent, str) else orjson.dumps(sent)
        first, again = (
            api.post(path, editor, data=data, content_type="application/json", headers=key(f"k-{n}")) for _ in range(2)
        )
        assert first.status_code == again.status_code == status
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.content_type == "application/problem+json"
        assert again.json["code"] == first.json["code"]
    api.put(f"/api/tasks/{made['id']}", owner, {"status": "completed", "approvalStatus": "approved"})
    repeat = {"data": orjson.dumps(body), "content_type": "application/json", "headers": key("k-0")}
    assert api.post("/api/payouts", editor, **repeat).status_code == 409
    assert api.post("/api/payouts", editor, body, headers=key("fresh")).status_code == 201


def test_401_429_and_5xx_are_not_stored(api, app, owner, monkeypatch):
    assert api.post("/api/tasks", "nonsense", TASK, headers=key()).status_code == 401
    for _ in range(10):
        api.post("/api/chat/messages", owner, MESSAGE)
    assert api.post("/api/chat/messages", owner, MESSAGE, headers=key()).status_code == 429

    for fault, status in ((RuntimeError, 500), (Unavailable, 503), (Unauthorized, 401)):

        def breaks(*_, fault=fault, **__):
            raise fault

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(tasks_service, "tell", breaks)
            assert api.post("/api/tasks", owner, TASK, headers=key()).status_code == status
            assert stored(app) == []
    assert api.post("/api/tasks", owner, TASK, headers=key()).status_code == 201


def test_of_a_body_only_an_hmac_is_kept(api, app, owner, monkeypatch):
    body = {"email": "new@example.com", "displayName": "Neha", "password": "a-secret-worth-keeping"}
    api.post("/api/users", owner, body, headers=key())
    [row] = stored(app)
    assert re.fullmatch(r"[0-9a-f]{64}", row.fingerprint)
    assert "a-secret-worth-keeping" not in f"{vars(row)}"
    # Nobody makes it of the body alone.
    monkeypatch.setitem(app.config, "SECRET_KEY", "another-key-of-this-server-than-before")
    assert api.post("/api/users", owner, body, headers=key()).json["code"] == "idempotency_key_reused"


def test_secrets_are_given_once_and_never_stored(api, app, owner, editor):
    body = {"email": "new@example.com", "displayName": "Neha"}
    asked = [
        ("/api/users", body, "invite"),
        (f"/api/users/{editor.id}/invite", None, "invite"),
        ("/api/applications", {"fullName": "Asif", "email": "asif@example.com"}, "statusToken"),
    ]
    for path, sent, secret in asked:
        first, again = (api.post(path, owner, sent, headers=key(path)) for _ in range(2))
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json == {name: value for name, value in first.json.items() if name != secret}
        found = first.json[secret]
        token = found["url"].partition("token=")[2] if secret == "invite" else found
        assert not [row for row in stored(app) if token in row.body]


def test_without_a_key_or_a_post_nothing_is_stored(api, app, owner):
    made = api.post("/api/tasks", owner, TASK).json
    path = f"/api/tasks/{made['id']}"
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert api(method, path, owner, {} if method in ("PUT", "PATCH") else None, headers=key()).status_code < 300
    login = {"login": owner.email, "password": PASSWORD}
    for _ in range(2):
        answer = api.post("/api/auth/login", owner, login, headers=key())
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (200, None)
    token = api.post("/api/applications", json={"fullName": "A", "email": "a@example.com"}).json["statusToken"]
    for _ in range(2):
        answer = api.get(f"/api/applications/status/{token}", owner, headers=key())
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (200, None)
    assert stored(app) == []


def test_a_stranger_has_no_keys(api, app):
    body = {"fullName": "Asif", "email": "asif@example.com"}
    ids = {api.post("/api/applications", json=body, headers=key()).json["id"] for _ in range(2)}
    assert len(ids) == 2
    assert stored(app) == []


# -- who may still -----------------------------------------------------------------------------------------------------


def test_who_may_no_longer_use_the_route_gets_403_and_no_replay(api, owner, moderator):
    assert api.post("/api/tasks", moderator, TASK, headers=key()).status_code == 201
    api.put(f"/api/users/{moderator.id}", owner, {"role": "editor"})
    token = api.post("/api/auth/login", json={"login": moderator.email, "password": PASSWORD}).json["accessToken"]
    assert api.post("/api/tasks", token, TASK, headers=key()).status_code == 403
    assert api.post("/api/tasks", moderator, TASK, headers=key()).status_code == 401


# -- time, crashes and races -------------------------------------------------------------------------------------------


def test_a_key_is_kept_for_24_hours(api, app, owner):
    first = api.post("/api/tasks", owner, TASK, headers=key()).json["id"]
    change_stored(app, created_at=now() - timedelta(hours=23, minutes=59))
    assert api.post("/api/tasks", owner, TASK, headers=key()).json["id"] == first
    change_stored(app, created_at=now() - timedelta(hours=24, minutes=1))
    second = api.post("/api/tasks", owner, TASK | {"name": "Other"}, headers=key())
    assert (second.status_code, second.headers.get("Idempotency-Replayed")) == (201, None)
    assert api.post("/api/tasks", owner, TASK | {"name": "Other"}, headers=key()).json == second.json


def test_a_key_that_expired_gives_nothing_of_before_when_it_breaks_at_its_next_use(api, app, owner, monkeypatch):
    def breaks(*_, **__):
        raise RuntimeError

    api.post("/api/tasks", owner, TASK, headers=key())
    change_stored(app, created_at=now() - timedelta(hours=24, minutes=1))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(tasks_service, "tell", breaks)
        assert api.post("/api/tasks", owner, TASK | {"name": "Other"}, headers=key()).status_code == 500
    other = api.post("/api/tasks", owner, TASK | {"name": "Other"}, headers=key())
    assert (other.status_code, other.headers.get("Idempotency-Replayed")) == (201, None)
    assert other.json["name"] == "Other"


def test_old_answers_are_swept(api, app, owner):
    api.post("/api/tasks", owner, TASK, headers=key())
    change_stored(app, created_at=now() - timedelta(hours=24, minutes=1))
    api.post("/api/tasks", owner, TASK, headers=key("young"))
    with app.app_context():
        assert idempotency.sweep() == 1
    assert [row.key for row in stored(app)] == ["young"]


def left_running(app: Flask, api: Api, by: Someone, started_ago: timedelta) -> None:
    """As a process leaves it that died between its claim and its commit."""
    api.post("/api/tasks", by, TASK, headers=key())
    moment = now() - started_ago
    change_stored(app, status=None, body=None, content_type=None, started_at=moment, created_at=moment)


def test_while_the_first_still_runs_a_repeat_is_a_conflict(api, app, owner):
    left_running(app, api, owner, timedelta(seconds=20))
    answer = api.post("/api/tasks", owner, TASK, headers=key())
    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_in_progress")
    assert int(answer.headers["Retry-After"]) >= 1
    other = api.post("/api/tasks", owner, TASK | {"name": "Other"}, headers=key())
    assert other.json["code"] == "idempotency_key_reused"
    assert tasks(api, owner) == 1


def test_a_run_whose_process_died_is_taken_over_within_a_minute(api, app, owner):
    left_running(app, api, owner, timedelta(seconds=60))
    taken = api.post("/api/tasks", owner, TASK, headers=key())
    assert (taken.status_code, taken.headers.get("Idempotency-Replayed")) == (201, None)
    again = api.post("/api/tasks", owner, TASK, headers=key())
    assert (again.json, again.headers["Idempotency-Replayed"]) == (taken.json, "true")


@pytest.mark.only_on("postgresql", "mariadb")
def test_of_two_at_once_the_second_is_told_to_wait(api, app, owner, editor):
    theirs = TASK | {"assignedTo": editor.id}
    with ThreadPoolExecutor(1) as pool, app.app_context():
        # Whoever gives them a task waits until this is over.
        db.session.execute(select(User).where(User.id == editor.id).with_for_update())
        first = pool.submit(Api(app).post, "/api/tasks", owner, theirs, headers=key())
        while not stored_count(app):
            pass
        with ThreadPoolExecutor(1) as other:
            second = other.submit(Api(app).post, "/api/tasks", owner, theirs, headers=key()).result(10)
        assert (second.status_code, second.json["code"]) == (409, "idempotency_in_progress")
        db.session.rollback()
        assert first.result(10).status_code == 201
    assert api.post("/api/tasks", owner, theirs, headers=key()).json == first.result().json
    assert tasks(api, owner) == 1


@pytest.mark.only_on("postgresql", "mariadb")
def test_a_slow_run_that_was_taken_over_leaves_no_effect(api, app, owner, editor):
    with ThreadPoolExecutor(1) as pool, app.app_context():
        db.session.execute(select(User).where(User.id == editor.id).with_for_update())
        theirs = TASK | {"assignedTo": editor.id}
        slow = pool.submit(Api(app).post, "/api/tasks", owner, theirs, headers=key())
        while not stored_count(app):
            pass
        with db.engine.begin() as connection:
            connection.execute(update(StoredAnswer).values(started_at=now() - timedelta(seconds=1)))
        db.session.rollback()
        assert slow.result(10).status_code == 409
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(Task)).scalar() == 0


def test_a_run_that_was_taken_over_before_it_stored_its_answer_leaves_no_effect(api, owner, monkeypatch):
    def overtaken(*args, store=idempotency._store):
        execute(update(idempotency.TABLE).values(started_at=now() - timedelta(seconds=1)))
        store(*args)

    monkeypatch.setattr(idempotency, "_store", overtaken)
    answer = api.post("/api/tasks", owner, TASK, headers=key())
    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_in_progress")
    assert tasks(api, owner) == 0


def test_an_answer_that_can_not_be_stored_has_no_effect(api, owner, monkeypatch):
    def breaks(*_):
        raise RuntimeError

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(idempotency, "_store", breaks)
        assert api.post("/api/tasks", owner, TASK, headers=key()).status_code == 500
        assert tasks(api, owner) == 0
    assert api.post("/api/tasks", owner, TASK, headers=key()).status_code == 201


def test_a_fault_after_the_commit_leaves_the_answer_to_be_repeated(api, owner):
    def breaks(*_, **__):
        raise RuntimeError

    with committed.connected_to(breaks):
        assert api.post("/api/tasks", owner, TASK, headers=key()).status_code == 500
    again = api.post("/api/tasks", owner, TASK, headers=key())
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert tasks(api, owner) == 1


def stored_count(app: Flask) -> int:
    with db.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(StoredAnswer)).scalar_one())


def test_ten_at_once_make_one_task(app, owner, api):
    with ThreadPoolExecutor(10) as pool:
        sent = [pool.submit(Api(app).post, "/api/tasks", owner, TASK, headers=key()) for _ in range(10)]
        answers = [one.result(30) for one in sent]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json["id"] for answer in answers if answer.status_code == 201}) == 1
    assert {answer.json["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_progress"}
    assert tasks(api, owner) == 1
