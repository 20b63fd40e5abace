"""What the host's command line does: owners, links, the doctor, the sweep, the start."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from checkout import make_checkout, procfile, run
from click.testing import Result
from conftest import DATABASE, PASSWORD, make_database
from doors import log_in
from sqlalchemy import text

from idyll import clock, first_owner
from idyll.database import execute
from idyll.extensions import db
from idyll.health import HEAD
from idyll.transactions import transaction
from idyll.users.models import User

pytestmark = pytest.mark.database

Cli = Callable[..., Result]
SECRETS = {"SECRET_KEY": "5e1f7a9c3b8d2046e1f3c5a79b0d2e4f", "JWT_SECRET_KEY": "b2f7a6c1e8350d9f4b7d9f2a4c6e81b3"}
PRODUCTION = {**SECRETS, "APP_ENV": "production", "CORS_ORIGINS": "https://app.example.com", "TRUSTED_PROXIES": "1"}


@pytest.fixture
def cli(app, monkeypatch) -> Iterator[Cli]:
    """Runs a command with these settings."""

    def invoke(*args: str, **config: object) -> Result:
        for name, value in config.items():
            monkeypatch.setitem(app.config, name, value)
        return app.test_cli_runner().invoke(args=list(args))

    return invoke


def everybody(app) -> list[str]:
    with app.app_context():
        return list(db.session.execute(db.select(User.email)).scalars())


# -- the first owner -------------------------------------------------------------------------------------------------


def test_the_first_owner_is_made_of_the_environment_and_can_log_in(cli, api):
    made = cli("users", "create-owner", OWNER_EMAIL="Boss@Example.com ", OWNER_PASSWORD=PASSWORD)
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output
    me = api.post("/api/auth/login", json={"login": "boss@example.com", "password": PASSWORD}).json["user"]
    assert (me["role"], me["status"]) == ("owner", "approved")


def test_a_second_owner_is_not_made_on_the_host(cli, app, owner):
    asked = cli("users", "create-owner", OWNER_EMAIL="late@example.com", OWNER_PASSWORD=PASSWORD)
    assert asked.exit_code == 1
    released = cli("users", "create-owner", "--if-none")
    assert released.exit_code == 0
    assert everybody(app) == [owner.email]


def test_in_development_a_password_is_made_up_and_shown_once(cli, api):
    made = cli("users", "create-owner", "--if-none", OWNER_EMAIL="", OWNER_PASSWORD="", APP_ENV="development")
    email, password = re.search(r"owner is (\S+) with the password (\S+)", made.output).groups()
    assert api.post("/api/auth/login", json={"login": email, "password": password}).status_code == 200
    assert password not in cli("users", "create-owner", "--if-none").output


@pytest.mark.parametrize(
    ("email", "password", "named"),
    [
        ("boss@example.com", "", "OWNER_PASSWORD"),
        ("", PASSWORD, "OWNER_EMAIL"),
        ("boss", PASSWORD, "OWNER_EMAIL"),
        ("boss@example.com", "short", "OWNER_PASSWORD"),
        ("boss@example.com", "password123", "OWNER_PASSWORD"),
        ("boss@example.com", "x" * 129, "OWNER_PASSWORD"),
    ],
)
@pytest.mark.parametrize("env", ["development", "production"])
def test_bad_values_are_refused_by_the_variables_name(cli, app, email, password, named, env):
    refused = cli("users", "create-owner", "--if-none", OWNER_EMAIL=email, OWNER_PASSWORD=password, APP_ENV=env)
    assert refused.exit_code == 1
    assert re.findall(r"OWNER_\w+", refused.output) == [named]
    assert everybody(app) == []


def test_a_release_without_an_owner_to_make_warns_and_goes_on(cli, app):
    nobody = {"OWNER_EMAIL": "", "OWNER_PASSWORD": "", "APP_ENV": "production"}
    released = cli("users", "create-owner", "--if-none", **nobody)
    assert released.exit_code == 0
    assert "WARNING" in released.stderr
    assert "OWNER_EMAIL" in released.stderr
    asked = cli("users", "create-owner", **nobody)
    assert asked.exit_code == 1
    assert "OWNER_EMAIL" in asked.output
    assert everybody(app) == []


def test_an_editor_who_has_the_owners_email_is_not_made_owner(cli, app, editor):
    refused = cli("users", "create-owner", "--if-none", OWNER_EMAIL=editor.email, OWNER_PASSWORD=PASSWORD)
    assert refused.exit_code == 1
    assert "e-mail is taken" in refused.output


def test_hosts_that_start_together_make_one_owner(app):
    def start(email: str) -> bool:
        with app.app_context():
            return first_owner.make(email, PASSWORD)

    with ThreadPoolExecutor(6) as hosts:
        made = list(hosts.map(start, ["boss@example.com"] * 6))
    assert made.count(True) == len(everybody(app)) == 1


# -- links -----------------------------------------------------------------------------------------------------------


def test_a_link_from_the_host_sets_a_password_once_and_ends_earlier_links(cli, api, editor, owner):
    first = cli("users", "invite", editor.email).output
    second = cli("users", "invite", f" {editor.email.upper()} ").output
    tokens = [re.search(r"/set-password\?token=(\S+)", output)[1] for output in (first, second)]
    answers = [
        api.post("/api/auth/password/reset", json={"token": token, "password": "another-good-one"}).status_code
        for token in (*tokens, tokens[1])
    ]
    assert answers == [401, 204, 401]
    assert api.post("/api/auth/login", json={"login": editor.email, "password": "another-good-one"}).status_code == 200
    audit = api.get("/api/audit", owner, query_string={"objectId": editor.id}).json["data"]
    assert [row["actor"] for row in audit if row["action"] == "user.invited"] == [None, None]


def test_nobody_else_gets_a_link(cli, api, people, owner):
    rejected = people.pending()
    api.put(f"/api/users/{rejected.id}", owner, {"status": "rejected"})
    for email in ("nobody@example.com", rejected.email):
        refused = cli("users", "invite", email)
        assert refused.exit_code == 1
        assert email in refused.output
        assert "token=" not in refused.output


# -- care ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_the_printed_document_is_the_served_one_and_always_in_the_same_order(cli, api, name):
    printed = cli(name).output
    assert json.loads(printed) == api.get(f"/api/{name}.json").json
    assert printed == cli(name).output
    assert printed.startswith('{\n  "')


def graded(result: Result) -> dict[str, str]:
    return {line.split()[1]: line.split()[0] for line in result.output.splitlines()}


def test_the_doctor_finds_nothing_wrong_with_a_sound_installation(cli, owner):
    found = cli("doctor")
    assert found.exit_code == 0
    assert set(graded(found).values()) == {"ok"}
    assert graded(found).keys() == {"settings", "database", "schema", "triggers", "instances", "owner", "redis"}


def test_the_doctor_misses_the_owner(cli):
    found = cli("doctor")
    assert (found.exit_code, graded(found)["owner"]) == (0, "warning")


def test_the_doctor_says_when_the_schema_is_behind_or_ahead(cli, app):
    def at(revision: str) -> None:
        with app.app_context(), transaction():
            execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    try:
        at("0001")
        behind = cli("doctor")
        at("9999")
        ahead = cli("doctor")
    finally:
        at(HEAD)
    assert (behind.exit_code, graded(behind)["schema"]) == (1, "BROKEN")
    assert "triggers" not in graded(behind)
    assert (ahead.exit_code, graded(ahead)["schema"]) == (0, "warning")


def test_the_doctor_misses_a_trigger(cli, app):
    names = {"postgresql": "audit_frozen", "sqlite": "audit_delete_frozen", "mariadb": "audit_delete_frozen"}
    name = names[DATABASE]
    how = {
        "sqlite": f"SELECT sql FROM sqlite_master WHERE name = '{name}'",
        "postgresql": f"SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = '{name}'",
        "mariadb": "SELECT CONCAT('CREATE TRIGGER ', trigger_name, ' BEFORE DELETE ON audit FOR EACH ROW ',"
        f" action_statement) FROM information_schema.triggers WHERE trigger_name = '{name}'"
        " AND trigger_schema = DATABASE()",
    }
    with app.app_context(), db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        made_by = connection.exec_driver_sql(how[DATABASE]).scalar_one()
        connection.exec_driver_sql(f"DROP TRIGGER {name}" + (" ON audit" if DATABASE == "postgresql" else ""))
        try:
            found = cli("doctor")
        finally:
            connection.exec_driver_sql(made_by)
    assert (found.exit_code, graded(found)["triggers"]) == (1, "BROKEN")
    assert name in found.output
    assert graded(cli("doctor"))["triggers"] == "ok"


@pytest.mark.only_on("mariadb")
def test_the_doctor_says_so_where_a_host_has_no_triggers(cli, app, owner):
    with app.app_context(), db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        wanted = (
            "SELECT trigger_name, CONCAT('CREATE TRIGGER ', trigger_name, ' BEFORE ', event_manipulation, ' ON ',"
            " event_object_table, ' FOR EACH ROW ', action_statement) FROM information_schema.triggers"
            " WHERE trigger_schema = DATABASE()"
        )
        triggers = connection.exec_driver_sql(wanted).all()
        for name, _ in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        try:
            found = cli("doctor")
        finally:
            for _, made_by in triggers:
                connection.exec_driver_sql(made_by)
    assert len(triggers) == 10
    assert (found.exit_code, graded(found)["triggers"]) == (0, "warning")
    assert "this host has none" in found.output


def test_the_doctor_misses_redis_and_warns_of_unknown_proxies(cli, owner):
    away = cli("doctor", REDIS_URL="redis://127.0.0.1:1/0")
    assert (away.exit_code, graded(away)["redis"]) == (1, "BROKEN")
    unset = cli("doctor", REDIS_URL="", APP_ENV="production", TRUSTED_PROXIES_SET=False)
    assert (unset.exit_code, graded(unset)["proxies"]) == (0, "warning")
    assert ("SQLite in production" in unset.output) is (DATABASE == "sqlite")


def test_the_sweep_takes_what_is_old_and_nothing_else(cli, api, app, owner, editor):
    old = clock.now() - timedelta(days=8)
    task = {"name": "Wedding", "deadline": "2030-01-01", "assignedTo": editor.id}
    with clock.at(old):
        api.post("/api/notifications", owner, {"title": "Old", "message": "Old", "to": "all"})
        api.post("/api/tasks", owner, task, headers={"Idempotency-Key": "old"})
        log_in(api, "nobody")
    log_in(api, "nobody")
    since = api.get("/api/events", owner).json["lastEventId"]
    api.post("/api/tasks", owner, task, headers={"Idempotency-Key": "new"})
    swept = cli("sweep")
    assert [int(line.split()[-1]) for line in swept.output.splitlines()] == [2 + 2, 1, 0, 1]
    kept = api.get("/api/events", owner, query_string={"since": since}).json["events"]
    assert [event["event"] for event in kept] == ["task_created"]
    answers = [api.post("/api/tasks", owner, task, headers={"Idempotency-Key": key}) for key in ("new", "old")]
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == ["true", None]


# -- as a host runs it -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


@pytest.fixture
def fresh(tmp_path: Path, worker_id: str) -> dict[str, str]:
    """Settings with an empty database; on SQLite the default one, in a folder that isn't there yet."""
    return {} if DATABASE == "sqlite" else {"DATABASE_URL": make_database(f"idyll_cli_{worker_id}", tmp_path)}


