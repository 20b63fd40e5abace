"""Rights are those of the row at every read, though the reader is presumed to be who they were at the one before."""

import io
import json
from collections.abc import Callable

import jwt
import pytest
from conftest import PASSWORD
from sqlalchemy import select, text

from idyll import guess, idempotency
from idyll.audit.models import AuditRow
from idyll.auth import passwords
from idyll.auth.models import TwoStepSecret
from idyll.database import asked, execute
from idyll.extensions import db
from idyll.users.models import User

pytestmark = pytest.mark.database
# Managers' lists, with rows and without; an object; a route for managers alone.
PATHS = ["/api/tasks", "/api/tasks?status=blocked", "/api/payouts", "/api/users", "/api/audit", "/api/auth/me"]


def change(app, statement: str, **values: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(statement), values)


def seen(api, by) -> dict[str, tuple[int, object]]:
    answers = {path: api.get(path, by) for path in PATHS}
    return {path: (answer.status_code, answer.json.get("data", answer.json)) for path, answer in answers.items()}


@pytest.fixture
def work(api, owner, editor):
    for name, whom in (("Theirs", editor.id), ("Nobody's", None)):
        api.post("/api/tasks", owner, {"name": name, "deadline": "2031-01-01", "assignedTo": whom})
    api.post("/api/payouts", editor, {"projectName": "Film", "amount": 12.5})


def test_who_was_a_manager_a_moment_ago_reads_as_an_editor(app, api, work, moderator, people):
    newcomer = people.editor()
    assert len(seen(api, moderator)["/api/tasks"][1]) == 2
    change(app, "UPDATE users SET role = 'editor' WHERE id = :id", id=moderator.id)
    now, as_editor = seen(api, moderator), seen(api, newcomer)
    for path in PATHS[:3]:
        assert now[path] == as_editor[path] == (200, []), path
    assert now["/api/audit"][0] == 403
    assert now["/api/auth/me"][1]["role"] == "editor"
    assert now["/api/auth/me"][1]["can"] == as_editor["/api/auth/me"][1]["can"]


def test_who_was_an_editor_a_moment_ago_reads_as_a_manager(app, api, work, editor, moderator):
    assert len(seen(api, editor)["/api/tasks"][1]) == 1
    change(app, "UPDATE users SET role = 'moderator' WHERE id = :id", id=editor.id)
    now, as_manager = seen(api, editor), seen(api, moderator)
    for path in PATHS[:5]:
        assert now[path] == as_manager[path], path
    assert now["/api/audit"][0] == 200


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE sessions SET ended_at = created_at WHERE user_id = :id",
        "UPDATE users SET removed_at = created_at WHERE id = :id",
        "UPDATE users SET status = 'rejected' WHERE id = :id",
        "DELETE FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE user_id = :id)",
    ],
)
def test_who_is_out_reads_nothing_more(app, api, work, editor, end):
    assert {status for status, _ in seen(api, editor).values()} == {200, 403}
    change(app, end, id=editor.id)
    if end.startswith("DELETE"):
        change(app, "DELETE FROM sessions WHERE user_id = :id", id=editor.id)
    for path, (status, _) in seen(api, editor).items():
        assert status == 401, path


def test_who_must_wait_again_reads_nothing_but_themselves(app, api, work, editor):
    seen(api, editor)
    change(app, "UPDATE users SET status = 'pending' WHERE id = :id", id=editor.id)
    now = seen(api, editor)
    assert now.pop("/api/auth/me")[0] == 200
    assert {status for status, _ in now.values()} == {403}


def test_a_refusal_of_yesterday_is_looked_at_again(app, api, work, editor):
    assert api.get("/api/audit", editor).status_code == 403
    change(app, "UPDATE users SET role = 'owner' WHERE id = :id", id=editor.id)
    assert api.get("/api/audit", editor).status_code == 200


