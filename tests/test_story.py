"""The agency's whole day, over real HTTP, against what `make run` starts."""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from answers import check_answer
from checkout import make_checkout
from conftest import DATABASE, make_database
from flask import Flask
from servers import RunningApp, start_app
from werkzeug.test import EnvironBuilder, TestResponse

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("story") / "checkout")


@pytest.fixture(scope="module")
def running(folder: Path, worker_id: str) -> Iterator[RunningApp]:
    """`bin/run` on a fresh machine: an empty folder, an empty database, nothing in the environment."""
    env = {"APP_ENV": "", "SECRET_KEY": "", "JWT_SECRET_KEY": "", "DATABASE_URL": ""}
    if DATABASE != "sqlite":
        env["DATABASE_URL"] = make_database(f"idyll_story_{worker_id}", folder)
    app = start_app(env, command="bin/run", folder=folder)
    yield app
    assert app.stop() == 0


@dataclass
class Client:
    """Somebody's browser."""

    app: Flask
    url: str
    tokens: dict[str, Any] = field(default_factory=dict)

    def __call__(self, method: str, path: str, status: int, json: Any = None, **kwargs: Any) -> Any:
        """Every answer must have the status that is expected, and the form that the document promises."""
        headers = {"Authorization": f"Bearer {self.tokens['accessToken']}"} if self.tokens else {}
        headers |= kwargs.pop("headers", {})
        found = requests.request(method, self.url + path, json=json, headers=headers, timeout=30, **kwargs)
        assert found.status_code == status, f"{method} {path}: {found.status_code} {found.text}"
        request = EnvironBuilder(urlsplit(found.url).path, method=method).get_request()
        check_answer(
            self.app, TestResponse([found.content], f"{status} {found.reason}", list(found.headers.items()), request)
        )
        return found.json() if found.content else None

    def log_in(self, login: str, password: str) -> "Client":
        tokens = self("POST", "/api/auth/login", 200, {"login": login, "password": password})
        return Client(self.app, self.url, tokens)

    @property
    def id(self) -> str:
        return str(self.tokens["user"]["id"])

    def told(self) -> list[tuple[str, bool]]:
        """The unread notifications, newest first, and whether they are urgent."""
        unread = self("GET", "/api/notifications?unread=true", 200)["data"]
        return [(one["title"], one["urgent"]) for one in unread]

    def read_all(self) -> None:
        self("PUT", "/api/notifications/read-all", 204)


@pytest.fixture
def stranger(app: Flask, running: RunningApp) -> Client:
    return Client(app, running.url)


@pytest.fixture
def owner(stranger: Client, running: RunningApp) -> Client:
    email, password = re.search(r"owner is (\S+) with the password (\S+)", running.log.read_text()).groups()
    return stranger.log_in(email, password)


@pytest.fixture
def moderator(stranger: Client, folder: Path) -> Client:
    """As the file of log-ins has them."""
    file = (folder / "instance" / "demo-logins.txt").read_text()
    email, password = re.search(r"^(arjun@\S+) .* (\S+)$", file, re.MULTILINE).groups()
    return stranger.log_in(email, password)


def test_the_start_says_where_everything_is(running, folder, stranger):
    said = running.log.read_text()
    assert f"http://localhost:{running.port}/api\n" in said
    logins = folder / "instance" / "demo-logins.txt"
    assert f"Demo log-ins   {logins}" in said
    assert stat.S_IMODE(logins.stat().st_mode) == 0o600
    docs = re.search(r"Documentation\s+(\S+)", said)[1].replace("localhost", "127.0.0.1")
    assert requests.get(docs, timeout=10).status_code == 200
    assert stranger("GET", "/readyz", 200)["status"] == "ok"


