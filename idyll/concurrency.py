"""The one module that names eventlet: real threads, background work and WebSockets.

The command line and the tests run unpatched; there everything runs where it stands.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR
from typing import Any, TypeVar

from flask import Flask
from psycopg2 import OperationalError, extensions

from .errors import Unavailable
from .pool import FirstCome

with warnings.catch_warnings():
    # It asks new projects to choose another library; why this one stays is in docs/adr/001-eventlet.md.
    warnings.simplefilter("ignore")
    import eventlet
    import eventlet.patcher
    import eventlet.tpool
    from eventlet.hubs import get_hub, trampoline
    from eventlet.websocket import ConnectionClosedError, FailedConnectionError, RFC6455WebSocket, WebSocketWSGI

log = logging.getLogger(__name__)
T = TypeVar("T")

SILENCE = 12  # seconds; above the statement_timeout of idyll/connections.py
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# 32 MiB each: two on one core take turns with its cache, and all of them longer for it.
PARALLEL_HASHES = min(CORES, 2)
WAITING_HASHES = 50

_places: FirstCome = FirstCome(PARALLEL_HASHES)
for number in range(PARALLEL_HASHES):
    _places.put(number)
_in_line = 0
# Hashes, and beside them names of hosts to look up (gunicorn.conf.py).
eventlet.tpool.set_num_threads(PARALLEL_HASHES + 2)


def patched() -> bool:
    return bool(eventlet.patcher.is_monkey_patched("socket"))


@contextmanager
def a_place() -> Iterator[None]:
    """One of the places for hashes, first come, first served. Raises `Unavailable` when too many wait for one.

    Nobody waits for it with a database connection in hand.
    """
    global _in_line  # noqa: PLW0603 - one line a process
    if _in_line >= WAITING_HASHES:
        raise Unavailable("Too many log-ins at once; try again.")
    _in_line += 1
    try:
        place = _places.get()
        try:
            yield
        finally:
            _places.put(place)
    finally:
        _in_line -= 1


def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Runs a slow computation in a real thread, by somebody who has `a_place`: it would stall every greenlet."""
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


def spawn(work: Callable[..., None], *args: Any) -> None:
    """Begins work that goes on beside everything else, where the worker is patched; elsewhere there is no beside."""
    if patched():
        eventlet.spawn_n(work, *args)


def later(seconds: float, work: Callable[..., None], *args: Any) -> Callable[[], None]:
    """Does work after a while, where the worker is patched; what it gives calls it off."""
    if not patched():
        return lambda: None
    # A timer and no sleeping greenlet: thousands wait at a time, most of them to be called off.
    cancel: Callable[[], None] = get_hub().schedule_call_global(seconds, eventlet.spawn_n, work, *args).cancel
    return cancel


def breathe() -> None:
    """Lets the others go on. A greenlet that always finds something to read would not."""
    if patched():
        eventlet.sleep(0)


def async_mode() -> str:
    """How python-socketio waits. Unpatched, nothing is served by it: sockets need the worker."""
    return "eventlet" if patched() else "threading"


# -- WebSockets ----------------------------------------------------------------------------------------------------

MAX_FRAGMENTS = 1000
NOT_UTF8, TOO_BIG = 1007, 1009  # RFC 6455, 7.4.1


class _Message(RFC6455WebSocket.Message):  # type: ignore[misc]  # because the library ships no types
    """A message that may come in fragments, which the library limits one by one and not together."""

    def push(self, data: bytes, final: bool = False) -> None:
        self.size = getattr(self, "size", 0) + len(data)
        if self.size > self.max_frame_length or len(self.data) >= MAX_FRAGMENTS:
            raise FailedConnectionError(TOO_BIG, "The message is too large.")
        super().push(data, final)

    def getvalue(self) -> str | bytes:
        try:
            value: str | bytes = super().getvalue()
        except UnicodeDecodeError:
            raise FailedConnectionError(NOT_UTF8, "The text is not UTF-8.") from None
        return value


