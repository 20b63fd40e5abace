"""Running statements: by the connection that a request reads through, or inside of its transaction."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from blinker import Signal
from flask import Flask, g
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
        prepare(db.engine)
        app.extensions["prepares"] = statements_last(db.engine.url)
    app.teardown_appcontext(lambda _: release())


def read_apart(engine: Engine) -> None:
    """Lets this context read through another engine."""
    g.engine = engine


def execute(statement: Executable, parameters: Any = None) -> Rows:
    """Runs a statement on tables and columns: in the open transaction if there is one, else in autocommit.

    What is always the same is passed with `parameters` for its `bindparam`s; it is then compiled and guarded once, and
    on PostgreSQL prepared. Never pass them with a statement that is made for one request: it would be kept for ever.
    """
    here, kept = _here(), parameters is not None
    if "over" in here:
        raise RuntimeError(OVER)
    if isinstance(parameters, list) and len(parameters) == 1:
        [parameters] = parameters
    if "guess" in here:
        if isinstance(statement, Select) or (kept and _tells(statement)):
            known = here.guess
            statement = guess.guarded(statement, kept)
            parameters = (parameters or {}) | known.parameters
        elif "held" in here:
            make_sure()
    run = _run_prepared if kept and prepares() else _run
    return run(statement, parameters, kept, here.held if "held" in here else reader())


def _here() -> Any:
    """What `g` stands for in this context: the proxy finds it anew for each attribute."""
    return g._get_current_object()


def _tells(statement: Executable) -> bool:
    """Whether it is a change that gives something of its rows: it can then say what rights it was made by, too."""
    told = isinstance(statement, UpdateBase) and bool(statement._returning)
    return told and in_transaction() and db.engine.dialect.name == "postgresql"


def make_sure() -> None:
    """Asks for the rights of now, before anything is written. Raises `Misjudged`."""
    known: guess.Guess = g.pop("guess")
    said = execute(known.ask, known.parameters).scalar()
    g.guess = known
    guess.confirm(said)


def make_sure_again() -> None:
    """At the end of a transaction: a statement that waited for a lock told the rights of before. Raises `Misjudged`."""
    if time.monotonic() - g.held_since > guess.FRESH_SECONDS:
        guess.once_more()
    if "guess" in g:
        make_sure()


def _run(statement: Executable, parameters: Any, kept: bool, connection: PoolProxiedConnection) -> Rows:
    dialect = db.engine.dialect
    if not kept:
        plan, text, values = planned(statement, parameters, dialect, db.engine._compiled_cache)
        return _answer(plan, text, values, text, connection)
    found, given = fixed(statement, parameters, dialect)
    text, values = found.run(given)
    return _answer(found, text, values, text, connection)


def _run_prepared(statement: Executable, parameters: Any, _: bool, connection: PoolProxiedConnection) -> Rows:
    plan, given = fixed(statement, parameters, db.engine.dialect)
    text, values = plan.run(given)
    alone = not in_transaction() and "first" not in g
    try:
        return _answer(plan, text, values, by_name(plan, text, connection), connection)
    except DBAPIError as error:
        if not is_unprepared(error.orig) or not alone:
            raise
    return _run(statement, parameters, True, reader())


def _answer(plan: Plan, text: str, values: Any, sent: str, connection: PoolProxiedConnection) -> Rows:
    """What the database says to `sent`, which stands for `text`."""
    if asked.receivers:
        asked.send(db.engine, statement=text, parameters=values)
    cursor: Any = connection.cursor()
    try:
        cursor.execute(g.pop("first", "") + sent, values)
        found = cursor.fetchall() if cursor.description else []
    except BaseException as error:
        _give_up(connection, error)
        raise
    keep_names(connection)
    changed = cursor.rowcount
    cursor.close()
    if answered.receivers:
        answered.send(db.engine, statement=text, changed=changed)
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
    else:
        forget_names(connection, error)
    if g.get("reader") is connection:
        release()
    raise wrapped(error, lost=lost) from error


def _lent(engine: Engine) -> PoolProxiedConnection:
    try:
        return engine.raw_connection()
    except engine.dialect.loaded_dbapi.Error as error:
        raise wrapped(error, lost=True) from error


def reader() -> PoolProxiedConnection:
    """The connection that this request reads through, in autocommit; returned to the pool at the request's end."""
    here = _here()
    if "reader" not in here:
        here.reader = _lent(here.get("engine") or db.engine)
    found: PoolProxiedConnection = here.reader
    return found


def release() -> None:
    """Gives the reading connection back."""
    if (connection := g.pop("reader", None)) is not None:
        connection.close()


def ahead(statement: Executable, parameters: Any) -> None:
    """Runs a statement of which nobody needs to hear, just before the next one: in one trip, as one. On PostgreSQL."""
    sent = _written_out(statement, parameters, g.held if in_transaction() else reader()).decode()
    g.first = f"{g.get('first', '')}{sent.replace('%', '%%')}; "


# -- a transaction, for transactions.py alone ----------------------------------------------------------------------


def in_transaction() -> bool:
    return "held" in g


def begin() -> None:
    """From here on `execute` runs inside of a transaction, by a connection of its own."""
    engine = db.engine
    connection = _lent(engine)
    if engine.dialect.name == "postgresql":
        g.first = BEGIN_WITH  # goes along with the first statement
    else:
        try:
            BEGIN[kind(engine)](connection.dbapi_connection)
        except BaseException as error:
            _give_up(connection, error)
            raise
    g.held, g.held_since = connection, time.monotonic()
    guess.once_more()


def execute_alone(statement: Executable, parameters: Any, before: Executable) -> tuple[Rows, bool]:
    """Runs the one statement of a transaction, and another one `before` it: in one trip, if the database takes it so.

    Gives what it found, and whether it is committed. What does not get a lock within the `lock_timeout` that was set by
    the one before, waits for it without that.
    """
    here = _here()
    if here.get("first") != BEGIN_WITH:
        return execute(statement, parameters), False
    here.first = ""
    ahead(before, {})
    try:
        found = execute(statement, parameters)
    except DBAPIError as error:
        if not is_unprepared(error.orig) and getattr(error.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
            raise
        here.first = BEGIN_WITH
        return execute(statement, parameters), False
    here.first = BEGIN_WITH  # of what may follow where nothing was done
    return found, True


def nothing_more() -> None:
    """The transaction has been committed, by its one statement."""
    del g.first
    g.over = True


def commit(owed: Sequence[tuple[Executable, Any]]) -> None:
    """Runs what is owed and commits, all in one trip where the database takes it so."""
    if g.pop("over", False):
        if owed:
            raise RuntimeError(OVER)
    elif db.engine.dialect.name == "postgresql":
        make_sure_again()
        _commit_at_once(owed, g.held)
    else:
        for statement, parameters in owed:
            execute(statement, parameters)
        make_sure_again()  # the foreign keys of what is owed may have waited, too
        try:
            g.held.commit()
        except BaseException as error:
            _give_up(g.held, error)
            raise
    g.pop("held").close()


def _commit_at_once(owed: Sequence[tuple[Executable, Any]], connection: PoolProxiedConnection) -> None:
    cursor = connection.cursor()
    parts = [_written_out(statement, parameters, connection) for statement, parameters in owed]
    if (first := g.pop("first", "")) and not parts:
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
    engine = db.engine
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
    connection, first = g.pop("held"), g.pop("first", None)
    g.pop("over", None)
    try:
        if connection.is_valid and first is None:
            ROLL_BACK[kind(db.engine)](connection.dbapi_connection)
    except db.engine.dialect.loaded_dbapi.Error:
        connection.invalidate()
    connection.close()