def test_from_the_application_to_the_money(stranger, owner, moderator):
    for manager in (owner, moderator):
        manager.read_all()
    before = owner("GET", "/api/stats/summary", 200)

    # A person applies, is approved, sets a password and logs in.
    form = {"fullName": "Ravindra Pillai", "email": "ravindra@example.com", "role": "Editor", "message": "Hello!"}
    filed = stranger("POST", "/api/applications", 201, form)
    asked = f"/api/applications/status/{filed['statusToken']}"
    assert stranger("GET", asked, 200)["status"] == "pending"
    assert owner.told() == moderator.told() == [("New application", True)]
    decided = moderator("PUT", f"/api/applications/{filed['id']}/approve", 200)
    assert moderator("PUT", f"/api/applications/{filed['id']}/approve", 200)["status"] == "approved"
    assert stranger("GET", asked, 200)["status"] == "approved"
    [token] = parse_qs(urlsplit(decided["invite"]["url"]).query)["token"]
    secret = "a-long-reel-of-film"
    stranger("POST", "/api/auth/password/reset", 204, {"token": token, "password": secret})
    stranger("POST", "/api/auth/password/reset", 401, {"token": token, "password": secret})
    editor = stranger.log_in("ravindra@example.com", secret)
    assert editor.told() == [("You are approved", False)]
    me = editor("GET", "/api/auth/me", 200)
    assert (me["role"], me["approved"], me["can"]["createTasks"]) == ("editor", True, False)
    editor.read_all()

    # Gets a task, hands in, is asked for changes, hands in again, is approved.
    work = {"name": "Temple wedding, six minutes", "deadline": "2031-03-10", "assignedTo": editor.id}
    key = {"Idempotency-Key": "temple-wedding"}
    task = moderator("POST", "/api/tasks", 201, work, headers=key)
    assert moderator("POST", "/api/tasks", 201, work, headers=key) == task
    assert task["taskNumber"] == "T061"
    address, number = f"/api/tasks/{task['id']}", task["taskNumber"]
    assert editor.told() == [(f"Task {number} is yours", True)]
    editor("PUT", address, 403, {"name": "Mine"})
    owner.read_all()
    editor("PUT", address, 200, {"status": "in-progress"})
    handed_in = editor("PUT", address, 200, {"editedFileLink": "https://drive.example.com/edited/61-v1"})
    assert (handed_in["status"], handed_in["approvalStatus"]) == ("completed", "reviewing")
    assert owner.told() == [(f"Task {number} is completed", False)]
    reopened = moderator("PUT", address, 200, {"approvalStatus": "need-changes"})
    assert (reopened["status"], reopened["completedAt"]) == ("in-progress", None)
    assert editor.told() == [(f"Task {number} needs changes", True)]
    request = {"projectName": work["name"], "amount": 4500.5, "taskId": task["id"], "paymentMethod": "UPI"}
    assert editor("POST", "/api/payouts", 409, request)["code"] == "task_not_approved"
    moderator("PUT", address, 409, {"approvalStatus": "approved"})
    editor("PUT", address, 200, {"editedFileLink": "https://drive.example.com/edited/61-v2"})
    moderator("PUT", address, 200, {"approvalStatus": "approved"})
    assert editor.told() == [(f"Task {number} is approved", True)]
    assert editor("PUT", address, 409, {"status": "in-progress"})["code"] == "task_approved"
    editor.read_all()
    owner.read_all()

    # Requests the payout, once, and is paid, once.
    payout = editor("POST", "/api/payouts", 201, request)
    assert editor("POST", "/api/payouts", 409, request)["code"] == "already_requested"
    assert owner.told() == [("Payout requested", True)]
    money = f"/api/payouts/{payout['id']}"
    editor("PUT", money, 403, {"status": "approved"})
    moderator("PUT", money, 409, {"status": "paid", "reference": "UTR 1"})
    moderator("PUT", money, 200, {"status": "approved"})
    assert editor.told() == [("Payout approved", False)]
    paid = owner("PUT", money, 200, {"status": "paid", "reference": "UTR 4711"})
    assert (paid["status"], paid["amount"], paid["currency"], paid["reference"]) == ("paid", 4500.5, "INR", "UTR 4711")
    owner("PUT", money, 409, {"status": "paid", "reference": "UTR 4712"})
    assert editor.told() == [("Payout paid", False)]
    assert editor("GET", money, 200) == paid

    # Managers read the audit log and the numbers of both home pages.
    steps = [row["action"] for row in owner("GET", f"/api/audit?objectId={payout['id']}", 200)["data"]]
    assert steps == ["payout.paid", "payout.approved", "payout.requested"]
    rows = moderator("GET", f"/api/audit?objectId={task['id']}", 200)["data"]
    assert [row["action"] for row in rows] == ["task.updated"] * 5 + ["task.created"]
    assert rows[0]["changes"] == {"approvalStatus": ["reviewing", "approved"]}
    assert rows[0]["actor"] == {"id": moderator.id, "displayName": "Arjun Nair"}
    editor("GET", "/api/audit", 403)
    after = owner("GET", "/api/stats/summary", 200)
    assert after["users"]["total"] == before["users"]["total"] + 1
    assert after["tasks"]["total"] == before["tasks"]["total"] + 1 == 61
    sums = [numbers["payouts"]["byStatus"]["paid"]["sums"]["INR"] for numbers in (before, after)]
    assert round(sums[1] - sums[0], 2) == 4500.5
    own = editor("GET", "/api/stats/summary", 200)
    assert own["tasks"]["byStatus"] == {"pending": 0, "in-progress": 0, "completed": 1, "blocked": 0}
    assert own["payouts"]["byStatus"]["paid"] == {"count": 1, "sums": {"INR": 4500.5}}
    editor("GET", f"/api/stats/summary?userId={owner.id}", 403)


