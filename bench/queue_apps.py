"""What bench/message_queue.py serves: Idyll, and the least that sends over Flask-SocketIO's message queue.

Both write down when a message was committed.
"""

import os
import time
from pathlib import Path
from typing import Any

from flask import Flask
from flask_socketio import SocketIO

from idyll.transactions import committed
from wsgi import app as idyll


def stamp(*_: object, **__: object) -> None:
    with Path(os.environ["STAMPS"]).open("a") as file:
        file.write(f"{time.monotonic_ns()}\n")


def log() -> Flask:
    committed.connect(stamp, weak=False)
    return idyll


def queue() -> Flask:
    """Stores nothing and asks nobody for rights: the queue at its best."""
    app = Flask("queue")
    socketio = SocketIO(
        app,
        async_mode="eventlet",
        async_handlers=False,
        message_queue=os.environ["REDIS_URL"],
        cors_allowed_origins="*",
    )

    @socketio.on("join_room")
    def join(payload: dict[str, Any]) -> dict[str, Any]:
        return payload

    @socketio.on("send_message")
    def send(payload: dict[str, Any]) -> dict[str, Any]:
        stamp()
        socketio.emit("new_message", payload)
        return payload

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    return app
