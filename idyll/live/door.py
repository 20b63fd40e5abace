"""The way in and out: both paths to Engine.IO, what stands on its answers, and the work beside the requests."""

import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.wrappers import Request

from ..concurrency import WebSocketServer, async_mode, spawn
from ..errors import Problem, TooManyRequests, Unavailable, answer
from ..extensions import socketio
from ..headers import PROBES, is_allowed
from ..limits import network
from ..scope import here
from ..steps import stop_when
from ..sweeping import sweep
from ..transactions import committed, committing
from . import instances
from .engine import FLUSH_SECONDS, install
from .follower import TICK_SECONDS, Follower
from .frames import MAX_BYTES, Json, Packet, quiet
from .hub import CONNECT_SECONDS, Hub, Session
from .sealer import Sealer
from .wire import asks_for_websocket

log = logging.getLogger(__name__)
PATHS = ("/socket.io", "/ws/chat")
METHODS = ("GET", "POST", "OPTIONS")
TRANSPORTS = ("polling", "websocket")
# Sessions of an address above its cap that get in as far as the refusal, which says why.
SLACK = 50
# What a session's events are told of the request that opened it.
KEPT = (
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"),
    *("REMOTE_ADDR", "HTTP_HOST", "HTTP_AUTHORIZATION", "HTTP_USER_AGENT", "wsgi.url_scheme"),
    *("flask.app", "idyll.request_id"),
)
HELLO_SECONDS = 5.0
SWEEP_SECONDS = 3600.0
StartResponse = Callable[..., Any]


def init_app(app: Flask) -> None:
    """Hangs Engine.IO into the application; nothing runs until the worker says so."""
    logger = quiet()
    inner = app.wsgi_app
    socketio.init_app(
        app,
        async_mode=async_mode(),
        # One event of a client after the other: its messages keep their order, and a flood waits in its own queue.
        async_handlers=False,
        manage_session=False,
        serializer=Packet,
        json=Json,
        cors_allowed_origins=lambda origin, _: is_allowed(app.config["CORS_ORIGINS"], origin),
        max_http_buffer_size=MAX_BYTES,
        http_compression=False,
        logger=logger,
        engineio_logger=logger,
    )
    door = Door(app, inner, socketio.server)
    app.wsgi_app = door  # type: ignore[method-assign]  # Flask's way
    app.extensions.update(hub=door.hub, on_worker_start=door.open, on_worker_stop=door.shut)


