"""Whether the process answers, and whether it can work."""

from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Flask, Response
from sqlalchemy import column, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from .database import release
from .live import instances
from .scope import this_app, this_engine
from .shared import away, connect

MIGRATIONS = Path(__file__).parent.parent / "migrations"
# By their files: to ask Alembic is to load it and all of them, which a server has no other use for.
REVISIONS = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))
HEAD = REVISIONS[-1]
_PRESENT = table("alembic_version", column("version_num"))
bp = Blueprint("health", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)


@bp.get("/healthz")
def healthz() -> Response:
    return Response(b'{"status":"ok"}', content_type="application/json")


@bp.get("/readyz")
def readyz() -> Response:
    checks = check()
    down = any(value == "down" for value in checks.values())
    degraded = any(value != "ok" for value in checks.values())
    status = "down" if down else "degraded" if degraded else "ok"
    response = Response(orjson.dumps({"status": status, "checks": checks}), content_type="application/json")
    if down:
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return response


def check() -> dict[str, str]:
    """Each part: `ok`; `down`, without which nothing works; or what is wrong with it."""
    checks = {"database": "ok", "schema": _schema()}
    if checks["schema"] == "unreachable":
        checks = {"database": "down", "schema": "unknown"}
    if this_app().config["REDIS_URL"]:
        checks["redis"] = _redis()
    elif checks["database"] == "ok" and checks["schema"] == "ok" and instances.count() > 1:
        checks["instances"] = "several without REDIS_URL"
    return checks


def _schema() -> str:
    release()
    try:
        with this_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            made = inspect(connection).has_table(_PRESENT.name)
            revision = connection.scalar(select(_PRESENT)) if made else None
    except SQLAlchemyError:
        return "unreachable"
    if revision == HEAD:
        return "ok"
    return "down" if revision is None or revision in REVISIONS else "ahead"


def _redis() -> str:
    try:
        client: Any = connect(this_app().config["REDIS_URL"])
        client.ping()
    except away():
        return "away"
    return "ok"
