"""Many at once, through the running server: what must happen once happens once, and nobody gets a 5xx."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import requests
from conftest import People, Someone, empty_tables, make_database, settings
from flask import Flask
from servers import ROOT, RunningApp, start_app
from sqlalchemy import text

from idyll import create_app
from idyll.extensions import db

pytestmark = pytest.mark.only_on("postgresql")

Call = Callable[[], requests.Response]
MANY = str(10**9)
CONNECTIONS = 9  # of the pool; one is for whoever follows the log


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Flask:
    """The application on the server's database, to make people and to look at rows."""
    url = make_database(f"idyll_races_{worker_id}", tmp_path_factory.mktemp("races"))
    return create_app(settings(DATABASE_URL=url))


@pytest.fixture(scope="module")
def server(inside: Flask) -> Iterator[RunningApp]:
    """The server of the Procfile, with its limits on but out of the way; that of chat messages as it is."""
    env = {
        "DATABASE_URL": inside.config["SQLALCHEMY_DATABASE_URI"],
        **{name: inside.config[name] for name in ("SECRET_KEY", "JWT_SECRET_KEY")},
        **{f"{name}_LIMIT_PER_MINUTE": MANY for name in ("RATE", "LOGIN", "PUBLIC_WRITE")},
    }
    flask = Path(sys.executable).with_name("flask")
    subprocess.run([flask, "--app", "wsgi", "db", "upgrade"], cwd=ROOT, env=env, check=True, capture_output=True)
    running = start_app(env)
    yield running
    running.stop()


@pytest.fixture
def people(inside: Flask, server: RunningApp) -> People:
    with inside.app_context():
        empty_tables()
    return People(inside)


class Http:
    def __init__(self, server: RunningApp) -> None:
        self.url = server.url

    def __call__(self, method: str, path: str, by: Someone | None = None, **kwargs: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {by.token}"} if by else {}
        headers |= kwargs.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=60, **kwargs)

    def post(self, path: str, by: Someone | None, **body: Any) -> requests.Response:
        return self("POST", path, by, json=body)

    def put(self, path: str, by: Someone, **body: Any) -> requests.Response:
        return self("PUT", path, by, json=body)


@pytest.fixture
def http(server: RunningApp) -> Http:
    return Http(server)


def at_once(calls: Sequence[Call]) -> list[requests.Response]:
    """The answers of calls that all begin at the same moment."""
    start = Barrier(len(calls))

    def run(call: Call) -> requests.Response:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def at_once_behind_people(inside: Flask, calls: Sequence[Call]) -> list[requests.Response]:
    """The same, with no luck needed: all that get so far are signed in and wait for the rows of people together."""
    stalled = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool, inside.app_context():
        with db.engine.begin() as connection:
            connection.execute(text("SELECT id FROM users FOR UPDATE"))
            answers = pool.submit(at_once, calls)
            deadline = time.monotonic() + 4  # the server waits for a lock, or for a connection, for 5 s
            while count(inside, stalled) < min(len(calls), CONNECTIONS):
                assert time.monotonic() < deadline, "too few requests came to wait for the lock"
                time.sleep(0.02)
        return answers.result()


def outcomes(answers: Sequence[requests.Response]) -> Counter[tuple[int, str | None]]:
    """How often which status, with the code of a refusal."""
    return Counter((one.status_code, one.json()["code"] if one.status_code >= 400 else None) for one in answers)


def rows(inside: Flask, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    with inside.app_context(), db.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql), values)]


def count(inside: Flask, what: str, **values: Any) -> int:
    return int(rows(inside, f"SELECT count(*) FROM {what}", **values)[0][0])


def approved_task(http: Http, owner: Someone, editor: Someone) -> str:
    made = http.post(
        "/api/tasks",
        owner,
        name="Film",
        deadline="2031-01-01",
        assignedTo=editor.id,
        status="completed",
        approvalStatus="approved",
    )
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def approved_payout(http: Http, owner: Someone, editor: Someone) -> str:
    made = http.post("/api/payouts", editor, projectName="Film", amount=1500.5)
    path = f"/api/payouts/{made.json()['id']}"
    assert http.put(path, owner, status="approved").status_code == 200
    return path


# -- tasks and people ------------------------------------------------------------------------------------------------


def test_a_hundred_tasks_made_at_once_have_a_hundred_numbers(http: Http, inside: Flask, people: People) -> None:
    managers = [people.owner(), people.moderator()]
    answers = at_once(
        [lambda i=i: http.post("/api/tasks", managers[i % 2], name=f"{i}", deadline="2031-01-01") for i in range(100)]
    )
    assert outcomes(answers) == {(201, None): 100}
    numbers = {one.json()["taskNumber"] for one in answers}
    assert numbers == {f"T{n:03d}" for n in range(1, 101)}
    assert {number for (number,) in rows(inside, "SELECT task_number FROM tasks")} == numbers
    assert count(inside, "audit WHERE action = 'task.created'") == count(inside, "events") == 100


