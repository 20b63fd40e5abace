"""The application, which lets everybody in, answers as socket.io's protocol suite expects, and pings in no time."""

from functools import partial
from typing import Any

from engineio.packet import OPEN
from flask import request
from flask_socketio import emit

from idyll.concurrency import later
from idyll.extensions import socketio
from idyll.live import engine
from wsgi import app

__all__ = ["app"]

PING_SECONDS = 0.3


class Hasty(engine.EngineSocket):
    """The library tells the client of whole seconds only."""

    def send(self, pkt: Any) -> None:
        if pkt.packet_type == OPEN:
            pkt.data["pingInterval"] = int(PING_SECONDS * 1000)
        super().send(pkt)


def connect(auth: Any = None) -> None:
    # A moment after the word that it is connected: the suite begins to listen anew for each message.
    later(0.02, partial(socketio.server.emit, "auth", auth or {}, to=request.sid, namespace=request.namespace))


engine.engineio.socket.Socket = Hasty
socketio.server.eio.ping_interval = PING_SECONDS
socketio.server.eio.ping_timeout = 0.2
socketio.server.eio.max_http_buffer_size = 1_000_000
for space in ("/", "/custom"):
    socketio.on("connect", namespace=space)(connect)
    socketio.on("message", namespace=space)(lambda *sent: emit("message-back", sent))
    socketio.on("message-with-ack", namespace=space)(lambda *sent: sent)
