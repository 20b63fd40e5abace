"""Engine.IO sessions that an attacker finds no hold on: bounded, fair to each other, and never a traceback."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import engineio.socket
from engineio.exceptions import ContentTooLongError, EngineIOError, SocketIsClosedError
from engineio.packet import NOOP, PING, Packet
from engineio.socket import Socket

from ..concurrency import breathe, later, spawn
from .wire import Rest, asks_for_websocket, frame_of, size_of

# What a client may leave unread; with more it has to come back and `sync`.
MAX_QUEUE = 5000  # packets
MAX_UNREAD = 4 * 1024 * 1024  # characters
UPGRADE_SECONDS = 10.0  # for a WebSocket to take over from the polls
TAKEOVER_SECONDS = 1.0  # that a poll waits for one that is about to
FLUSH_SECONDS = 5.0  # for a client to read the last of what it was sent
TYPES = tuple("123456")  # of packets that a client may send, as text
PROBE, PROBED, TAKE_OVER = "2probe", "3probe", "5"  # of a WebSocket that takes over from polls, in this order

log = logging.getLogger(__name__)


class EngineSocket(Socket):  # type: ignore[misc]  # because the library ships no types
    """One Engine.IO session: one WebSocket, or the long polls of one client."""

    connected: bool
    last_ping: float | None  # when the ping went out that is not answered yet

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self.ws: Any = None
        self.unread = 0  # characters that wait, or were handed out last
        self.handed_out = 0
        self.probed = False  # a WebSocket that wants to take over has shown that it works
        self.busy: set[str] = set()
        self.writer: Any = None  # the greenlet that writes what waits, while something does
        self.no_ping: Callable[[], None] = _nothing

    # -- what goes out

    def send(self, pkt: Any) -> None:
        self.send_all((pkt,))

    def send_all(self, packets: Sequence[Any]) -> None:
        """Several in one go: each write costs as much as all that is done before it."""
        if self.closed:
            return
        if self.queue.qsize() > MAX_QUEUE or self.unread > MAX_UNREAD:
            ws = self.ws
            self.close(abort=True)
            if ws is not None:
                ws.abort()
            return
        if not self.check_ping_timeout():
            return
        if self.ws is not None and self.upgraded and self.queue.empty():
            packets = self._written(packets)
        for packet in packets:
            self.unread += size_of(packet)
            self.queue.put(packet)
        self._write_on()

    def _written(self, packets: Sequence[Any]) -> Sequence[Any]:
        """Writes at once where nothing waits before it: a greenlet of its own for each frame costs ten times as much.

        Gives what is left to be written.
        """
        frames = frame_of(packets[0]) if len(packets) == 1 else b"".join([frame_of(packet) for packet in packets])
        sent = self.ws.write_now(frames)
        if sent == 0:
            return packets
        return (Rest(frames[sent:]),) if sent < len(frames) else ()

    def _write_on(self) -> None:
        """Has what waits written, by a greenlet that ends when nothing does.

        The library keeps one for each session, of 10 KiB, though a client is seldom slow to read.
        """
        if self.ws is not None and self.upgraded and self.writer is None and not self.queue.empty():
            self.writer = self.server.start_background_task(self._write, self.ws)

    def _write(self, ws: Any) -> None:
        try:
            while not self.queue.empty() and (packets := self.poll()):
                ws.write(b"".join([frame_of(packet) for packet in packets]))
        except OSError:  # nobody reads any more
            ws.close()
        self._read()
        self.writer = None
        if self.closed:
            ws.close()

    def _read(self) -> None:
        self.unread -= self.handed_out
        self.handed_out = 0

    def poll(self) -> list[Any]:
        # Whoever asks for more has read what they were given before.
        self._read()
        packets: list[Any] = super().poll()
        self.handed_out = sum(map(size_of, packets))
        return packets

    def schedule_ping(self) -> None:
        # The library's way, a sleeping greenlet, outlives the session.
        if self.last_ping:
            self.last_ping = None
            self.no_ping = later(self.server.ping_interval, self._ping)

    def _ping(self) -> None:
        if not self.closing and not self.closed:
            self.last_ping = time.time()
            self.send(Packet(PING))

    def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> None:  # noqa: ARG002 - see below
        # Never waits until everything is read, as the library does for a POST that it refuses: nobody may be reading.
        super().close(wait=False, abort=abort, reason=reason)
        self.no_ping()
        self.server.sockets.pop(self.sid, None)
        if self.ws is not None:
            self._write_on()
            later(FLUSH_SECONDS, self.ws.abort)

    # -- what comes in

    def malformed(self) -> bool:
        """Counts a broken packet; whether the session ends by it."""
        ended: bool = self.server.on_malformed(self.sid)
        return ended

    def receive(self, pkt: Any) -> None:
        try:
            super().receive(pkt)
        except EngineIOError:
            if self.closed or self.malformed():
                raise

    def sound(self, encoded: bytes | str) -> str | None:
        """The text of a packet that a client may send; None for anything else, which is counted."""
        try:
            text = encoded.decode() if isinstance(encoded, bytes) else encoded
        except ValueError:
            text = ""
        if text[:1] in TYPES:
            return text
        self.malformed()
        return None

    def handle_get_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """A poll, or the way to a WebSocket."""
        if asks_for_websocket(environ):
            return super().handle_get_request(environ, start_response)
        with self._one_at_a_time("GET"):
            waits_until = time.monotonic() + TAKEOVER_SECONDS
            while self.probed and not self.upgraded and time.monotonic() < waits_until:
                self.server.sleep(0.02)
            if self.upgraded or not self.connected:
                return self._refuse()
            # Until it is probed, a WebSocket may be one that only looks open: what there is goes by the polls.
            packets = [] if self.probed else self._polled()
            # Nothing at all is no packet; one that says nothing is.
            return packets or [Packet(NOOP)]

    def _polled(self) -> list[Any]:
        if not self.check_ping_timeout():
            raise SocketIsClosedError
        try:
            return self.poll()
        except EngineIOError:
            self.close(reason=self.server.reason.TRANSPORT_ERROR)
            raise

    def _refuse(self) -> Any:
        if not self.connected:
            # What would have been a session by WebSocket.
            self.close(abort=True)
        return self.server._bad_request("Unexpected HTTP request")

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Each packet by itself: a broken one takes nothing else along."""
        most = self.server.max_http_buffer_size
        with self._one_at_a_time("POST"):
            try:
                body = environ["wsgi.input"].read(most + 1)
            except OSError:
                raise EngineIOError("cut short") from None
            if len(body) > most:
                raise ContentTooLongError
            for encoded in body.split(b"\x1e"):
                breathe()
                if self.closed:
                    raise SocketIsClosedError
                if (text := self.sound(encoded)) is not None:
                    self.receive(Packet(encoded_packet=text))

    @contextmanager
    def _one_at_a_time(self, kind: str) -> Iterator[None]:
        """Clients have one poll open and one POST; of many at once, each would hold one of the worker's places."""
        if kind in self.busy:
            self.close(abort=True)
            raise EngineIOError("overlap")
        self.busy.add(kind)
        try:
            yield
        finally:
            self.busy.discard(kind)

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        if self.ws is not None or self.upgraded:
            return self.turn_away(environ, start_response)
        answer = super()._upgrade_websocket(environ, start_response)
        if not self.connected:
            # The handshake failed, and has been answered.
            self._refuse()
        return answer

    def turn_away(self, environ: dict[str, Any], start_response: Any) -> Any:
        """A second WebSocket of one session is closed as soon as it is open, as by the official server."""
        return self.server._async["websocket"](lambda _: None, self.server)(environ, start_response)

    def _websocket_handler(self, ws: Any) -> Any:
        """The request that opened it ends here; it is served by a greenlet of its own."""
        self.ws = ws.detached()
        self.ws.socket.settimeout(self.server.ping_interval + self.server.ping_timeout)
        upgrades, self.connected = self.connected, True
        self.server.serving.add(self.ws)
        spawn(self._serve, self.ws, upgrades)
        return []

    def _serve(self, ws: Any, upgrades: bool) -> None:
        try:
            if not upgrades or self._taken_over(ws):
                self.upgraded = True
                self._write_on()
                self._listen(ws)
                if self.writer is not None:
                    self.writer.join()
        finally:
            self.ws = None
            self.probed = False
            ws.end()
            self.server.serving.discard(ws)

    def _taken_over(self, ws: Any) -> bool:
        """Whether a WebSocket has shown that it works and took over from the polls."""
        self.upgrading = True
        in_time = later(UPGRADE_SECONDS, ws.abort)
        try:
            if self._next(ws) == PROBE:
                self.probed = True
                ws.send(PROBED)
                self.queue.put(Packet(NOOP))  # ends a poll
                self.upgraded = self._next(ws) == TAKE_OVER
        except OSError:  # it went in the middle
            return False
        finally:
            in_time()
            self.upgrading = False
        return self.upgraded

    def _listen(self, ws: Any) -> None:
        try:
            while (text := self._next(ws)) is not None:
                self.receive(Packet(encoded_packet=text))
        except EngineIOError:
            pass
        except Exception:
            log.exception("a packet could not be handled")
        self.close(abort=True, reason=self.server.reason.TRANSPORT_CLOSE)

    def _next(self, ws: Any) -> str | None:
        """The next whole packet; None at the end."""
        while (received := ws.wait()) is not None and not self.closed:
            # Binary messages have no meaning here.
            if (text := self.sound(received if isinstance(received, str) else b"")) is not None:
                return text
        if received is None:
            # Nobody is there: whatever is still being written is in vain.
            ws.abort()
            self.ws = None
        return None


def install(engine: Any, on_malformed: Callable[[str], bool]) -> None:
    """`on_malformed` counts a broken packet of a session, and says whether the session ends by it."""
    engine.on_malformed = on_malformed
    engine.serving = set()  # WebSockets, until their last word is written
    # The library has no setting for it.
    engineio.socket.Socket = EngineSocket


def _nothing() -> None:
    pass