def test_everybody_meets_and_talks(stranger, owner, moderator, folder):
    file = (folder / "instance" / "demo-logins.txt").read_text()
    logins = dict(re.findall(r"^(\w+)@idyll\.example .* (\S+)$", file, re.MULTILINE))
    asha, pending = (stranger.log_in(f"{name}@idyll.example", logins[name]) for name in ("asha", "pooja"))
    members = {user["id"] for user in owner("GET", "/api/users?status=approved&limit=100", 200)["data"]}
    for person in (owner, moderator, asha):
        person.read_all()

    round_ = {"title": "Monday round", "date": "2031-03-03", "time": "10:00", "attendees": "All Team"}
    meeting = moderator("POST", "/api/meetings", 201, round_)
    assert meeting["startsAt"] == "2031-03-03T04:30:00.000Z"
    assert set(meeting["attendees"]) == members
    assert asha("GET", f"/api/meetings/{meeting['id']}", 200) == meeting
    moderator("PUT", f"/api/meetings/{meeting['id']}", 200, {"time": "11:00"})
    for attendee in (owner, moderator, asha):
        assert attendee.told() == [("Meeting changed", False)]

    said = asha("POST", "/api/chat/messages", 201, {"message": "Good morning!", "room": "team", "clientId": "c1"})
    assert asha("POST", "/api/chat/messages", 200, {"message": "Good morning!", "clientId": "c1"}) == said
    room = next(room for room in owner("GET", "/api/chat/rooms", 200)["data"] if room["room"] == "team")
    assert (room["lastMessage"]["id"], room["unread"] > 0) == (said["id"], True)
    read = owner("PUT", "/api/chat/rooms/team/read", 200, {"messageId": said["id"]})
    assert read["unread"] == 0
    assert moderator("GET", "/api/chat/messages?room=team&limit=1", 200)["data"] == [said]
    asha("POST", "/api/chat/messages", 403, {"message": "Psst", "room": "management"})
    pending("POST", "/api/chat/messages", 403, {"message": "Me too"})
    assert pending("GET", "/api/auth/me", 200)["status"] == "pending"

    heard = asha("GET", "/api/events", 200)["lastEventId"]
    moderator("POST", "/api/chat/messages", 201, {"message": "For managers", "room": "management"})
    owner("POST", "/api/chat/messages", 201, {"message": "For all", "room": "team"})
    missed = asha("GET", f"/api/events?since={heard}", 200)["events"]
    assert [(event["event"], event["data"]["message"]) for event in missed] == [("new_message", "For all")]
