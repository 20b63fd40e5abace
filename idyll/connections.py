"""How each database is spoken to: the settings of a connection, how it begins a transaction, and how it rests."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from psycopg2 import STRING
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, new_type, register_type
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from .scope import this_app, this_engine

IDLE_SECONDS = 1.0
UUID_OID = 2950
MYSQL_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS, which PyMySQL names; only who speaks MySQL loads that
UUID_AS_TEXT = new_type((UUID_OID,), "UUID_AS_TEXT", STRING)

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


def prepare(engine: Engine) -> None:
    """Hangs the settings of its database on an engine."""
    name = kind(engine)
    rest = REST[name]

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
            BEGIN[name](connection.connection.dbapi_connection)

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
    options = this_app().config["SQLALCHEMY_ENGINE_OPTIONS"]
    few = {"pool_size": 2} if "pool_size" in options else {}
    made = create_engine(this_engine().url, **options | few)
    prepare(made)
    return made


def kind(engine: Engine) -> str:
    return "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name


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


def wrapped(error: Exception, *, lost: bool) -> BaseException:
    """An error of the driver, as SQLAlchemy's."""
    dialect = this_engine().dialect
    options: Any = {"connection_invalidated": lost, "dialect": dialect, "hide_parameters": True}
    made: BaseException = DBAPIError.instance("", None, error, dialect.loaded_dbapi.Error, **options)
    return made


# -- how each database begins a transaction, and rests without one -------------------------------------------------


def _begin_on_postgresql(connection: Any) -> None:
    connection.autocommit = False  # its own BEGIN then goes before the first statement


def _roll_back_on_postgresql(connection: Any) -> None:
    if connection.autocommit:  # the driver then knows of no transaction
        connection.cursor().execute("ROLLBACK")
    else:
        connection.rollback()


def _rest_on_postgresql(connection: Any) -> None:
    if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        _roll_back_on_postgresql(connection)


def _ready_on_postgresql(connection: Any) -> None:
    if not connection.autocommit:
        connection.autocommit = True


def _rest_on_mysql(connection: Any) -> None:
    if connection.server_status & MYSQL_IN_TRANSACTION:
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


BEGIN: dict[str, Callable[[Any], Any]] = {
    "postgresql": _begin_on_postgresql,
    "mysql": lambda connection: connection.cursor().execute("BEGIN"),
    # A deferred transaction that turns to writing fails at once when another one wrote meanwhile.
    "sqlite": lambda connection: connection.cursor().execute("BEGIN IMMEDIATE"),
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
ROLL_BACK: dict[str, Callable[[Any], None]] = {
    "postgresql": _roll_back_on_postgresql,
    "mysql": lambda connection: connection.rollback(),
    "sqlite": lambda connection: connection.rollback(),
}
