"""How gunicorn serves the application: one eventlet worker, hardened, and problem+json throughout.

It reads PORT, WEB_CONCURRENCY and LOG_LEVEL from the environment itself, the one exception to
"only config.py does": gunicorn needs them before, and apart from, the application.
It never imports `idyll`: what is imported here is imported in the master too, before the fork.
"""

import gc
import json
import os
import re
import socket
import uuid
import warnings
from contextlib import contextmanager, suppress
from errno import EPIPE
from functools import lru_cache
from http import HTTPStatus
from importlib.util import find_spec
from time import monotonic, time

# Eventlet's own resolver is a library that is loaded twice, 17 MiB of master and of worker; see `look_up`.
os.environ["EVENTLET_NO_GREENDNS"] = "yes"

with warnings.catch_warnings():
    # Known and decided on: requirements.in pins the last gunicorn that has this worker.
    warnings.simplefilter("ignore")
    import eventlet.green.socket
    import eventlet.patcher
    import eventlet.tpool

    def look_up(*args, of_system=socket.getaddrinfo, **kwargs):
        """The system's answer for a name, asked for in a real thread: it may take seconds."""
        return eventlet.tpool.execute(of_system, *args, **kwargs)

    eventlet.green.socket.getaddrinfo = look_up
    # psycopg2 is 5 MiB that the master has no use for. The application tells it how to wait; see `post_worker_init`.
    eventlet.patcher.already_patched["psycopg"] = True
    # First of all imports that matter: it monkey-patches on import.
    from gunicorn.workers.geventlet import EventletWorker

import _queue

import greenlet
from gunicorn import glogging
from gunicorn.http import errors, message, wsgi
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.parser import RequestParser
from gunicorn.util import http_date

# Whoever is slower holds one of the worker's places for nothing.
HEAD_SECONDS = 20  # to send a whole head, from its first byte on
BODY_SECONDS = 30  # to send a whole body
READ_SECONDS = 30  # to take some of an answer
DRAIN_BYTES = 4 * 1024 * 1024  # read and thrown away so that a refused client sees its answer
DRAIN_SECONDS = 2
GOODBYE_SECONDS = 6  # for the last words of the application, and its clients to read them

# --- what may not pass ----------------------------------------------------------------------

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
TARGET = re.compile(r"/[^\x00-\x20\x7f#]*")
LONGEST_LINE = 1024
END = b"\r\n"
ONCE = ("HOST", "CONTENT-TYPE", "TRANSFER-ENCODING")


class StrictRequest(message.Request):
    """Refuses what a proxy in front may read differently: the ground of request smuggling.

    gunicorn 25 lets all of this through; 26, which does not, has no eventlet worker.
    """

    deadline = None

    def read_into(self, unreader, buf, stop=False):
        # More is wanted, so no CRLF ends what is there: a bare LF would be waited on in vain.
        if buf.count(b"\n") != buf.count(b"\r\n"):
            raise errors.InvalidRequestLine("bare LF")
        if self.deadline is None:
            super().read_into(unreader, buf, stop)
            self.deadline = monotonic() + HEAD_SECONDS
            return
        # gunicorn's word for "close": there is no request to answer.
        with eventlet.Timeout(max(self.deadline - monotonic(), 0.001), StopIteration()):
            super().read_into(unreader, buf, stop)

    def set_body_reader(self):
        if not TARGET.fullmatch(self.uri):
            raise errors.InvalidRequestLine("target")
        seen = {}
        for name, value in self.headers:
            if CONTROL.search(value) or (name in seen and name in ONCE):
                raise errors.InvalidHeader(name, req=self)
            seen[name] = value
        # HTTP/1.0 may do without a Host, but not with a bad one.
        host = seen.get("HOST", "-" if self.version < (1, 1) else "")
        if not HOST.fullmatch(host):
            raise errors.InvalidHeader("HOST", req=self)
        coding = seen.get("TRANSFER-ENCODING")
        if coding is not None and (coding.lower() != "chunked" or "CONTENT-LENGTH" in seen):
            raise errors.InvalidHeader("TRANSFER-ENCODING", req=self)
        super().set_body_reader()
        if isinstance(self.body.reader, ChunkedReader):
            self.body.reader = StrictChunks(self, self.unreader)