def test_known_readers_cost_one_trip(app, api, work, editor):
    api.get("/api/auth/me", editor)
    for path in ("/api/auth/me", "/api/tasks", "/api/notifications"):
        trips: list[str] = []
        with asked.connected_to(lambda _, statement, into=trips, **__: into.append(statement)):
            assert api.get(path, editor).status_code == 200
        assert len(trips) == 1, trips


@pytest.mark.parametrize("path", ["/api/tasks?status=blocked", "/api/notifications?unread=false", "/api/payouts"])
def test_a_page_without_rows_is_no_proof(app, api, moderator, path):
    assert api.get(path, moderator).json["data"] == []
    change(app, "UPDATE sessions SET ended_at = created_at WHERE user_id = :id", id=moderator.id)
    assert api.get(path, moderator).status_code == 401


# -- writes ----------------------------------------------------------------------------------------------------------

OUT = [
    "UPDATE sessions SET ended_at = created_at WHERE user_id = :id",
    "UPDATE users SET removed_at = created_at WHERE id = :id",
    "UPDATE users SET status = 'rejected' WHERE id = :id",
]
SAID = {"message": "Shall we?", "clientId": "one"}
DEEDS = {
    "a message": ("/api/chat/messages", {"message": "One more"}, "messages"),
    "a message that was sent before": ("/api/chat/messages", SAID, "messages"),
    "a task": ("/api/tasks", {"name": "Film", "deadline": "2031-01-01"}, "tasks"),
    "a payout": ("/api/payouts", {"projectName": "Film", "amount": 1}, "payouts"),
    "a meeting": ("/api/meetings", {"title": "Weekly", "date": "2031-01-01", "time": "10:00"}, "meetings"),
}


def rows(app, table: str) -> int:
    with app.app_context(), db.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.mark.parametrize("end", OUT, ids=["logged out", "removed", "rejected"])
@pytest.mark.parametrize(("path", "body", "table"), DEEDS.values(), ids=DEEDS)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "one"}], ids=["", "with a key"])
def test_who_went_out_a_moment_ago_writes_nothing_more(app, api, moderator, path, body, table, end, key):
    assert api.post("/api/chat/messages", moderator, SAID).status_code == 201
    before = {name: rows(app, name) for name in (table, "events", "audit", "notifications", "stored_answers")}
    change(app, end, id=moderator.id)
    assert api.post(path, moderator, body, headers=key).status_code == 401
    assert {name: rows(app, name) for name in before} == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat/messages", {"message": "Among us", "room": "management"}),
        ("/api/tasks", {"name": "Film", "deadline": "2031-01-01"}),
        ("/api/meetings", {"title": "Weekly", "date": "2031-01-01", "time": "10:00"}),
    ],
)
def test_who_was_a_manager_a_moment_ago_writes_as_an_editor(app, api, moderator, path, body):
    assert api.post(path, moderator, body).status_code == 201
    change(app, "UPDATE users SET role = 'editor' WHERE id = :id", id=moderator.id)
    assert api.post(path, moderator, body).status_code == 403


@pytest.mark.only_on("postgresql")
def test_a_message_of_somebody_known_costs_two_trips(api, editor):
    assert api.post("/api/chat/messages", editor, {"message": "First"}).status_code == 201
    trips: list[str] = []
    with asked.connected_to(lambda _, statement, **__: trips.append(statement)):
        assert api.post("/api/chat/messages", editor, {"message": "Second"}).status_code == 201
    # The event leaves with COMMIT.
    assert [statement.split()[2] for statement in trips] == ["messages", "events"]


# -- rights that are lost while a request waits ----------------------------------------------------------------------

