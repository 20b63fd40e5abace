"""The demo agency: whole, believable, and only where it may be."""

import stat
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result

from idyll import clock
from idyll.demo import agency, logins
from idyll.demo.diary import Diary
from idyll.extensions import db
from idyll.notifications.models import Notification
from idyll.tasks.models import Task
from idyll.users.models import User

pytestmark = pytest.mark.database

Cli = Callable[..., Result]


@pytest.fixture
def cli(app, monkeypatch) -> Cli:
    """Runs a command with these settings."""

    def invoke(*args: str, **config: object) -> Result:
        for name, value in config.items():
            monkeypatch.setitem(app.config, name, value)
        return app.test_cli_runner().invoke(args=list(args))

    return invoke


@pytest.fixture
def instance(app, tmp_path, monkeypatch) -> Path:
    monkeypatch.setitem(app.config, "INSTANCE", tmp_path / "instance")
    return tmp_path / "instance"


@pytest.fixture
def demo(app, instance) -> dict[str, tuple[str, str, str]]:
    """The agency; role, status and password by username, as the file of log-ins has them."""
    made = app.test_cli_runner().invoke(args=["demo"])
    assert made.exit_code == 0, made.output
    with app.app_context():
        rows = [line.split() for line in logins.path().read_text().splitlines() if "@" in line and "[" not in line]
    return {email.split("@")[0]: (role, status, password) for email, role, status, password in rows}


def log_in(api, demo, username: str):
    return api.post("/api/auth/login", json={"login": f"{username}@idyll.example", "password": demo[username][2]})


def token(api, demo, username: str) -> str:
    found: str = log_in(api, demo, username).json["accessToken"]
    return found


def test_twelve_people_in_all_roles_and_states_log_in_as_the_file_says(api, demo):
    assert Counter(role for role, _, _ in demo.values()) == {"owner": 1, "moderator": 2, "editor": 9}
    assert Counter(status for _, status, _ in demo.values()) == {"approved": 10, "pending": 1, "rejected": 1}
    assert len({password for _, _, password in demo.values()}) == 12
    for username, (role, status, _) in demo.items():
        answer = log_in(api, demo, username)
        if status == "rejected":
            assert (answer.status_code, answer.json["code"]) == (403, "account_rejected")
        else:
            user = answer.json["user"]
            assert (user["role"], user["status"]) == (role, status)
            assert user["username"] == username


def test_the_work_is_in_every_state_and_its_dates_lie_around_today(api, demo):
    owner = token(api, demo, "meera")
    tasks = list(api.pages("/api/tasks", owner))
    assert sorted(task["taskNumber"] for task in tasks) == [f"T{n:03}" for n in range(1, 61)]
    assert len({task["name"] for task in tasks}) == 60
    assert {task["status"] for task in tasks} == {"pending", "in-progress", "completed", "blocked"}
    assert {task["approvalStatus"] for task in tasks} == {"reviewing", "need-changes", "approved"}
    assert {task["priority"] for task in tasks} == {"low", "medium", "high"}
    assert {task["assignedTo"] is None for task in tasks} == {True, False}
    assert all(task["rawFileLink"] and task["description"] for task in tasks)
    assert all(task["editedFileLink"] for task in tasks if task["status"] == "completed")
    assert 3 <= sum(task["overdue"] for task in tasks) <= 10
    today = datetime.now(UTC).date().isoformat()
    assert 10 <= sum(task["deadline"] > today for task in tasks) <= 50
    made = [task["createdAt"] for task in tasks]
    assert made == sorted(made, reverse=True)

    payouts = list(api.pages("/api/payouts", owner))
    assert {payout["status"] for payout in payouts} == {"pending", "approved", "paid", "rejected", "cancelled"}
    assert {payout["currency"] for payout in payouts} == {"INR", "USD"}
    assert {payout["editor"]["displayName"] for payout in payouts} >= {"Asha Verma", "Former member"}

    now = datetime.now(UTC).isoformat()
    meetings = list(api.pages("/api/meetings", owner, cancelled="true"))
    assert {meeting["startsAt"] < now for meeting in meetings} == {True, False}
    assert {meeting["allTeam"] for meeting in meetings} == {True, False}
    assert {meeting["cancelledAt"] is None for meeting in meetings} == {True, False}


def test_people_apply_talk_and_are_told(api, demo):
    owner, asha = token(api, demo, "meera"), token(api, demo, "asha")
    applications = list(api.pages("/api/applications", owner))
    assert {application["status"] for application in applications} == {"pending", "approved", "rejected"}
    assert {application["source"] for application in applications} == {"form", "registration"}
    rooms = {room["title"]: room for room in api.pages("/api/chat/rooms", owner)}
    assert {"Team", "Management", "Asha Verma"} <= rooms.keys()
    messages = list(api.pages("/api/chat/messages", asha, room="team"))
    assert len(messages) >= 12
    assert {message["senderRole"] for message in messages} == {"owner", "moderator", "editor"}
    assert any(message["editedAt"] for message in messages)
    assert any(message["message"] is None for message in messages)
    for someone in (owner, asha, token(api, demo, "nisha")):
        assert api.get("/api/auth/me", someone).json["unreadNotifications"] > 0
        kinds = {row["type"] for row in api.pages("/api/notifications", someone)}
        assert kinds >= {"task", "meeting", "user", "info"}