class StrictChunks(ChunkedReader):
    """Chunks with short size lines, an end, and nothing after it.

    gunicorn buffers size lines and trailers of any length, and takes a body without an end for a whole one.
    """

    def get_data(self, unreader, buf):
        if buf.tell() > LONGEST_LINE:
            raise errors.InvalidChunkSize(b"too long")
        super().get_data(unreader, buf)

    def parse_trailers(self, unreader, data):
        """Nobody wants trailers, and a proxy may take them for headers."""
        rest = bytearray(data)
        while len(rest) < len(END):
            more = unreader.read()
            if not more:
                raise errors.ChunkMissingTerminator(bytes(rest))
            rest += more
        if not rest.startswith(END):
            raise errors.InvalidHeader("trailer", req=self.req)
        unreader.unread(bytes(rest[len(END) :]))


RequestParser.mesg_class = StrictRequest  # gunicorn has no setting for it


class GuardedReader:
    """A body that is malformed or too slow ends the connection, and is an OSError to the reader.

    Werkzeug answers an OSError with 400; gunicorn's own exceptions would be a 500, and the rest
    of the broken body would be read as the next request.
    """

    def __init__(self, req):
        self.req = req
        self.reader = req.body.reader
        self.deadline = None
        self.failed = False

    def read(self, size):
        if self.failed:
            return b""
        if self.at_hand(size):
            return self.reader.read(size)
        self.deadline = self.deadline or monotonic() + BODY_SECONDS
        slow = OSError("the body came too slowly")
        try:
            with eventlet.Timeout(max(self.deadline - monotonic(), 0.001), slow):
                wanted = min(getattr(self.reader, "length", 0), size)
                data = self.reader.read(size)
                if len(data) < wanted:
                    raise OSError("the body was cut short")
                return data
        except (OSError, errors.ParseException) as error:
            self.failed = True
            self.req.force_close()
            # EPIPE: should nobody catch it, gunicorn closes the connection without a traceback.
            raise OSError(EPIPE, "the body is malformed, cut short or too slow") from error

    def at_hand(self, size):
        """Whether all that is wanted came along with the head, as short bodies do: nobody is waited for."""
        left = getattr(self.reader, "length", None)
        return left is not None and min(left, size) <= self.req.unreader.buf.tell()


# --- what gunicorn answers itself -------------------------------------------------------------

ANSWERS = (
    (errors.LimitRequestLine, 414, "uri_too_long", "The request line is too long."),
    (errors.LimitRequestHeaders, 431, "headers_too_large", "The headers are too large."),
    (errors.ExpectationFailed, 417, "expectation_failed", "Only 100-continue can be expected."),
    (
        errors.ParseException,
        400,
        "malformed_request",
        "The request is not well-formed HTTP, or could be read in more than one way.",
    ),
)
UNEXPECTED = (500, "internal_error", "Something went wrong on our side. It has been logged.")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def header(req, name):
    return next((value for key, value in getattr(req, "headers", ()) if key == name), "")


def problem(req, stamps, status, code, detail):
    """One whole HTTP answer, in the shape that all refusals of the API have, with what stands on every answer."""
    request_id = header(req, "X-REQUEST-ID")
    if not REQUEST_ID.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    title = HTTPStatus(status).phrase
    body = json.dumps(
        {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": getattr(req, "path", None) or "/",
            "code": code,
            "requestId": request_id,
        }
    ).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in stamps)
    head = (
        f"HTTP/1.1 {status} {title}\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\n"
        f"{more}"
        "Connection: close\r\n\r\n"
    ).encode("latin-1")
    return head if getattr(req, "method", None) == "HEAD" else head + body


def hang_up(sock):
    """Close without a reset: a reset on unread input would take the answer from the client."""
    with suppress(OSError), eventlet.Timeout(DRAIN_SECONDS, exception=False):
        sock.shutdown(socket.SHUT_WR)
        left = DRAIN_BYTES
        while left > 0 and (data := sock.recv(65536)):
            left -= len(data)


@lru_cache(maxsize=2)
def date_of(second):
    return http_date(second)


