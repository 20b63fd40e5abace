"""What comes over a socket before it is an event: parsed strictly, bounded, and never a traceback."""

import logging
from collections.abc import Callable
from typing import Any

import orjson
from engineio import packet as eio_packet
from engineio.exceptions import ContentTooLongError, EngineIOError, SocketIsClosedError
from engineio.socket import Socket
from socketio import packet as sio_packet

MAX_BYTES = 64 * 1024
MAX_MALFORMED = 5
MAX_PACKETS = 2000  # in one long-polling POST; official clients send all that waits, and MAX_BYTES bounds it too
MAX_QUEUE = 5000  # packets that a client leaves unread: then it has to come back and `sync`
LIFECYCLE = ("connect", "disconnect")
TYPES = tuple("123456")  # of Engine.IO packets that a client may send, as text


class Json:
    """orjson in the words of the standard library: strict, so no NaN and no lone surrogates."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str, **_: Any) -> Any:
        return orjson.loads(text)


class Packet(sio_packet.Packet):  # type: ignore[misc]  # because the library ships no types
    """A Socket.IO packet of text. Raises ValueError for what no client of ours sends.

    Binary attachments would swallow every later frame until they are complete, and a client that names an event
    `connect` or `disconnect` would run the handlers of the real ones.
    """

    uses_binary_events = False
    json = Json

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str) or encoded_packet[:1] not in "01234":
            raise ValueError("not a packet of text")
        attachments: int = super().decode(encoded_packet)
        if attachments or self.packet_type == sio_packet.CONNECT_ERROR:
            raise ValueError("not a client's packet")
        if self.packet_type == sio_packet.EVENT:
            named = isinstance(self.data, list) and self.data and isinstance(self.data[0], str)
            if not named or self.data[0] in LIFECYCLE:
                raise ValueError("not an event")
        if self.packet_type == sio_packet.ACK and not isinstance(self.data, list):
            raise ValueError("not an acknowledgement")
        return 0


class EngineSocket(Socket):  # type: ignore[misc]  # as above
    """One Engine.IO session: one WebSocket, or the long polls of one client."""

    on_malformed: Callable[[str], bool]  # whether the session is to end by it

    def send(self, pkt: Any) -> None:
        if self.closed:
            return
        if self.queue.qsize() > MAX_QUEUE:
            self.close(wait=False, abort=True)
            return
        super().send(pkt)

    def receive(self, pkt: Any) -> None:
        try:
            super().receive(pkt)
        except EngineIOError:
            if self.closed or type(self).on_malformed(self.sid):
                raise

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Each packet by itself: a broken one takes nothing else along."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > MAX_BYTES:
            raise ContentTooLongError
        for encoded in environ["wsgi.input"].read(length).split(b"\x1e", MAX_PACKETS):
            if self.closed:
                raise SocketIsClosedError
            if (text := self.sound(encoded)) is not None:
                self.receive(eio_packet.Packet(encoded_packet=text))

    def sound(self, encoded: bytes | str) -> str | None:
        """The text of a packet that a client may send; None for anything else, which is counted."""
        try:
            text = encoded.decode() if isinstance(encoded, bytes) else encoded
        except ValueError:
            text = ""
        if text[:1] in TYPES:
            return text
        type(self).on_malformed(self.sid)
        return None

    def _websocket_handler(self, ws: Any) -> Any:
        return super()._websocket_handler(_Sound(ws, self))


class _Sound:
    """A WebSocket that hands only whole Engine.IO packets on: what the library can't parse would end its greenlet."""

    def __init__(self, ws: Any, owner: EngineSocket) -> None:
        self.ws = ws
        self.socket = ws.socket
        self.owner = owner
        self.send = ws.send
        self.close = ws.close

    def wait(self) -> str | None:
        while (received := self.ws.wait()) is not None and not self.owner.closed:
            # Binary messages have no meaning here.
            if (text := self.owner.sound(received if isinstance(received, str) else b"")) is not None:
                return text
        return None


class OneLine(logging.Filter):
    """The libraries' records as one short line each: what a client sent may stand in them, and tracebacks flood."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = " ".join(record.getMessage().split())[:200]
        record.args = ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def quiet() -> logging.Logger:
    """For both libraries: errors only."""
    logger = logging.getLogger("idyll.sockets.library")
    logger.setLevel(logging.ERROR)
    if not logger.filters:
        logger.addFilter(OneLine())
    return logger
