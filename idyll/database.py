"""Connections: how each database is spoken to, and the one that a request reads through."""

import logging
import threading
import time
from typing import Any

from flask import Flask, g
from sqlalchemy import Connection, Engine, Executable, Result, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from .concurrency import patient_postgres
from .extensions import db

log = logging.getLogger(__name__)
IDLE_SECONDS = 1.0
# One writer at a time on SQLite: waiting for its file lock happens in C and would stall every greenlet.
sqlite_writer = threading.Lock()

SESSION_SETTINGS = {
    # Shorter than the request's time-out: an abandoned query goes on in the server otherwise.
    "postgresql": (
        "SET statement_timeout = '10s'",
        "SET lock_timeout = '5s'",
        "SET idle_in_transaction_session_timeout = '15s'",
        "SET TIME ZONE 'UTC'",
    ),
    # Strict: what does not fit is refused, as elsewhere, and not cut.
    "mysql": (
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY'",
        "SET SESSION innodb_lock_wait_timeout = 5",
        "SET SESSION time_zone = '+00:00'",
    ),
    "sqlite": (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = NORMAL",
        "PRAGMA foreign_keys = ON",
        # Without it REPLACE slips past the triggers that freeze paid rows.
        "PRAGMA recursive_triggers = ON",
    ),
}


def init_app(app: Flask) -> None:
    if app.config["APP_ENV"] == "production" and app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        log.warning("SQLite in production: hosts lose the file at every deploy; set DATABASE_URL to a database server")
    patient_postgres()
    with app.app_context():
        prepare(db.engine)
    app.teardown_appcontext(lambda _: release())


def prepare(engine: Engine) -> None:
    """Hangs the settings of its database on an engine."""
    settings = SESSION_SETTINGS["mysql" if engine.dialect.name == "mariadb" else engine.dialect.name]

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for statement in settings:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    if engine.dialect.name == "sqlite":
        # A deferred transaction that turns to writing fails at once when another one wrote meanwhile.
        @event.listens_for(engine, "begin")
        def begin_immediate(connection: Connection) -> None:
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return

    @event.listens_for(engine, "checkin")
    def remember(_: Any, entry: ConnectionPoolEntry) -> None:
        entry.info["used"] = time.monotonic()

    # A ping on every checkout costs a round trip a request; a connection that was just used needs none.
    @event.listens_for(engine, "checkout")
    def ping(connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - entry.info.get("used", time.monotonic()) > IDLE_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # a bound engine has its driver
                # The whole pool is from before the restart; it connects anew and asks again.
                raise InvalidatePoolError from error


def execute(statement: Executable, parameters: Any = None) -> Result[Any]:
    """Runs a statement: in the open transaction if there is one, else without one (no BEGIN, no ROLLBACK)."""
    if in_transaction():
        return db.session.execute(statement, parameters)
    return reader().execute(statement, parameters)


def in_transaction() -> bool:
    return "transaction" in g


def reader() -> Connection:
    """The connection that this request reads through, in AUTOCOMMIT; returned to the pool at the request's end."""
    if "reader" not in g:
        connection = db.engine.connect()
        try:
            # A round trip on MySQL, outside of what SQLAlchemy guards: the driver's own error would come out.
            g.reader = connection.execution_options(isolation_level="AUTOCOMMIT")
        except connection.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # as above
            connection.invalidate(error)
            connection.close()
            raise DBAPIError("autocommit", None, error, connection_invalidated=True) from error
    found: Connection = g.reader
    return found


def release() -> None:
    """Gives the reading connection back: a request never holds two."""
    if (connection := g.pop("reader", None)) is not None:
        connection.close()