class _WebSocket(RFC6455WebSocket):  # type: ignore[misc]  # because the library ships no types
    Message = _Message

    @staticmethod
    def _apply_mask(data: bytes, mask: tuple[int, ...], length: int | None = None, offset: int = 0) -> bytes:
        # The library goes byte by byte and would hold every greenlet up for 200 ms a MiB.
        size = len(data) if length is None else length
        turned = bytes(mask[(offset + i) % 4] for i in range(4))
        stretched = (turned * (size // 4 + 1))[:size]
        return (int.from_bytes(data, "little") ^ int.from_bytes(stretched, "little")).to_bytes(size, "little")

    def detached(self) -> "_WebSocket":
        """The same on a handle of its own, so that the request which brought it can end.

        What waits deep in a request holds its whole stack, its environ and its parser: half of an idle socket's memory.
        """
        self.websocket_closed = True  # this one says no goodbye
        wire = self.socket.dup()
        return type(self)(wire, {}, self.version, max_frame_length=self.max_frame_length)

    def write_now(self, frame: bytes) -> int:
        """Writes as much of a frame as can be written without waiting for anybody; gives how many bytes."""
        if self._sendlock.locked():
            return 0
        try:
            return int(self.socket.fd.send(frame))
        except OSError:  # it takes no more now, or it is gone, which whoever waits for it will see
            return 0

    def write(self, frames: bytes) -> None:
        """Writes whole frames, or their end, as fast as they are read."""
        self._send(frames)

    def _recv_frame(self, message: Any = None) -> Any:
        breathe()
        return super()._recv_frame(message)

    def close(self, close_data: Any = None) -> None:
        """Says goodbye, and wakes the greenlet that reads: it would wait for a silent client until its time-out."""
        # Not in the middle of a frame that a client is slow to read: nobody waits for it.
        if not self._sendlock.locked():
            with suppress(OSError):
                self._send_closing_frame(close_data=close_data, ignore_send_errors=True)
        self.abort()

    def abort(self) -> None:
        """Ends it without a word, and wakes whoever reads or writes."""
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)

    def end(self) -> None:
        """Says goodbye, unless it did, and gives the handle back. Nobody may read or write any more."""
        self.close()
        self.socket.close()

    def wait(self) -> str | bytes | None:
        """The next message; None at the end, however it came."""
        try:
            received: str | bytes | None = super().wait()
        except (ConnectionClosedError, ValueError, OSError):
            # Bytes that are no UTF-8, a broken frame, a client that went: it is closed already.
            return None
        return received


class _Handshake:
    """A socket that adds headers to the one answer sent through it: the library has no place for them."""

    def __init__(self, wire: Any, headers: bytes) -> None:
        self.wire, self.headers = wire, headers

    def sendall(self, data: bytes) -> None:
        self.wire.sendall(data.removesuffix(b"\r\n\r\n") + self.headers + b"\r\n\r\n")


class WebSocketServer(WebSocketWSGI):  # type: ignore[misc]  # because the library ships no types
    """The handshake: RFC 6455 alone, without compression.

    Each compressing socket keeps a window of 256 KiB, and a frame for all would have to be compressed for each.
    """

    def __init__(self, handler: Callable[..., None], server: Any) -> None:
        super().__init__(handler, max_frame_length=server.max_http_buffer_size)
        self.support_legacy_versions = False

    def _negotiate_permessage_deflate(self, extensions: Any) -> None:  # noqa: ARG002 - the library asks
        return None

    def _handle_hybi_request(self, environ: dict[str, Any]) -> _WebSocket:
        pairs = [("X-Request-Id", environ["idyll.request_id"]), *environ["flask.app"].extensions["stamps"]]
        wire = environ["gunicorn.socket"]
        stamped = {**environ, "gunicorn.socket": _Handshake(wire, "".join(f"\r\n{k}: {v}" for k, v in pairs).encode())}
        made = super()._handle_hybi_request(stamped)
        return _WebSocket(wire, environ, made.version, max_frame_length=self.max_frame_length)
