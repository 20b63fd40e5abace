"""Running statements: by the connection that a request reads through, or inside of its transaction."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from blinker import Signal
from flask import Flask
from sqlalchemy import Engine, Executable, Select, UpdateBase
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from . import guess
from .concurrency import patient_postgres
from .connections import BEGIN, ROLL_BACK, kind, prepare, wrapped
from .extensions import db
from .hosts import statements_last
from .preparing import by_name, forget_names, is_unprepared, keep_names, prepares
from .running import Plan, Rows, fixed, planned
from .scope import here, this_engine

log = logging.getLogger(__name__)
BEGIN_WITH = "BEGIN; "
OVER = "The transaction was one statement, and is committed."
LOCK_NOT_AVAILABLE = "55P03"  # within the lock_timeout
# Sent for each statement, before it runs and after it.
asked, answered = Signal(), Signal()
# One writer at a time on SQLite: waiting for its file lock happens in C and would stall every greenlet.
sqlite_writer = threading.Lock()


def init_app(app: Flask) -> None:
    if app.config["APP_ENV"] == "production" and app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        log.warning("SQLite in production: hosts lose the file at every deploy; set DATABASE_URL to a database server")
    patient_postgres()
    with app.app_context():
        engine = app.extensions["engine"] = db.engine
    prepare(engine)
    app.extensions["prepares"] = statements_last(engine.url)
    app.teardown_appcontext(lambda _: release())


def read_apart(engine: Engine) -> None:
    """Lets this context read through another engine."""
    here().engine = engine


def execute(statement: Executable, parameters: Any = None) -> Rows:
    """Runs a statement on tables and columns: in the open transaction if there is one, else in autocommit.

    What is always the same is passed with `parameters` for its `bindparam`s; it is then compiled and guarded once, and
    on PostgreSQL prepared. Never pass them with a statement that is made for one request: it would be kept for ever.
    """
    mine, kept = here(), parameters is not None
    if "over" in mine:
        raise RuntimeError(OVER)
    if isinstance(parameters, list) and len(parameters) == 1:
        [parameters] = parameters
    if "guess" in mine:
        if isinstance(statement, Select) or (kept and _tells(statement)):
            known = mine.guess
            statement = guess.guarded(statement, kept)
            parameters = (parameters or {}) | known.parameters
        elif "held" in mine:
            make_sure()
    run = _run_prepared if kept and prepares() else _run
    return run(statement, parameters, kept, mine.held if "held" in mine else reader())


def _tells(statement: Executable) -> bool:
    """Whether it is a change that gives something of its rows: it can then say what rights it was made by, too."""
    told = isinstance(statement, UpdateBase) and bool(statement._returning)
    return told and in_transaction() and this_engine().dialect.name == "postgresql"


def make_sure() -> None:
    """Asks for the rights of now, before anything is written. Raises `Misjudged`."""
    mine = here()
    known: guess.Guess = mine.pop("guess")
    said = execute(known.ask, known.parameters).scalar()
    mine.guess = known
    guess.confirm(said)


def make_sure_again() -> None:
    """At the end of a transaction: a statement that waited for a lock told the rights of before. Raises `Misjudged`."""
    if time.monotonic() - here().held_since > guess.FRESH_SECONDS:
        guess.once_more()
    if "guess" in here():
        make_sure()


def _run(statement: Executable, parameters: Any, kept: bool, connection: PoolProxiedConnection) -> Rows:
    engine = this_engine()
    if not kept:
        plan, text, values = planned(statement, parameters, engine.dialect, engine._compiled_cache)
        return _answer(plan, text, values, text, connection)
    found, given = fixed(statement, parameters, engine.dialect)
    text, values = found.run(given)
    return _answer(found, text, values, text, connection)


def _run_prepared(statement: Executable, parameters: Any, _: bool, connection: PoolProxiedConnection) -> Rows:
    plan, given = fixed(statement, parameters, this_engine().dialect)
    text, values = plan.run(given)
    alone = not in_transaction() and "first" not in here()
    try:
        return _answer(plan, text, values, by_name(plan, text, connection), connection)
    except DBAPIError as error:
        if not is_unprepared(error.orig) or not alone:
            raise
    return _run(statement, parameters, True, reader())


def _answer(plan: Plan, text: str, values: Any, sent: str, connection: PoolProxiedConnection) -> Rows:
    """What the database says to `sent`, which stands for `text`."""
    if asked.receivers:
        asked.send(this_engine(), statement=text, parameters=values)
    cursor: Any = connection.cursor()
    try:
        cursor.execute(here().pop("first", "") + sent, values)
        found = cursor.fetchall() if cursor.description else []
    except BaseException as error:
        _give_up(connection, error)
        raise
    keep_names(connection)
    changed = cursor.rowcount
    cursor.close()
    if answered.receivers:
        answered.send(this_engine(), statement=text, changed=changed)
    if plan.guarded and found:
        guess.confirm(found[0][-1])
    return Rows(plan.shaped(found), changed)


def _give_up(connection: PoolProxiedConnection, error: BaseException) -> None:
    """Raises the driver's errors as SQLAlchemy's. A connection that may be broken is not used again."""
    engine = this_engine()
    if not isinstance(error, engine.dialect.loaded_dbapi.Error):
        connection.invalidate()  # cut off in the middle of an answer
        return
    lost = engine.dialect.is_disconnect(error, connection, None)
    if lost:
        connection.invalidate()
    else:
        forget_names(connection, error)
    if here().get("reader") is connection:
        release()
    raise wrapped(error, lost=lost) from error


def _lent(engine: Engine) -> PoolProxiedConnection:
    try:
        return engine.raw_connection()
    except engine.dialect.loaded_dbapi.Error as error:
        raise wrapped(error, lost=True) from error


def reader() -> PoolProxiedConnection:
    """The connection that this request reads through, in autocommit; returned to the pool at the request's end."""
    mine = here()
    if "reader" not in mine:
        mine.reader = _lent(mine.get("engine") or this_engine())
    found: PoolProxiedConnection = mine.reader
    return found


