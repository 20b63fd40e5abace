"""Connections: how each database is spoken to, and the one that a request reads through."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from blinker import Signal
from flask import Flask, current_app, g
from psycopg2 import STRING
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, new_type, register_type
from pymysql.constants import SERVER_STATUS
from sqlalchemy import Connection, Engine, Executable, create_engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState

from . import guess
from .concurrency import patient_postgres
from .extensions import db
from .reading import Rows, is_plain, planned

log = logging.getLogger(__name__)
IDLE_SECONDS = 1.0
# Sent for each statement that SQLAlchemy does not run itself, and so tells nobody of.
asked = Signal()
UUID_OID = 2950
UUID_AS_TEXT = new_type((UUID_OID,), "UUID_AS_TEXT", STRING)
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
    name = "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name
    begin, rest = BEGIN[name], REST[name]

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for statement in SESSION_SETTINGS[name]:
            cursor.execute(statement)
        cursor.close()
        connection.commit()
        if name == "postgresql":
            # As text: that is what ids are here, and making objects of them costs more than reading the page.
            register_type(UUID_AS_TEXT, connection)

    @event.listens_for(engine, "begin")
    def begin_(connection: Connection) -> None:
        # Connections rest in autocommit, so that reading costs no BEGIN and no ROLLBACK.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            begin(connection)

    @event.listens_for(engine, "reset")
    def rest_(connection: Any, _: ConnectionPoolEntry, state: PoolResetState) -> None:
        if not state.terminate_only:
            rest(connection)

    @event.listens_for(engine, "checkout")
    def ready(connection: Any, *_: Any) -> None:
        # SQLAlchemy puts its own default back after a use with another isolation level.
        READY[name](connection)

    if name != "sqlite":
        event.listen(engine, "checkin", _remember)
        event.listen(engine, "checkout", partial(_ping, engine))


def engine_apart() -> Engine:
    """A few connections beside the pool, for what may not wait until the requests let go of theirs."""
    options = current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]
    few = {"pool_size": 2} if "pool_size" in options else {}
    made = create_engine(db.engine.url, **options | few)
    prepare(made)
    return made


def read_apart(engine: Engine) -> None:
    """Lets this context read through another engine."""
    g.engine = engine


def _remember(_: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _ping(engine: Engine, connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
    """A ping on every checkout costs a round trip a request; a connection that was just used needs none."""
    if time.monotonic() - entry.info.get("used", time.monotonic()) > IDLE_SECONDS:
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # The whole pool is from before the restart; it connects anew and asks again.
            raise InvalidatePoolError from error


# -- how each database begins a transaction, and rests without one -------------------------------------------------


def _begin_on_postgresql(connection: Connection) -> None:
    driver: Any = connection.connection.dbapi_connection
    driver.autocommit = False  # its own BEGIN then goes before the first statement


def _rest_on_postgresql(connection: Any) -> None:
    if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        connection.rollback()


def _ready_on_postgresql(connection: Any) -> None:
    if not connection.autocommit:
        connection.autocommit = True


def _rest_on_mysql(connection: Any) -> None:
    if connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
        connection.rollback()


def _ready_on_mysql(connection: Any) -> None:
    if not connection.get_autocommit():
        connection.autocommit(True)


def _ready_on_sqlite(connection: Any) -> None:
    if connection.isolation_level is not None:
        connection.isolation_level = None


def _rest_on_sqlite(connection: Any) -> None:
    if connection.in_transaction:
        connection.rollback()


BEGIN: dict[str, Callable[[Connection], Any]] = {
    "postgresql": _begin_on_postgresql,
    "mysql": lambda connection: connection.exec_driver_sql("BEGIN"),
    # A deferred transaction that turns to writing fails at once when another one wrote meanwhile.
    "sqlite": lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"),
}
READY: dict[str, Callable[[Any], None]] = {
    "postgresql": _ready_on_postgresql,
    "mysql": _ready_on_mysql,
    "sqlite": _ready_on_sqlite,
}
REST: dict[str, Callable[[Any], None]] = {
    "postgresql": _rest_on_postgresql,
    "mysql": _rest_on_mysql,
    "sqlite": _rest_on_sqlite,
}


def execute(statement: Executable, parameters: Any = None) -> Any:
    """Runs a statement: in the open transaction if there is one, else in autocommit (no BEGIN, no ROLLBACK).

    What is always the same is passed with `parameters` for its `bindparam`s, and is then compiled and guarded once.
    """
    if in_transaction():
        if not is_plain(statement):
            return db.session.execute(statement, parameters)
        held = db.session.connection()
        try:
            return Rows(_run(statement, parameters, held.connection))
        except DBAPIError as error:
            if error.connection_invalidated:
                held.invalidate(error)
            raise
    if guess.can_guard(statement):
        known = g.guess
        statement = guess.guarded(statement, fixed=parameters is not None)
        parameters = (parameters or {}) | known.parameters
    connection = reader()
    try:
        return Rows(_run(statement, parameters, connection))
    except BaseException as error:
        if not isinstance(error, guess.Misjudged):
            _give_up(connection, error)
        raise


def _run(statement: Executable, parameters: Any, connection: PoolProxiedConnection) -> list[Any]:
    engine = db.engine
    plan, text, bound = planned(statement, parameters, engine.dialect, engine._compiled_cache)
    if asked.receivers:
        asked.send(engine, statement=text, parameters=bound)
    cursor: Any = connection.cursor()
    try:
        cursor.execute(text, bound)
        found = cursor.fetchall()
    except engine.dialect.loaded_dbapi.Error as error:
        raise _wrapped(error, lost=engine.dialect.is_disconnect(error, connection, cursor)) from error
    cursor.close()
    if plan.guarded and found:
        guess.confirm(found[0][-1])
    return plan.shaped(found)


def _give_up(connection: PoolProxiedConnection, error: BaseException) -> None:
    """After a failure no connection is kept that may be broken, or stands in the middle of an answer."""
    g.pop("reader", None)
    if isinstance(error, DBAPIError) and not error.connection_invalidated:
        connection.close()
    else:
        connection.invalidate()


def _wrapped(error: Exception, *, lost: bool) -> BaseException:
    kind, dialect = db.engine.dialect.loaded_dbapi.Error, db.engine.dialect
    options: Any = {"connection_invalidated": lost, "dialect": dialect, "hide_parameters": True}
    made: BaseException = DBAPIError.instance("", None, error, kind, **options)
    return made


def in_transaction() -> bool:
    return "transaction" in g


def reader() -> PoolProxiedConnection:
    """The connection that this request reads through, in autocommit; returned to the pool at the request's end."""
    if "reader" not in g:
        try:
            g.reader = g.get("engine", db.engine).raw_connection()
        except db.engine.dialect.loaded_dbapi.Error as error:
            raise _wrapped(error, lost=True) from error
    found: PoolProxiedConnection = g.reader
    return found


def release() -> None:
    """Gives the reading connection back: a request never holds two."""
    if (connection := g.pop("reader", None)) is not None:
        connection.close()
