"""The door to the sockets: who may come in, how long they may stay, and how an event reaches its handler."""

import logging
import os
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import marshmallow as ma
from flask import Flask
from flask_socketio import ConnectionRefusedError as Refused

from . import errors
from .auth import tokens
from .blueprints import members_only
from .columns import instant_text
from .errors import Forbidden, Invalid, Problem, Unauthorized, Unavailable, flat
from .events import sealing
from .events import service as events
from .events.schemas import EventsOut
from .extensions import socketio
from .guess import Misjudged
from .limits import spend
from .live.connections import Connection
from .live.events import EVENTS, ClientEvent, on
from .live.hub import hub
from .live.schemas import Authenticate, Authenticated, Sync
from .scope import here, this_app, this_request

log = logging.getLogger(__name__)
NAMESPACES = ("/", "/ws/chat")
# A client that types, joins and syncs needs fewer; messages have a limit of their own.
EVENTS_PER_REQUEST = 2


def init_app(_: Flask) -> None:
    """Hangs the handlers of all events on both namespaces, which behave alike."""
    for namespace in NAMESPACES:
        socketio.on("connect", namespace=namespace)(connect)
        socketio.on("disconnect", namespace=namespace)(disconnect)
        for name, event in EVENTS.items():
            socketio.on(name, namespace=namespace)(partial(handle, event))


# -- coming and going ------------------------------------------------------------------------------------------------


def connect(auth: Any = None) -> None:
    """Lets nobody in but by reaching the last line of `_admit`.

    Whatever else is raised becomes a refusal here: the library takes an error handler's answer for a yes.
    """
    here().request_id = os.urandom(16).hex()
    try:
        _admit(auth)
    except Exception as error:  # noqa: BLE001 - fails closed, whatever it is
        problem = errors.as_problem(error)
        hub().refused(_engine())
        raise Refused(problem.detail, problem.as_dict()) from None


def _admit(auth: Any) -> None:
    found = hub()
    engine = _engine()
    session = found.sessions.get(engine)
    if session is None or found.closing:
        raise Unavailable
    token = _token(auth)
    # The log first: rights that are lost after this are seen by the follower, who compares.
    log_state = sealing.state()
    actor = tokens.identify(token, address=this_request().remote_addr, request_id=None)
    if actor.must_enrol:
        members_only(actor)
    claims = tokens.read(token)
    # Last of what may fail: a place that is taken is given back when its connection goes.
    found.caps.claim(engine, str(actor.id), session.network)
    sid: Any = this_request().sid  # type: ignore[attr-defined]  # Flask-SocketIO puts it there
    space: Any = this_request().namespace  # type: ignore[attr-defined]  # as above
    found.admit(Connection(sid, engine, space, actor, claims["exp"], log_state.sealed, log_state.rights))


def _engine() -> str:
    engine: str = socketio.server.manager.eio_sid_from_sid(this_request().sid, this_request().namespace)  # type: ignore[attr-defined]  # as above
    return engine


def _token(auth: Any) -> str:
    """From `auth` or the header, never from the query, which routers log. Raises `Unauthorized`."""
    if auth is None or auth == {}:
        return tokens.bearer(this_request())
    token = auth.get("token") if isinstance(auth, dict) else None
    if not isinstance(token, str):
        raise Unauthorized
    return token


def disconnect(*_: Any) -> None:
    found = hub()
    if (connection := found.connections.find(this_request().sid)) is not None:  # type: ignore[attr-defined]  # as above
        found.left(connection)


# -- events ----------------------------------------------------------------------------------------------------------


def handle(event: ClientEvent, *sent: Any) -> Any:
    """Runs the handler of a client's event; its result or a problem object is the acknowledgement."""
    here().request_id = os.urandom(16).hex()
    try:
        return _answered(event, sent)
    except Exception as error:  # noqa: BLE001 - whatever it is becomes the acknowledgement
        return errors.as_problem(error).as_dict()


def _answered(event: ClientEvent, sent: tuple[Any, ...]) -> Any:
    connection = hub().connections.find(this_request().sid)  # type: ignore[attr-defined]  # as above
    if connection is None:
        raise Unauthorized
    if not event.free:
        _spend(connection)
    try:
        fields = _payload(event, sent)
        # Rights that are not remembered, or have changed, are read and then presumed.
        for _ in range(2 if event.writes else 0):
            if tokens.presume_again(connection.actor):
                with suppress(Misjudged):
                    return tokens.confirmed(partial(_admitted, event, connection, fields))
            _as_of_now(connection)
        if not event.writes:
            _as_of_now(connection)
        return _admitted(event, connection, fields)
    except Problem:
        if event.free:
            _spend(connection)
        raise


def _admitted(event: ClientEvent, connection: Connection, fields: dict[str, Any]) -> Any:
    connection.actor = replace(connection.actor, request_id=here().request_id)
    if connection.expires_at <= time.time():
        raise Unauthorized
    if not event.pending_too:
        members_only(connection.actor)
    return event.view(connection, fields)


def _spend(connection: Connection) -> None:
    spend("socket", EVENTS_PER_REQUEST * this_app().config["RATE_LIMIT_PER_MINUTE"], connection.user_id)


def _payload(event: ClientEvent, sent: tuple[Any, ...]) -> dict[str, Any]:
    payload = sent[0] if sent and sent[0] is not None else {}
    if len(sent) > 1 or not isinstance(payload, dict):
        raise Invalid(errors={"body": ["One object."]})
    try:
        fields: dict[str, Any] = event.loading.load(payload)
    except ma.ValidationError as error:
        raise Invalid(errors=flat(error.messages)) from None
    return fields


def _as_of_now(connection: Connection) -> None:
    """The person's rights as their row says now. Raises `Unauthorized` when they have ended."""
    found = tokens.rights_of([connection.actor]).get(str(connection.actor.session_id))
    if found is None:
        raise Unauthorized
    hub().set_rights([connection], {str(connection.actor.session_id): found})


@on("authenticate", Authenticate, ack=Authenticated, pending_too=True)
def authenticate(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """Goes on with a new access token of the same user."""
    actor = tokens.identify(fields["token"], address=connection.actor.address, request_id=here().request_id)
    if actor.id != connection.actor.id:
        raise Forbidden("This token is somebody else's.", errors={"token": ["Of the same person."]})
    ends = tokens.read(fields["token"])["exp"]
    for room in hub().connections.set_actor(connection, actor, connection.as_of):
        hub().leave(connection.user_id, room, linger=False)
    connection.expires_at = ends
    return {"expiresAt": instant_text(datetime.fromtimestamp(ends, UTC))}


@on("sync", Sync, ack=EventsOut)
def sync(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """Replays, in order, what this user missed and may still see, in all the rooms that it may enter."""
    return events.replay(fields.get("since"), fields["limit"], viewer=connection.actor)
