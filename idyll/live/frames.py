"""What comes over a socket before it is an event: parsed strictly, bounded, and never a traceback."""

import logging
from typing import Any

import orjson
from socketio import packet as sio_packet

MAX_BYTES = 64 * 1024
MAX_MALFORMED = 5
LIFECYCLE = ("connect", "disconnect")


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

    packet_type: int
    data: Any
    uses_binary_events = False
    json = Json

    def encode(self) -> str:
        if self.packet_type == sio_packet.CONNECT_ERROR and isinstance(self.data, str):
            # The library's own refusal: the official client looks for an object.
            self.data = {"message": "Invalid namespace"}
        encoded: str = super().encode()
        return encoded

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


class OneLine(logging.Filter):
    """The libraries' records as one short line each: what a client sent may stand in them, and tracebacks flood."""

    def filter(self, record: logging.LogRecord) -> bool:
        shown = "".join(char if char.isprintable() else " " for char in record.getMessage()[:400])
        record.msg = " ".join(shown.split())[:200]
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
