"""The events that clients send: what each takes and answers. Handlers: idyll/sockets.py and idyll/chat/sockets.py."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..fields import Schema
from .connections import Connection

View = Callable[[Connection, dict[str, Any]], Any]


@dataclass(frozen=True)
class ClientEvent:
    name: str
    schema: type[Schema]
    ack: type[Schema]
    view: View
    description: str
    pending_too: bool  # open to people who wait for their approval
    free: bool  # does not count against the limit of events
    writes: bool  # nothing but rows, in one transaction: the first of them may say whether the sender's rights hold
    loading: Schema  # the schema, made once


EVENTS: dict[str, ClientEvent] = {}


def on(
    name: str,
    schema: type[Schema],
    *,
    ack: type[Schema],
    pending_too: bool = False,
    free: bool = False,
    writes: bool = False,
) -> Callable[[View], View]:
    """The handler of a client's event: gets the connection and the validated payload, gives the acknowledgement."""

    def decorator(view: View) -> View:
        words = (view.__doc__ or "").strip()
        EVENTS[name] = ClientEvent(name, schema, ack, view, words, pending_too, free, writes, schema())
        return view

    return decorator
