"""Engine.IO on the wire: what asks for a WebSocket, and packets as they stand on one."""

from typing import Any

from engineio.packet import MESSAGE, Packet


class Rest(Packet):  # type: ignore[misc]  # because the library ships no types
    """The end of frames whose beginning was written: bytes, as they are."""

    def __init__(self, frame: bytes) -> None:
        super().__init__(MESSAGE, "")
        self.frame = frame  # as `frame_of` keeps it


def frame_of(packet: Any) -> bytes:
    """The WebSocket's frame of a packet (RFC 6455, 5.2), made once however many are sent it."""
    known: bytes | None = packet.__dict__.get("frame")
    if known is None:
        payload = packet.encode().encode()
        size = len(payload)
        if size < 126:  # noqa: PLR2004 - of the RFC, as those below
            head = bytes((0x81, size))
        elif size < 65536:  # noqa: PLR2004 - of the RFC, as that above
            head = b"\x81\x7e" + size.to_bytes(2)
        else:
            head = b"\x81\x7f" + size.to_bytes(8)
        known = packet.__dict__["frame"] = head + payload
    return known


def size_of(packet: Any) -> int:
    """In characters; what is no text counts as nothing."""
    return len(packet.data) if isinstance(packet.data, str) else 0


def asks_for_websocket(environ: dict[str, Any]) -> bool:
    wishes = [wish.strip() for wish in environ.get("HTTP_CONNECTION", "").lower().split(",")]
    return "upgrade" in wishes and environ.get("HTTP_UPGRADE", "").lower() == "websocket"
