"""Idyll, as bench/message_queue.py serves it: it writes down when a message was committed."""

from flask import Flask

from idyll.transactions import committed
from wsgi import app

from .queue_app import stamp


def log() -> Flask:
    committed.connect(stamp, weak=False)
    return app