@pytest.mark.parametrize("applications", [1, 2])
def test_fifty_approvals_of_one_person_are_one_decision(
    http: Http, inside: Flask, people: People, applications: int
) -> None:
    managers = [people.owner(), people.moderator()]
    applicant = {"fullName": "Nia New", "email": "nia@example.com"}
    keys = [http.post("/api/applications", None, **applicant).json()["id"] for _ in range(applications)]
    answers = at_once(
        [
            lambda i=i: http.put(f"/api/applications/{keys[i % applications]}/approve", managers[i // 2 % 2])
            for i in range(50)
        ]
    )
    assert outcomes(answers) == {(200, None): 50}
    assert {one.json()["status"] for one in answers} == {"approved"}
    assert sum("invite" in one.json() for one in answers) == 1
    [(user_id, status)] = rows(inside, "SELECT id, status FROM users WHERE email = 'nia@example.com'")
    assert (str(user_id), status) == (answers[0].json()["userId"], "approved")
    assert count(inside, "notifications WHERE user_id = :id", id=user_id) == 1
    assert count(inside, "audit WHERE action = 'user.created'") == 1
    assert count(inside, "audit WHERE action = 'application.approved'") == applications
    assert count(inside, "events WHERE name = 'application_updated'") == applications


def test_of_approvals_and_rejections_at_once_one_side_wins_whole(http: Http, inside: Flask, people: People) -> None:
    owner = people.owner()
    filed = http.post("/api/applications", None, fullName="Nia New", email="nia@example.com").json()
    path = f"/api/applications/{filed['id']}"
    answers = at_once([lambda verb=verb: http.put(f"{path}/{verb}", owner) for verb in ("approve", "reject") * 20])
    # A rejected one may be approved later, an approved one not be rejected: so approval has the last word.
    assert outcomes(answers).keys() <= {(200, None), (409, "already_approved")}
    assert http("GET", path, owner).json()["status"] == "approved"
    assert [one.status_code for one in answers[::2]] == [200] * 20
    assert count(inside, "users WHERE email = 'nia@example.com' AND status = 'approved'") == 1
    assert count(inside, "audit WHERE action = 'application.approved'") == 1


@pytest.mark.parametrize("verb", ["PUT", "DELETE"])
def test_of_two_owners_who_oust_each_other_one_stays(http: Http, inside: Flask, people: People, verb: str) -> None:
    one, two = people.owner(), people.owner()
    body = {"role": "editor"} if verb == "PUT" else {}
    ousting: list[Call] = [
        lambda: http(verb, f"/api/users/{two.id}", one, json=body),
        lambda: http(verb, f"/api/users/{one.id}", two, json=body),
    ]
    answers = at_once_behind_people(inside, ousting)
    done = (200, None) if verb == "PUT" else (204, None)
    assert outcomes(answers) == {done: 1, (409, "last_owner"): 1}
    loser = [one, two][[answer.status_code for answer in answers].index(409)]
    owners = rows(inside, "SELECT id FROM users WHERE role = 'owner' AND status = 'approved'")
    assert [str(key) for (key,) in owners] == [(two if loser is one else one).id]


# -- money -----------------------------------------------------------------------------------------------------------


def test_a_hundred_requests_for_one_task_are_one_payout(http: Http, inside: Flask, people: People) -> None:
    owner, editor = people.owner(), people.editor()
    task_id = approved_task(http, owner, editor)
    body = {"projectName": "Film", "amount": 1500.5, "taskId": task_id, "editorId": editor.id}
    answers = at_once([lambda i=i: http.post("/api/payouts", (owner, editor)[i % 2], **body) for i in range(100)])
    assert outcomes(answers) == {(201, None): 1, (409, "already_requested"): 99}
    assert {one.json()["current"] for one in answers if one.status_code == 409} == {"pending"}
    assert rows(inside, "SELECT task_id = live_task_id FROM payouts") == [(True,)]
    assert count(inside, "audit WHERE action = 'payout.requested'") == 1
    assert count(inside, "events WHERE name = 'payout_created'") == 1


def test_two_hundred_payments_of_one_payout_pay_once(http: Http, inside: Flask, people: People) -> None:
    managers, editor = [people.owner(), people.moderator()], people.editor()
    path = approved_payout(http, managers[0], editor)
    answers = at_once(
        [lambda i=i: http.put(path, managers[i % 2], status="paid", reference=f"UTR {i}") for i in range(200)]
    )
    assert outcomes(answers) == {(200, None): 1, (409, "illegal_move"): 199}
    assert {one.json()["current"] for one in answers if one.status_code == 409} == {"paid"}
    [winner] = [one.json() for one in answers if one.status_code == 200]
    assert rows(inside, "SELECT amount_minor, reference FROM payments") == [(150050, winner["reference"])]
    assert http("GET", path, editor).json() == winner
    assert count(inside, "audit WHERE action = 'payout.paid'") == 1
    assert count(inside, "events WHERE name = 'payout_updated'") == 2  # approved, paid


def test_of_paying_and_rejecting_at_once_one_happens(http: Http, inside: Flask, people: People) -> None:
    owner, editor = people.owner(), people.editor()
    path = approved_payout(http, owner, editor)
    moves = [{"status": "paid", "reference": "UTR 1"}, {"status": "rejected", "reason": "Twice"}] * 25
    answers = at_once([lambda move=move: http.put(path, owner, **move) for move in moves])
    assert outcomes(answers) == {(200, None): 1, (409, "illegal_move"): 49}
    [winner] = [one.json() for one in answers if one.status_code == 200]
    assert http("GET", path, owner).json() == winner
    assert count(inside, "payments") == (winner["status"] == "paid")


def test_of_approving_and_taking_back_at_once_one_happens(http: Http, inside: Flask, people: People) -> None:
    owner, editor = people.owner(), people.editor()
    made = http.post("/api/payouts", editor, projectName="Film", amount=1)
    path = f"/api/payouts/{made.json()['id']}"
    approvals: list[Call] = [lambda: http.put(path, owner, status="approved")] * 20
    answers = at_once([*approvals, *[lambda: http("DELETE", path, editor)] * 20])
    found = outcomes(answers)
    if http("GET", path, owner).json()["status"] == "approved":
        assert found == {(200, None): 1, (409, "illegal_move"): 39}
    else:
        # To take it back again changes nothing, and is no error.
        assert found == {(204, None): 20, (409, "illegal_move"): 20}
    assert count(inside, "audit WHERE action IN ('payout.approved', 'payout.cancelled')") == 1


@pytest.mark.parametrize("turn", range(4))
def test_no_payout_waits_for_a_task_deleted_meanwhile(http: Http, inside: Flask, people: People, turn: int) -> None:
    owner, editor = people.owner(), people.editor()
    task_id = approved_task(http, owner, editor)
    asking: list[Call] = [lambda: http.post("/api/payouts", editor, projectName="F", amount=1, taskId=task_id)] * 4
    answers = at_once([*asking[:turn], lambda: http("DELETE", f"/api/tasks/{task_id}", owner), *asking[turn:]])
    assert answers.pop(turn).status_code == 204
    assert outcomes(answers).keys() <= {(201, None), (409, "already_requested"), (422, "invalid")}
    assert count(inside, "payouts WHERE status = 'pending'") == 0


# -- repeats ---------------------------------------------------------------------------------------------------------


def test_fifty_posts_with_one_idempotency_key_have_one_effect(http: Http, inside: Flask, people: People) -> None:
    owner = people.owner()
    body = {"name": "Film", "deadline": "2031-01-01"}

    def post() -> requests.Response:
        return http("POST", "/api/tasks", owner, json=body, headers={"Idempotency-Key": "once"})

    answers = at_once([post] * 50)
    found = outcomes(answers)
    assert found.keys() <= {(201, None), (409, "idempotency_in_progress")}
    made = [one for one in answers if one.status_code == 201]
    assert len({one.text for one in made}) == 1
    assert sum("Idempotency-Replayed" not in one.headers for one in made) == 1
    assert count(inside, "tasks") == count(inside, "audit WHERE action = 'task.created'") == 1
    again = post()
    assert (again.status_code, again.text, again.headers["Idempotency-Replayed"]) == (201, made[0].text, "true")


def test_fifty_posts_of_one_message_are_one_message(http: Http, inside: Flask, people: People) -> None:
    editor = people.editor()
    posts: list[Call] = [lambda: http.post("/api/chat/messages", editor, message="Done!", clientId="c-1")] * 50
    answers = at_once_behind_people(inside, posts)
    assert outcomes(answers) == {(201, None): 1, (200, None): 49}
    assert len({one.text for one in answers}) == 1
    assert count(inside, "messages") == count(inside, "events WHERE name = 'new_message'") == 1
    # Repeats of a stored message don't count: nine more may follow within the ten seconds.
    more = [http.post("/api/chat/messages", editor, message=f"{i}").status_code for i in range(10)]
    assert more == [201] * 9 + [429]
