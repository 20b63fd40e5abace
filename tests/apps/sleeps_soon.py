"""The application, which leaves the database alone after two seconds without anybody instead of sixty."""

from idyll.live import door, follower
from wsgi import app

__all__ = ["app"]

follower.SLEEP_AFTER = 2.0
door.HELLO_SECONDS = 0.5
