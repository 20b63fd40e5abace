"""The application, whose look at a token fails as the token says."""

from typing import Any

from eventlet import Timeout
from greenlet import GreenletExit
from sqlalchemy.exc import DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from idyll.auth import tokens
from wsgi import app

__all__ = ["app"]

KINDS: dict[str, BaseException] = {
    "pool": PoolTimeout(),
    "database": OperationalError("SELECT", {}, Exception("gone")),
    "constraint": IntegrityError("SELECT", {}, Exception("twice")),
    "disconnected": DisconnectionError("gone"),
    # These are no Exceptions, and what catches those lets them through.
    "timeout": Timeout(1000),
    "killed": GreenletExit(),
    "exit": SystemExit(),
    "interrupted": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "type": TypeError("missing 1 required positional argument"),
}
identify = tokens.identify


def fail(token: str, **more: Any) -> Any:
    if token in KINDS:
        raise KINDS[token]
    return identify(token, **more)


tokens.identify = fail
