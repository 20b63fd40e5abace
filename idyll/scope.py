"""What belongs to this very request, event or command: its own `g`, its app, and the request itself.

Each attribute that is read through Flask's proxies of these finds them anew, which costs as much as thirty attributes.
"""

from collections.abc import Callable

from flask import Flask, Request, current_app, g, request
from flask.ctx import _AppCtxGlobals as Globals
from sqlalchemy import Engine

here: Callable[[], Globals] = g._get_current_object
this_app: Callable[[], Flask] = current_app._get_current_object  # type: ignore[attr-defined]  # of the proxy
this_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]  # as above


def this_engine() -> Engine:
    """The app's only one; Flask-SQLAlchemy keeps many, and searches for it."""
    found: Engine = this_app().extensions["engine"]
    return found
