"""Rights are those of the row at every read, though the reader is presumed to be who they were at the one before."""

import io
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from authenticator import begin, code_of
from conftest import PASSWORD, Api
from sqlalchemy import select, text

from idyll import gate, guess, idempotency
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


# -- rights that are lost while a change waits for a lock ------------------------------------------------------------

WAITED = guess.FRESH_SECONDS + 0.2
# What is asked for, the row that somebody else holds meanwhile, and what the moderator is told who is none any more.
HELD_UP = {
    "a task": ("PUT", "/api/tasks/{tasks}", {"name": "Reel"}, "tasks", 404),
    "a deletion": ("DELETE", "/api/tasks/{tasks}", None, "tasks", 403),
    "a decision on money": ("PUT", "/api/payouts/{payouts}", {"status": "approved"}, "payouts", 404),
    "a decision on somebody": ("PUT", "/api/applications/{applications}/approve", None, "applications", 403),
    "a profile": ("PUT", "/api/users/{users}", {"displayName": "Asha"}, "users", 403),
    "a meeting": ("PUT", "/api/meetings/{meetings}", {"title": "Daily"}, "meetings", 403),
    "work for somebody": ("POST", "/api/tasks", DEEDS["a task"][1] | {"assignedTo": "{users}"}, "users", 403),
}
LOCKS = {"postgresql": "FOR NO KEY UPDATE", "mariadb": "FOR UPDATE"}  # as a change takes them


@pytest.fixture
def ids(api, owner, editor, moderator):
    applicant = {"fullName": "Asha", "email": "asha@example.com"}
    return {
        "users": editor.id,
        "tasks": api.post("/api/tasks", owner, DEEDS["a task"][1]).json["id"],
        "payouts": api.post("/api/payouts", owner, {**DEEDS["a payout"][1], "editorId": editor.id}).json["id"],
        "meetings": api.post("/api/meetings", moderator, DEEDS["a meeting"][1]).json["id"],
        "applications": api.post("/api/applications", json=applicant).json["id"],
    }


def while_held(app, locking: str, values: dict[str, str], ask: Callable[[], object], loss: Callable[[], object]):
    """What `ask` is answered where somebody held a row while the asker lost their rights."""
    with app.app_context(), db.engine.connect() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(text(locking), values)
        asked_for = pool.submit(ask)
        time.sleep(WAITED)
        loss()
        holder.rollback()
        return asked_for.result()


@pytest.mark.only_on("postgresql", "mariadb")
@pytest.mark.parametrize("loss", [DEMOTED, LOGGED_OUT], ids=["demoted", "logged out"])
@pytest.mark.parametrize("held_up", HELD_UP.values(), ids=HELD_UP)
def test_who_waits_for_a_row_acts_by_the_rights_of_the_end(app, api, moderator, ids, held_up, loss):
    method, path, body, table, refused = held_up
    dialect = "postgresql" if app.config["SQLALCHEMY_DATABASE_URI"].startswith("postgresql") else "mariadb"
    sent = body and json.loads(json.dumps(body).replace("{users}", ids["users"]))
    api.get("/api/auth/me", moderator)
    before = {name: rows(app, name) for name in ("audit", "events", "notifications", "tasks", "ledger")}
    answer = while_held(
        app,
        f"SELECT id FROM {table} WHERE id = :id {LOCKS[dialect]}",
        {"id": ids[table]},
        lambda: Api(app)(method, path.format(**ids), moderator, sent),
        lambda: change(app, loss, id=moderator.id),
    )
    assert answer.status_code == (401 if loss == LOGGED_OUT else refused)
    assert {name: rows(app, name) for name in before} == before


@pytest.mark.only_on("mariadb")  # others have sequences, and foreign keys that wait for nobody who changes a row
@pytest.mark.parametrize("what", ["a number", "whom they tell"])
def test_who_waits_for_more_than_a_row_acts_by_the_rights_of_the_end(app, api, moderator, editor, what):
    held, key, path, body, table = {
        "a number": ("counters WHERE name", "task_number", "/api/tasks", DEEDS["a task"][1], "tasks"),
        "whom they tell": (
            "users WHERE id",
            editor.id,
            "/api/notifications",
            {"title": "Hi", "message": "You", "to": editor.id},
            "notifications",
        ),
    }[what]
    api.get("/api/auth/me", moderator)
    answer = while_held(
        app,
        f"SELECT 1 FROM {held} = :key FOR UPDATE",
        {"key": key},
        lambda: Api(app).post(path, moderator, body),
        lambda: change(app, DEMOTED, id=moderator.id),
    )
    assert (answer.status_code, rows(app, table)) == (403, 0)


@pytest.fixture
def _all_are_late(monkeypatch):
    """Every transaction confirms at its end; nobody is misjudged again and again."""
    monkeypatch.setattr(guess, "FRESH_SECONDS", -1)
    left = [gate.look_up]

    def once(request):
        return left.pop()(request)

    monkeypatch.setattr(gate, "look_up", once)


@pytest.mark.usefixtures("_all_are_late")
@pytest.mark.parametrize("path", ["/api/auth/logout", "/api/auth/logout/everywhere"])
def test_who_goes_out_is_not_doubted_for_it(api, editor, path):
    assert api.post(path, editor).status_code == 204
    assert api.post(path, editor).status_code == 401


@pytest.mark.usefixtures("_all_are_late")
def test_who_ends_this_session_or_goes_for_good_is_not_doubted_for_it(api, people):
    goer, leaver = people.editor(), people.editor()
    [session] = api.get("/api/auth/sessions", goer).json["data"]
    assert api.delete(f"/api/auth/sessions/{session['id']}", goer).status_code == 204
    assert api.delete(f"/api/users/{leaver.id}", leaver, {"currentPassword": PASSWORD}).status_code == 204
    assert api.get("/api/auth/me", leaver).status_code == 401


@pytest.mark.usefixtures("_all_are_late")
def test_who_switches_two_step_log_in_is_not_doubted_for_it(api, editor):
    confirmed = {"code": code_of(begin(api, editor))}
    assert api.post("/api/auth/two-step/confirm", editor, confirmed).status_code == 200
    assert api.delete("/api/auth/two-step", editor, {"currentPassword": PASSWORD}).status_code == 204
