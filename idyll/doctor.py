"""What is wrong with this installation: `flask doctor` prints it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Dialect, func, make_url, select, text

from . import health
from .database import execute
from .live import instances
from .scope import this_app, this_engine
from .users.models import User
from .users.roles import Role

FROZEN = ("payouts", "payments", "ledger", "audit", "audit_seals")
TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'",
    "mysql": "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
}


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BROKEN = "BROKEN"


@dataclass(frozen=True)
class Finding:
    grade: Grade
    about: str
    text: str


def examine() -> Iterator[Finding]:
    """Each part in turn; what needs the database is left out where it can't be reached."""
    yield from _settings()
    found = health.check()
    if found["database"] != "ok":
        yield Finding(Grade.BROKEN, "database", f"{_address()} can't be reached")
    else:
        yield Finding(Grade.OK, "database", f"{_address()}, {_version()}")
        yield _schema(found["schema"])
        if found["schema"] == "ok":
            yield _triggers()
            yield _instances(found)
            yield _owner()
    yield _redis(found.get("redis"))


def _settings() -> Iterator[Finding]:
    config = this_app().config
    yield Finding(Grade.OK, "settings", f"APP_ENV={config['APP_ENV']}, links lead to {config['PUBLIC_URL']}")
    if config["APP_ENV"] != "production":
        return
    if make_url(config["SQLALCHEMY_DATABASE_URI"]).get_backend_name() == "sqlite":
        text = "SQLite in production: on hosts with an ephemeral disk every deploy loses all data; set DATABASE_URL"
        yield Finding(Grade.WARNING, "settings", text)
    if not config["TRUSTED_PROXIES_SET"]:
        text = "TRUSTED_PROXIES is not set: behind a proxy, every caller counts as the proxy (Heroku 1, Render 2)"
        yield Finding(Grade.WARNING, "proxies", text)


def _address() -> str:
    return make_url(this_app().config["SQLALCHEMY_DATABASE_URI"]).render_as_string(hide_password=True)


def _dialect() -> Dialect:
    return this_engine().dialect


def _version() -> str:
    dialect: Any = _dialect()
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    return f"{name} {'.'.join(str(part) for part in dialect.server_version_info or ())}"


def _schema(state: str) -> Finding:
    head = health.HEAD
    if state == "ok":
        return Finding(Grade.OK, "schema", f"at {head}")
    if state == "ahead":
        return Finding(Grade.WARNING, "schema", f"is newer than the code, which knows {head}")
    return Finding(Grade.BROKEN, "schema", f"is behind {head}: flask --app wsgi db upgrade")


def _triggers() -> Finding:
    """Those of the migrations that freeze paid rows, the books and the audit."""
    name = "mysql" if _dialect().name == "mariadb" else _dialect().name
    there = set(execute(text(TRIGGERS[name])).scalars())
    endings = ("frozen", "kept") if name == "postgresql" else ("update_frozen", "delete_frozen")
    missing = [f"{table}_{ending}" for table in FROZEN for ending in endings if f"{table}_{ending}" not in there]
    if not missing:
        return Finding(Grade.OK, "triggers", "paid payouts, payments, the ledger and the audit are frozen")
    if name == "mysql" and len(missing) == len(FROZEN) * len(endings):
        words = (
            "this host has none: paid payouts, payments, ledger and audit are guarded by the code's statements alone"
        )
        return Finding(Grade.WARNING, "triggers", words)
    return Finding(Grade.BROKEN, "triggers", f"missing: {', '.join(missing)}")


def _instances(found: dict[str, str]) -> Finding:
    count = instances.count()
    if "instances" in found:
        words = f"{count} run without REDIS_URL: presence, typing and limits hold for each alone; set REDIS_URL"
        return Finding(Grade.WARNING, "instances", words)
    return Finding(Grade.OK, "instances", f"{count} {'runs' if count == 1 else 'run'}")


def _owner() -> Finding:
    count = execute(select(func.count()).select_from(User).where(User.managing(), User.role == Role.OWNER)).scalar_one()
    if count:
        return Finding(Grade.OK, "owner", f"there {'is one' if count == 1 else f'are {count}'}")
    words = "there is none: set OWNER_EMAIL and OWNER_PASSWORD, then flask --app wsgi users create-owner"
    return Finding(Grade.WARNING, "owner", words)


def _redis(state: str | None) -> Finding:
    if state is None:
        return Finding(Grade.OK, "redis", "not used: run one instance")
    if state == "ok":
        return Finding(Grade.OK, "redis", "answers")
    return Finding(Grade.BROKEN, "redis", "can't be reached: limits hold for each instance alone")
