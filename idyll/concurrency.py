"""The one module that names eventlet: real threads and background work, with plain fallbacks where nothing is patched.

The command line and the tests run unpatched; there everything runs where it stands.
"""

import logging
import threading
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import Flask
from psycopg2 import OperationalError, extensions

from .errors import Unavailable

with warnings.catch_warnings():
    # It asks new projects to choose another library; why this one stays is in docs/adr/001-eventlet.md.
    warnings.simplefilter("ignore")
    import eventlet
    import eventlet.patcher
    import eventlet.tpool
    from eventlet.hubs import trampoline

log = logging.getLogger(__name__)
T = TypeVar("T")

SILENCE = 12  # seconds; above the statement_timeout of idyll/database.py
PARALLEL_HASHES = 2  # 32 MiB each
WAITING_HASHES = 50

_running = threading.BoundedSemaphore(PARALLEL_HASHES)
_waiting = 0


def patched() -> bool:
    return bool(eventlet.patcher.is_monkey_patched("socket"))


@contextmanager
def _a_place() -> Any:
    global _waiting  # noqa: PLW0603 - one queue a process
    if _waiting >= WAITING_HASHES:
        raise Unavailable("Too many log-ins at once; try again.")
    _waiting += 1
    try:
        with _running:
            yield
    finally:
        _waiting -= 1


def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Runs a slow computation in a real thread: it would stall every greenlet of this process."""
    with _a_place():
        if not patched():
            return work(*args)
        result: T = eventlet.tpool.execute(work, *args)
        return result


def patient_postgres() -> None:
    """Gives up on a database that accepts and stays silent: psycopg2 looks at no time-out when it waits greenly.

    Where nothing is patched it waits in C, under its own `connect_timeout`.
    """
    if patched():
        extensions.set_wait_callback(_wait_for_postgres)


def _wait_for_postgres(connection: Any) -> None:
    while (state := connection.poll()) != extensions.POLL_OK:
        read, write = state == extensions.POLL_READ, state == extensions.POLL_WRITE
        try:
            trampoline(connection.fileno(), read=read, write=write, timeout=SILENCE, timeout_exc=TimeoutError)
        except TimeoutError:
            raise OperationalError("the database is silent") from None


def background(app: Flask, work: Callable[..., None], *args: Any) -> None:
    """Runs work after the answer, so that its time tells nothing; in place where nothing is patched."""

    def run() -> None:
        with app.app_context():
            try:
                work(*args)
            except Exception:
                log.exception("background work failed")

    if patched():
        eventlet.spawn_n(run)
    else:
        run()