class Response(wsgi.Response):
    """An answer without a `Server` header, mostly in one piece, and not for those who don't take it."""

    def default_headers(self):
        kept = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        head = f"HTTP/{self.req.version[0]}.{self.req.version[1]} {self.status}\r\n"
        return [head, f"Date: {date_of(int(time()))}\r\n", f"Connection: {kept}\r\n"] + (
            ["Transfer-Encoding: chunked\r\n"] if self.chunked else []
        )

    def write(self, arg):
        if self.headers_sent or self.response_length != len(arg):
            self.patiently(super().write, arg)
            return
        # The head along with the body: each write wakes the client.
        lines = [*self.default_headers(), *[f"{name}: {value}\r\n" for name, value in self.headers], "\r\n"]
        self.headers_sent, self.sent = True, len(arg)
        self.patiently(self.sock.sendall, "".join(lines).encode("latin-1") + arg)

    def close(self):
        self.patiently(super().close)

    def patiently(self, send, *args):
        """By the socket's own time-out, which costs nothing where nobody is waited for, as a timer would."""
        self.sock.settimeout(READ_SECONDS)
        try:
            send(*args)
        except TimeoutError as error:
            raise OSError(EPIPE, "the answer is not taken") from error
        finally:
            self.sock.settimeout(None)


wsgi.Response = Response  # gunicorn has no setting for it


# --- the worker -------------------------------------------------------------------------------


class Worker(EventletWorker):
    def init_process(self):
        # Not EventletWorker's own, which only adds a log line on its deprecation at every start.
        self.patch()
        # Plain attributes: the library looks each of them up by a method, a dozen times for every request.
        vars(self.cfg).update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super(EventletWorker, self).init_process()

    def run(self):
        self.waiting = set()
        self.stopping = None
        eventlet.spawn(self.say_goodbye)
        super().run()
        # Nobody may have been there to be waited for: the application still finishes what it says.
        with eventlet.Timeout(GOODBYE_SECONDS, exception=False):
            self.stop_application().wait()

    def stop_application(self):
        """Tells it once, and gives the greenlet in which it stops."""
        if self.stopping is None:
            stop = getattr(self.wsgi, "extensions", {}).get("on_worker_stop", lambda: None)
            self.stopping = eventlet.spawn(stop)
        return self.stopping

    def say_goodbye(self):
        """Once told to stop: let the application close its sockets, and close idle connections.

        Else every browser that keeps a connection open would hold the process for the whole
        graceful_timeout.
        """
        while self.alive:
            eventlet.sleep(0.25)
        self.stop_application()
        while True:
            for connection in list(self.waiting):
                eventlet.kill(connection, StopIteration())
            eventlet.sleep(0.25)

    @contextmanager
    def timeout_ctx(self):
        """Around the wait for the next request."""
        current = greenlet.getcurrent()
        self.waiting.add(current)
        try:
            with super().timeout_ctx():
                yield
        finally:
            self.waiting.discard(current)

    def handle_request(self, listener_name, req, sock, addr):
        body = req.body
        if isinstance(body.reader, LengthReader) and body.reader.length == 0:
            return super().handle_request(listener_name, req, sock, addr)
        body.reader = GuardedReader(req)
        try:
            kept = super().handle_request(listener_name, req, sock, addr)
            if kept and not self.drained(body):
                raise StopIteration  # gunicorn's word for "close"
        except StopIteration:
            hang_up(sock)
            raise
        return kept

    def drained(self, body):
        """Whether the rest of the body was read, so that the next request begins where it ends."""
        if getattr(body.reader.reader, "length", None) == 0:
            return not body.reader.failed
        with suppress(OSError), eventlet.Timeout(DRAIN_SECONDS, exception=False):
            left = DRAIN_BYTES
            while left > 0:
                data = body.read(8192)
                if not data:
                    return not body.reader.failed
                left -= len(data)
        return False

    def handle_error(self, req, client, addr, exc):
        address = addr[0] if isinstance(addr, tuple) else "-"
        if req is None and isinstance(exc, errors.InvalidHeader):
            req = exc.req
        answer = next((answer for kind, *answer in ANSWERS if isinstance(exc, kind)), None)
        if answer:
            self.log.info("Refused a request of %s: %s", address, type(exc).__name__)
        else:
            answer = UNEXPECTED
            where = f"{getattr(req, 'method', '-')} {shown(req)}"
            self.log.error("Error handling %s", where, exc_info=exc)
        with suppress(OSError):
            stamps = getattr(self.wsgi, "extensions", {}).get("stamps", ())
            client.sendall(problem(req, stamps, *answer))
        hang_up(client)


# --- logs ---------------------------------------------------------------------------------------

ID_LENGTH = 36  # a longer part of a path is a token, as in /api/applications/status/<token>


def shown(req):
    """The path of a request as a log may show it."""
    return without_tokens(getattr(req, "path", None) or "-")