class Door:
    def __init__(self, app: Flask, inner: Any, server: Any) -> None:
        self.app = app
        self.inner = inner
        self.server = server
        self.hub = Hub(app, server)
        self.follower = Follower(app, self.hub)
        self.sealer = Sealer(app, self.follower)
        engine = server.eio
        if async_mode() == "eventlet":
            engine._async = {**engine._async, "websocket": WebSocketServer}
        install(engine, self.hub.malformed)
        engine.on("connect", self._opened)
        engine.on("message", self._received)
        engine.on("disconnect", self._closed)

    # -- requests -----------------------------------------------------------------------------------------------------

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in PROBES:
            self.hub.last_call = time.monotonic()
        if path.rstrip("/") not in PATHS:
            answered: Iterable[bytes] = self.inner(environ, start_response)
            return answered
        request = Request(environ)
        if (problem := self._refusal(request)) is not None:
            with self.app.request_context(environ):
                here().request_id = environ["idyll.request_id"]
                return answer(problem)(environ, start_response)
        # Flask-SocketIO's own middleware does so for its one path.
        environ["flask.app"] = self.app
        session = self.server.eio.sockets.get(request.args.get("sid", ""))
        if session is not None and session.upgraded and asks_for_websocket(environ):
            turned_away: Iterable[bytes] = session.turn_away(environ, start_response)
            return turned_away
        handled: Iterable[bytes] = self.server.handle_request(environ, start_response)
        return handled

    def _refusal(self, request: Request) -> Problem | None:
        """Why it is no call of Engine.IO, or why no new session may be opened; a client sees its connection fail."""
        query = request.args
        # The library would take a missing transport for polling, and still speaks JSONP, which goes round CORS.
        if request.method not in METHODS or query.get("transport") not in TRANSPORTS or "j" in query:
            return Problem("This is not a call of Socket.IO.")
        if query.get("sid"):  # an empty one is none to the library
            return None
        if self.hub.closing:
            return Unavailable("The server is restarting.")
        if len(self.hub.sessions) >= self.app.config["SOCKETS_TOTAL"]:
            return Unavailable("The server is full.")
        whence = network(request.remote_addr)
        theirs = sum(session.network == whence for session in self.hub.sessions.values())
        if theirs >= self.app.config["SOCKETS_PER_ADDRESS"] + SLACK:
            return TooManyRequests("This address has too many connections open.", retry_after=CONNECT_SECONDS)
        return None

    # -- Engine.IO sessions -------------------------------------------------------------------------------------------

    def _opened(self, engine: str, environ: dict[str, Any]) -> None:
        # The rest holds the request's buffers and its connection.
        kept = {name: environ[name] for name in KEPT if name in environ}
        self.server._handle_eio_connect(engine, kept)
        self.hub.sessions[engine] = Session(network(environ.get("REMOTE_ADDR")), time.monotonic())

    def _received(self, engine: str, data: Any) -> None:
        try:
            self.server._handle_eio_message(engine, data)
        except Exception:  # noqa: BLE001 - the parser fails in many ways
            # What the parser refuses, however it does: an event's own faults are caught before they come here.
            self.hub.malformed(engine)

    def _closed(self, engine: str, reason: str) -> None:
        try:
            self.server._handle_eio_disconnect(engine, reason)
        finally:
            self.hub.sessions.pop(engine, None)
            for connection in list(self.hub.connections.of_engine(engine)):
                self.hub.left(connection)

    # -- beside the requests ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Called in the worker once it serves."""
        committing.connect(self.follower.at_rest)
        committed.connect(self.follower.hear)
        spawn(self.follower.run)
        spawn(self.follower.watch)
        spawn(self._watch)
        spawn(self._beat)
        spawn(self._sweep)
        spawn(self.sealer.run)
        if self.hub.bus.shared.client is not None:
            spawn(self._greet)
            spawn(self.hub.bus.listen, self._hear, self._back)

    def shut(self) -> None:
        """Called when the worker is told to stop: clients learn it at once, and come back to another instance."""
        self.hub.closing = True
        for engine in list(self.server.eio.sockets):
            self.hub.close(engine)
        self.hub.bus.say("bye")
        self._leave()
        until = time.monotonic() + FLUSH_SECONDS
        while self.server.eio.serving and time.monotonic() < until:
            time.sleep(0.05)

    def _leave(self) -> None:
        try:
            with self.app.app_context():
                instances.leave(self.hub.id)
        except Exception as error:  # noqa: BLE001 - who goes goes, and its heartbeat ends by itself
            log.warning("this instance could not be signed off: %s", type(error).__name__)

    def _hear(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "wake":
            self.follower.wake()
        else:
            self.hub.hear(kind, message)

    def _back(self) -> None:
        """Redis is there, for the first time or again: whatever was missed is read, and everybody says who is here."""
        self.hub.bus.shared.away_until = 0.0
        self.follower.wake()
        self.hub.bus.say("hello")
        self.hub.introduce()

    def _watch(self) -> None:
        """Clocks: tokens that end, sessions that never log in, people who went, processes that fell silent."""
        while True:
            time.sleep(TICK_SECONDS)
            try:
                self._look_at_clocks()
            except Exception as error:  # noqa: BLE001 - the clocks go on
                log.warning("the clocks could not be looked at: %s", type(error).__name__)

    def _look_at_clocks(self) -> None:
        now, moment = time.time(), time.monotonic()
        for connection in self.hub.connections:
            if connection.expires_at <= now:
                self.hub.silence(connection)
        for engine, session in list(self.hub.sessions.items()):
            if session.alone_since is not None and session.alone_since + CONNECT_SECONDS <= moment:
                self.hub.close(engine)
        self.hub.leave_those_who_went()
        self.hub.presence.forget_the_silent()

    def _greet(self) -> None:
        """Says over Redis who is here and whose places are taken; a silent database does not hold it up."""
        while not self.hub.closing:
            try:
                self.hub.introduce()
                self.hub.caps.renew()
            except Exception as error:  # noqa: BLE001 - the next one comes soon
                log.warning("no greeting: %s", type(error).__name__)
            time.sleep(HELLO_SECONDS)

    def _count_in(self) -> None:
        instances.beat(self.hub.id)
        if self.hub.closing:  # meanwhile
            instances.leave(self.hub.id)

    def _beat(self) -> None:
        """The heartbeat; it pauses while nobody is there, so that a sleeping database stays asleep."""
        while not self.hub.closing:
            try:
                if self.follower.awake():
                    with self.app.app_context():
                        self._count_in()
            except Exception as error:  # noqa: BLE001 - the heart goes on
                log.warning("no heartbeat: %s", type(error).__name__)
            time.sleep(HELLO_SECONDS)

    def _sweep(self) -> None:
        """The sweep, which pauses like the heartbeat and beside it: of a large backlog it takes many minutes."""
        swept_at = time.monotonic() - SWEEP_SECONDS * random.random()  # noqa: S311 - spreads the instances, hides nothing
        while not self.hub.closing:
            if self.follower.awake() and time.monotonic() >= swept_at + SWEEP_SECONDS:
                swept_at = time.monotonic()
                try:
                    with self.app.app_context():
                        stop_when(lambda: self.hub.closing)
                        sweep()
                except Exception as error:  # noqa: BLE001 - the next hour comes
                    log.warning("the sweep failed: %s", type(error).__name__)
            time.sleep(HELLO_SECONDS)
