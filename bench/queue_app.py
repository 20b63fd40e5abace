"""What bench/message_queue.py serves beside Idyll: the least that sends over Flask-SocketIO's message queue.

It takes nothing from Idyll, which has an Engine.IO of its own and keeps python-socketio from finding redis-py.
"""

import os
import time
from pathlib import Path
from typing import Any

from flask import Flask
from flask_socketio import SocketIO
from psycopg2.extensions import set_wait_callback


def stamp(*_: object, **__: object) -> None:
    """Writes down that a message was committed."""
    with Path(os.environ["STAMPS"]).open("a") as file:
        file.write(f"{time.monotonic_ns()}\n")


def queue() -> Flask:
    """Stores nothing and asks nobody for rights: the queue at its best."""
    set_wait_callback(lambda _: None)  # of no connection; gunicorn.conf.py wants one
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