def without_tokens(path):
    return "/".join(part if len(part) <= ID_LENGTH else "..." for part in path.split("/"))


class Logger(glogging.Logger):
    """Access lines, for hosts that ask for them, as JSON and without anything secret."""

    def debug(self, msg, *args, **kwargs):
        """At this level gunicorn says the path of every request."""
        super().debug(msg, *(without_tokens(arg) if isinstance(arg, str) else arg for arg in args), **kwargs)

    def access(self, resp, req, environ, request_time):
        if not self.access_log_enabled:
            return
        headers = {name.lower(): value for name, value in resp.headers}
        line = {
            "at": "request",
            "method": environ.get("REQUEST_METHOD"),
            "path": shown(req),
            "status": getattr(resp, "status_code", None),
            "bytes": resp.sent,
            "ms": round(request_time.total_seconds() * 1000, 1),
            "address": environ.get("REMOTE_ADDR"),
            "requestId": headers.get("x-request-id"),
        }
        self.access_log.info("%s", json.dumps(line))


def pre_request(worker, req):
    """Nothing: gunicorn's own writes the whole path, with the token in it, into a log for debugging."""


# --- settings -----------------------------------------------------------------------------------

bind = f"0.0.0.0:{os.environ.get('PORT') or 8000}"
worker_class = Worker
workers = 1
# A poll of each socket beside other requests: the application caps its sockets, and refuses what is no number.
sockets = os.environ.get("SOCKETS_TOTAL", "").strip()
worker_connections = (int(sockets) if sockets.isdecimal() else 800) + 200
timeout = 60  # a worker that is silent for so long is replaced; it reports every second
graceful_timeout = 8  # hosts kill after 30 s, and an open socket would use all of it
keepalive = 75  # above the idle time of routers and browsers, else they reuse a closed connection
http_parser = "python"  # the one that StrictRequest strengthens
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
control_socket_disable = True
# Whom to believe is the application's decision (TRUSTED_PROXIES), for scheme and address alike.
forwarded_allow_ips = ""
secure_scheme_headers = {}
forwarder_headers = ""
logger_class = Logger
loglevel = os.environ.get("LOG_LEVEL") or "info"
accesslog = None  # a host's router logs requests; `--access-logfile -` turns it on


def nworkers_changed(server, new_value, old_value):
    """Hold to one worker that loads the application itself, whatever the host's settings say.

    This is the one hook that runs before a preload, and again on reloads and TTIN. Polling
    clients need to come back to the same worker, and a preload would fork after the hub exists.
    Heroku sets WEB_CONCURRENCY=2, Render passes --preload in GUNICORN_CMD_ARGS.
    """
    asked = [f"{new_value} workers"] if new_value > 1 else []
    with suppress(ValueError):
        if old_value is None and int(os.environ.get("WEB_CONCURRENCY") or 1) > 1:
            asked.append(f"WEB_CONCURRENCY={os.environ['WEB_CONCURRENCY']}")
    if server.cfg.preload_app:
        asked.append("--preload")
    if server.worker_class is not Worker:
        asked.append(f"worker class {server.cfg.worker_class_str}")
    if asked:
        server.log.warning(
            "Ignored: %s. One eventlet worker an instance, always: run more instances instead.",
            ", ".join(asked),
        )
    server.cfg.set("workers", 1)
    server.cfg.set("preload_app", "false")
    server.cfg.set("worker_class", Worker)
    server.worker_class = Worker
    server._num_workers = 1
    # The master never enters the hub: a green queue there could lose a signal.
    if not isinstance(server.SIG_QUEUE, _queue.SimpleQueue):
        server.SIG_QUEUE = _queue.SimpleQueue()


def post_fork(server, worker):
    """What is loaded now stays: the collector would walk it over and over, for a fifth of the start."""
    gc.disable()


def post_worker_init(worker):
    """Refuse to serve unpatched: one slow query would then stand for all requests."""
    if not eventlet.patcher.is_monkey_patched("socket"):
        raise RuntimeError("the worker is not monkey-patched")
    if find_spec("psycopg2"):
        from psycopg2.extensions import get_wait_callback

        if get_wait_callback() is None:
            raise RuntimeError("psycopg2 would block the worker: it has no wait callback")
    # What is loaded by now lives as long as the worker: spare the collector from walking it, even once.
    gc.freeze()
    gc.enable()
    start = getattr(worker.wsgi, "extensions", {}).get("on_worker_start")
    if start is not None:
        start()