def test_the_numbers_the_audit_and_the_events_agree_with_it(api, demo, app):
    owner, asha = token(api, demo, "meera"), token(api, demo, "asha")
    numbers = api.get("/api/stats/summary", owner).json
    assert numbers["tasks"]["total"] == 60
    assert numbers["users"]["total"] == 12
    own = api.get("/api/stats/summary", asha).json
    assert 0 < own["tasks"]["total"] < 60
    assert min(own["payouts"]["byStatus"][status]["count"] for status in ("paid", "pending")) > 0
    actions = Counter(row["action"] for row in api.pages("/api/audit", owner))
    assert actions["task.created"] == 60
    assert actions["payout.paid"] == numbers["payouts"]["byStatus"]["paid"]["count"]
    assert {"user.removed", "meeting.cancelled", "application.rejected", "user.password_set"} <= actions.keys()
    with app.app_context():
        assert db.session.execute(db.select(db.func.count()).select_from(Notification)).scalar_one() > 200


def test_nothing_has_happened_in_the_future(api, demo, app):
    late = datetime.now(UTC) + timedelta(seconds=1)
    with app.app_context():
        for column in (Task.created_at, Task.completed_at, User.created_at, Notification.created_at):
            newest = db.session.execute(db.select(db.func.max(column))).scalar_one()
            assert newest < late
        first = db.session.execute(db.select(db.func.min(Task.created_at))).scalar_one()
    assert timedelta(days=20) < late - first < timedelta(days=60)


def test_a_step_of_today_that_would_be_later_happens_now(app):
    with app.app_context(), clock.at(clock.midnight(clock.today()) + timedelta(hours=1)):
        diary, seen = Diary(), []
        diary.on(0.5, lambda: seen.append(("noon", clock.now())))
        diary.on(-1, lambda: seen.append(("yesterday", clock.now())))
        diary.live()
        assert [name for name, _ in seen] == ["yesterday", "noon"]
        assert seen[1][1] == clock.now()


# -- where it may be, and the file ---------------------------------------------------------------------------------


def test_it_comes_beside_the_owner_and_never_twice(cli, app, instance, owner):
    assert cli("demo").exit_code == 0
    again = cli("demo")
    assert again.exit_code == 1
    assert "people besides the owner" in again.output
    with app.app_context():
        assert db.session.execute(db.select(db.func.count()).select_from(Task)).scalar_one() == 60


@pytest.mark.parametrize("who", ["editor", "two owners", "nobody, in production"])
def test_it_stays_away_from_a_real_agency_and_says_why(cli, app, instance, people, who):
    if who == "editor":
        people.editor()
    if who == "two owners":
        people.owner(), people.owner()
    env = "production" if "production" in who else "development"
    refused = cli("demo", APP_ENV=env)
    assert refused.exit_code == 1
    assert ("APP_ENV" if env == "production" else "besides the owner") in refused.output
    assert not instance.exists()
    with app.app_context():
        assert db.session.execute(db.select(db.func.count()).select_from(Task)).scalar_one() == 0


def test_a_start_that_is_broken_off_leaves_nothing_of_it(app, instance):
    def full_disk(_: object) -> None:
        raise OSError("no space left")

    with app.app_context():
        with pytest.raises(OSError, match="no space"):
            agency.make(full_disk)
        assert db.session.execute(db.select(db.func.count()).select_from(User)).scalar_one() == 0
        assert agency.refusal() is None


def test_the_log_ins_are_for_their_owner_alone_and_another_database_keeps_its_own(app, instance, monkeypatch):
    with app.app_context():
        logins.keep([("a@idyll.example", "owner", "approved", "first-password")])
        monkeypatch.setitem(app.config, "SQLALCHEMY_DATABASE_URI", "postgresql://idyll:hush@db.example.com/idyll")
        assert not logins.known()
        logins.keep([("b@idyll.example", "owner", "approved", "second-password")])
        logins.keep([("b@idyll.example", "owner", "approved", "third-password")])
        assert logins.known()
        text = logins.path().read_text()
    assert stat.S_IMODE(logins_file(instance).stat().st_mode) == 0o600
    assert "first-password" in text
    assert "third-password" in text
    assert "second-password" not in text
    assert "hush" not in text


def logins_file(instance: Path) -> Path:
    [file] = instance.iterdir()
    return file