DEMOTED = "UPDATE users SET role = 'editor' WHERE id = :id"
LOGGED_OUT = "UPDATE sessions SET ended_at = created_at WHERE user_id = :id"
WRITES = {
    "task": ("/api/tasks", {"name": "Film", "deadline": "2031-01-01"}, DEMOTED, 403),
    "broadcast": ("/api/notifications", {"title": "Hi", "message": "All", "to": "all"}, DEMOTED, 403),
    "message": ("/api/chat/messages", {"message": "Hello"}, LOGGED_OUT, 401),
    "payout": ("/api/payouts", {"projectName": "Film", "amount": 1}, LOGGED_OUT, 401),
}


class Slow(io.BytesIO):
    """A body that something happens before the end of."""

    def __init__(self, body: object, meanwhile: Callable[[], None]) -> None:
        super().__init__(json.dumps(body).encode())
        self.meanwhile = meanwhile

    def readinto(self, buffer):
        self.meanwhile()
        return super().readinto(buffer)


def send_slowly(app, api, someone, path, body, meanwhile, **headers):
    sent = Slow(body, meanwhile)
    size = {"CONTENT_LENGTH": str(len(sent.getvalue()))}
    more = {"input_stream": sent, "content_type": "application/json", "environ_overrides": size}
    return api.post(path, someone, headers=headers, **more)


@pytest.mark.parametrize("known", [False, True], ids=["first call", "known"])
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}], ids=["", "key"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_who_sends_slowly_acts_by_the_rights_of_the_end(app, api, moderator, write, known, key):
    path, body, loss, status = write
    if known:
        api.get("/api/auth/me", moderator)
    else:
        guess.forget(jwt.decode(moderator.token, options={"verify_signature": False})["sid"])
    answer = send_slowly(app, api, moderator, path, body, lambda: change(app, loss, id=moderator.id), **key)
    assert answer.status_code == status


SECRET_CHANGES = {
    "password": ("put", "/api/users/{id}", {"password": "another-four-minutes"}),
    "e-mail": ("put", "/api/users/{id}", {"email": "thief@example.com"}),
    "removal": ("delete", "/api/users/{id}", {}),
    "two-step log-in": ("post", "/api/auth/two-step", {}),
    "no two-step log-in": ("delete", "/api/auth/two-step", {}),
}


@pytest.mark.parametrize("secret", SECRET_CHANGES.values(), ids=SECRET_CHANGES)
def test_a_session_that_ends_while_its_password_is_looked_at_changes_nothing(app, api, editor, monkeypatch, secret):
    def ends(stored, password, looked=passwords.matches):
        fits = looked(stored, password)
        change(app, LOGGED_OUT, id=editor.id)
        return fits

    api.get("/api/auth/me", editor)
    monkeypatch.setattr(passwords, "matches", ends)
    verb, path, body = secret
    answer = getattr(api, verb)(path.format(id=editor.id), editor, {**body, "currentPassword": PASSWORD})
    assert answer.status_code == 401
    with app.app_context():
        found = execute(select(User.email, User.removed_at).where(User.id == editor.id)).one()
        assert (found.email, found.removed_at) == (editor.email, None)
        assert execute(select(TwoStepSecret.user_id)).first() is None
        assert execute(select(AuditRow.action).where(AuditRow.action.like("user.%"))).first() is None


def test_rights_that_are_lost_between_a_key_and_its_effect(app, api, moderator, monkeypatch):
    def lost(*args, claimed=idempotency._claim):
        claim = claimed(*args)
        change(app, DEMOTED, id=moderator.id)
        return claim

    api.get("/api/auth/me", moderator)
    monkeypatch.setattr(idempotency, "_claim", lost)
    task = {"name": "Film", "deadline": "2031-01-01"}
    for _ in range(2):
        assert api.post("/api/tasks", moderator, task, headers={"Idempotency-Key": "k"}).status_code == 403
    change(app, "UPDATE users SET role = 'moderator' WHERE id = :id", id=moderator.id)
    monkeypatch.undo()
    # Nothing of the run that was broken off is left: the key is free at once.
    assert api.post("/api/tasks", moderator, task, headers={"Idempotency-Key": "k"}).status_code == 201