def release() -> None:
    """Gives the reading connection back."""
    if (connection := here().pop("reader", None)) is not None:
        connection.close()


def ahead(statement: Executable, parameters: Any) -> None:
    """Runs a statement of which nobody needs to hear, just before the next one: in one trip, as one. On PostgreSQL."""
    mine = here()
    sent = _written_out(statement, parameters, mine.held if "held" in mine else reader()).decode()
    mine.first = f"{mine.get('first', '')}{sent.replace('%', '%%')}; "


# -- a transaction, for transactions.py alone ----------------------------------------------------------------------


def in_transaction() -> bool:
    return "held" in here()


def begin() -> None:
    """From here on `execute` runs inside of a transaction, by a connection of its own."""
    engine = this_engine()
    connection, mine = _lent(engine), here()
    if engine.dialect.name == "postgresql":
        mine.first = BEGIN_WITH  # goes along with the first statement
    else:
        try:
            BEGIN[kind(engine)](connection.dbapi_connection)
        except BaseException as error:
            _give_up(connection, error)
            raise
    mine.held, mine.held_since = connection, time.monotonic()
    guess.once_more()


def execute_alone(statement: Executable, parameters: Any, before: Executable) -> tuple[Rows, bool]:
    """Runs the one statement of a transaction, and another one `before` it: in one trip, if the database takes it so.

    Gives what it found, and whether it is committed. What does not get a lock within the `lock_timeout` that was set by
    the one before, waits for it without that.
    """
    mine = here()
    if mine.get("first") != BEGIN_WITH:
        return execute(statement, parameters), False
    mine.first = ""
    ahead(before, {})
    try:
        found = execute(statement, parameters)
    except DBAPIError as error:
        if not is_unprepared(error.orig) and getattr(error.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
            raise
        mine.first = BEGIN_WITH
        return execute(statement, parameters), False
    mine.first = BEGIN_WITH  # of what may follow where nothing was done
    return found, True


def nothing_more() -> None:
    """The transaction has been committed, by its one statement."""
    mine = here()
    del mine.first
    mine.over = True


def commit(owed: Sequence[tuple[Executable, Any]]) -> None:
    """Runs what is owed and commits, all in one trip where the database takes it so."""
    mine = here()
    if mine.pop("over", False):
        if owed:
            raise RuntimeError(OVER)
    elif this_engine().dialect.name == "postgresql":
        make_sure_again()
        _commit_at_once(owed, mine.held)
    else:
        for statement, parameters in owed:
            execute(statement, parameters)
        make_sure_again()  # the foreign keys of what is owed may have waited, too
        try:
            mine.held.commit()
        except BaseException as error:
            _give_up(mine.held, error)
            raise
    mine.pop("held").close()


def _commit_at_once(owed: Sequence[tuple[Executable, Any]], connection: PoolProxiedConnection) -> None:
    cursor = connection.cursor()
    parts = [_written_out(statement, parameters, connection) for statement, parameters in owed]
    if (first := here().pop("first", "")) and not parts:
        return  # nothing was begun
    try:
        cursor.execute(first.encode() + b"; ".join([*parts, b"COMMIT"]))
        keep_names(connection)
        done = cursor.statusmessage
    except BaseException as error:
        _give_up(connection, error)
        raise
    if done != "COMMIT":
        raise RuntimeError("A statement failed and nobody said so: the transaction was rolled back.")


def _written_out(statement: Executable, parameters: Any, connection: PoolProxiedConnection) -> bytes:
    """A statement as PostgreSQL takes it among others, and says nothing of it."""
    engine = this_engine()
    plan, given = fixed(statement, parameters, engine.dialect)
    text, values = plan.run(given)
    if asked.receivers:
        asked.send(engine, statement=text, parameters=values)
    sent = by_name(plan, text, connection) if prepares() else text
    try:
        written: bytes = connection.cursor().mogrify(sent, values)
    except BaseException as error:
        _give_up(connection, error)
        raise
    return written


def roll_back() -> None:
    """Whatever the state that the connection is in: what can't be rolled back is thrown away."""
    mine, engine = here(), this_engine()
    connection, first = mine.pop("held"), mine.pop("first", None)
    mine.pop("over", None)
    try:
        if connection.is_valid and first is None:
            ROLL_BACK[kind(engine)](connection.dbapi_connection)
    except engine.dialect.loaded_dbapi.Error:
        connection.invalidate()
    connection.close()