def test_the_procfiles_release_makes_a_fresh_database_ready(folder, fresh):
    env = {**PRODUCTION, **fresh, "OWNER_EMAIL": "boss@example.com", "OWNER_PASSWORD": PASSWORD}
    for said in ("The owner is boss@example.com.", "There is an owner already."):
        released = run(folder, procfile("release"), **env)
        assert released.returncode == 0, released.stderr
        assert said in released.stdout
    sound = run(folder, "flask --app wsgi doctor", **env)
    assert sound.returncode == 0, sound.stdout
    assert "BROKEN" not in sound.stdout


def test_preparing_in_production_makes_no_demo_people(folder, fresh):
    prepared = run(folder, "flask --app wsgi prepare", **PRODUCTION, **fresh)
    assert prepared.returncode == 0, prepared.stderr
    assert "No demo agency" in prepared.stdout
    assert "WARNING" in prepared.stderr
    assert not (folder / "instance" / "demo-logins.txt").exists()


@pytest.mark.parametrize("command", ["prepare", "doctor", "users create-owner --if-none"])
def test_a_database_that_is_away_is_said_in_a_line(folder, command):
    away = {**SECRETS, "DATABASE_URL": "postgresql://idyll:hush@127.0.0.1:1/idyll"}
    found = run(folder, f"flask --app wsgi {command}", **away)
    assert found.returncode == 1
    assert "database" in found.stdout + found.stderr
    assert "Traceback" not in found.stderr
    assert "hush" not in found.stdout + found.stderr


def test_a_misconfigured_server_does_not_start_and_names_every_variable(folder):
    found = run(folder, "flask --app wsgi doctor", APP_ENV="production", MAIL_URL="smtp://x", PORT="many")
    assert found.returncode == 1
    assert found.stdout == ""
    named = set(re.findall(r"^  - (\w+):", found.stderr, re.MULTILINE))
    assert named == {"CORS_ORIGINS", "SECRET_KEY", "JWT_SECRET_KEY", "MAIL_URL", "PORT"}
