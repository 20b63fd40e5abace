"""Running statements: by the connection that a request reads through, or inside of its transaction."""

import logging
import threading
from typing import Any

from blinker import Signal
from flask import Flask, current_app, g
from sqlalchemy import Engine, Executable, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from . import guess
from .concurrency import patient_postgres
from .connections import BEGIN, kind, prepare
from .extensions import db
from .running import Rows, planned

log = logging.getLogger(__name__)
# Sent for each statement, before it runs and after it.
asked, answered = Signal(), Signal()
# One writer at a time on SQLite: waiting for its file lock happens in C and would stall every greenlet.
sqlite_writer = threading.Lock()


def init_app(app: Flask) -> None:
    if app.config["APP_ENV"] == "production" and app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        log.warning("SQLite in production: hosts lose the file at every deploy; set DATABASE_URL to a database server")
    patient_postgres()
    with app.app_context():
        prepare(db.engine)
    app.teardown_appcontext(lambda _: release())


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


def execute(statement: Executable, parameters: Any = None) -> Rows:
    """Runs a statement on tables and columns: in the open transaction if there is one, else in autocommit.

    What is always the same is passed with `parameters` for its `bindparam`s, and is then compiled and guarded once.
    """
    fixed = parameters is not None
    if in_transaction():
        return _run(statement, parameters, fixed, g.held)
    if guess.can_guard(statement):
        known = g.guess
        statement = guess.guarded(statement, fixed)
        parameters = (parameters or {}) | known.parameters
    return _run(statement, parameters, fixed, reader())


def _run(statement: Executable, parameters: Any, fixed: bool, connection: PoolProxiedConnection) -> Rows:
    engine = db.engine
    plan, text, bound = planned(statement, parameters, engine.dialect, engine._compiled_cache, fixed=fixed)
    if asked.receivers:
        asked.send(engine, statement=text, parameters=bound)
    cursor: Any = connection.cursor()
    try:
        cursor.execute(text, bound)
        found = cursor.fetchall() if cursor.description else []
    except BaseException as error:
        _give_up(connection, error)
        raise
    changed = cursor.rowcount
    cursor.close()
    if answered.receivers:
        answered.send(engine, statement=text, changed=changed)
    if plan.guarded and found:
        guess.confirm(found[0][-1])
    return Rows(plan.shaped(found), changed)


def _give_up(connection: PoolProxiedConnection, error: BaseException) -> None:
    """Raises the driver's errors as SQLAlchemy's. A connection that may be broken is not used again."""
    engine = db.engine
    if not isinstance(error, engine.dialect.loaded_dbapi.Error):
        connection.invalidate()  # cut off in the middle of an answer
        return
    lost = engine.dialect.is_disconnect(error, connection, None)
    if lost:
        connection.invalidate()
    if g.get("reader") is connection:
        release()
    raise _wrapped(error, lost=lost) from error


def _wrapped(error: Exception, *, lost: bool) -> BaseException:
    kind, dialect = db.engine.dialect.loaded_dbapi.Error, db.engine.dialect
    options: Any = {"connection_invalidated": lost, "dialect": dialect, "hide_parameters": True}
    made: BaseException = DBAPIError.instance("", None, error, kind, **options)
    return made


def _lent(engine: Engine) -> PoolProxiedConnection:
    try:
        return engine.raw_connection()
    except engine.dialect.loaded_dbapi.Error as error:
        raise _wrapped(error, lost=True) from error


def reader() -> PoolProxiedConnection:
    """The connection that this request reads through, in autocommit; returned to the pool at the request's end."""
    if "reader" not in g:
        g.reader = _lent(g.get("engine", db.engine))
    found: PoolProxiedConnection = g.reader
    return found


def release() -> None:
    """Gives the reading connection back."""
    if (connection := g.pop("reader", None)) is not None:
        connection.close()


# -- a transaction, for transactions.py alone ----------------------------------------------------------------------


def in_transaction() -> bool:
    return "held" in g


def begin() -> None:
    """From here on `execute` runs inside of a transaction, by a connection of its own."""
    connection = _lent(db.engine)
    try:
        BEGIN[kind(db.engine)](connection.dbapi_connection)
    except BaseException as error:
        _give_up(connection, error)
        raise
    g.held = connection


def commit() -> None:
    try:
        g.held.commit()
    except BaseException as error:
        _give_up(g.held, error)
        raise
    g.pop("held").close()


def roll_back() -> None:
    """Whatever the state that the connection is in: what can't be rolled back is thrown away."""
    connection = g.pop("held")
    try:
        if connection.is_valid:
            connection.rollback()
    except db.engine.dialect.loaded_dbapi.Error:
        connection.invalidate()
    connection.close()
