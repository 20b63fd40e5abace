"""`Idempotency-Key`: the first answer of a POST is stored with its effect, and given again.

The claim is a committed row, so that a second request sees it; the answer is stored in the transaction of the effect,
so that neither can exist without the other. A run whose process died is taken over after `TAKEOVER`.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from flask import Response
from sqlalchemy import ForeignKey, Index, String, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import RequestEntityTooLarge

from .actor import Actor
from .clock import now
from .columns import ID, LONG_TEXT
from .database import execute, release
from .errors import Conflict, Invalid, Problem, answer
from .extensions import MYSQL, Model
from .guess import settle
from .ids import uuid7
from .scope import this_app, this_request
from .steps import delete_in_steps
from .transactions import transaction

KEPT = timedelta(hours=24)
TAKEOVER = timedelta(seconds=40)
KEY = re.compile(r"[\x20-\x7e]{1,255}\Z")
MAX_BODY = 1024 * 1024
SECRETS = ("invite", "statusToken")
NOT_STORED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)


class StoredAnswer(Model):
    """One use of a key; `status` is null while the first request still runs."""

    __tablename__ = "stored_answers"
    __table_args__ = (Index(None, "user_id", "key", unique=True), Index(None, "created_at"), MYSQL)

    id: Mapped[str] = mapped_column(ID, primary_key=True, default=uuid7)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id"))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    status: Mapped[int | None]
    content_type: Mapped[str | None] = mapped_column(String(100))
    body: Mapped[str | None] = mapped_column(LONG_TEXT)
    created_at: Mapped[datetime]


TABLE = StoredAnswer.__table__
_NEW = insert(TABLE)
_FOUND = select(*TABLE.c).where(TABLE.c.user_id == bindparam("user"), TABLE.c.key == bindparam("key")).with_for_update()


class Claim(NamedTuple):
    """A key that this request may run under (plain values: a rollback expires entities)."""

    id: str
    started_at: datetime


def run(user: Actor, view: Callable[[], Response]) -> Response:
    """Runs the route once for its key, or gives the stored answer. Without the header it just runs."""
    key = this_request().headers.get("Idempotency-Key")
    if key is None:
        return view()
    if not KEY.match(key):
        raise Invalid(errors={"Idempotency-Key": ["1 to 255 printable characters."]})
    claim = _claim(user, key)
    if isinstance(claim, Response):
        return claim
    try:
        return _stored(claim, view)
    except BaseException:
        settle()
        _forget(claim)
        raise


def _stored(claim: Claim, view: Callable[[], Response]) -> Response:
    try:
        with transaction():
            response = view()
            _store(claim, response)
    except Problem as problem:
        if problem.status in NOT_STORED or problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        response = answer(problem)
        with transaction():
            _store(claim, response)
    return response


def sent_body() -> bytes:
    """The request's body. Raises 413 for more than 1 MiB, also where no Content-Length says so."""
    request = this_request()
    if request.content_length or "Transfer-Encoding" in request.headers:
        # It may come slowly: meanwhile the connection to the database, by which the caller was known, is for others.
        release()
    body = request.get_data(cache=True)
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge
    return body


def _fingerprint() -> str:
    request = this_request()
    sent = f"{request.method} {request.full_path}\n".encode() + sent_body()
    return hmac.new(this_app().config["SECRET_KEY"].encode(), sent, hashlib.sha256).hexdigest()


def _claim(user: Actor, key: str) -> Claim | Response:
    fingerprint, moment = _fingerprint(), now()
    try:
        with transaction():
            mine = {"user": user.id, "key": key}
            found = execute(_FOUND, mine).one_or_none()
            if found is None:
                started = {"started_at": moment, "created_at": moment}
                claim = Claim(uuid7(), moment)
                row = {"id": claim.id, "user_id": user.id, "key": key, "fingerprint": fingerprint}
                execute(_NEW, row | started)
                return claim
            if found.created_at < moment - KEPT:
                return _take_over(found.id, moment, fingerprint=fingerprint, status=None, created_at=moment)
            if found.fingerprint != fingerprint:
                raise Invalid(
                    "This key was used for another request.",
                    code="idempotency_key_reused",
                    errors={"Idempotency-Key": ["It was used with another route or body."]},
                )
            if found.status is None:
                if found.started_at > moment - TAKEOVER:
                    raise _still_running()
                return _take_over(found.id, moment)
            return _replay(found)
    except IntegrityError:
        raise _still_running() from None


def _take_over(key: str, moment: datetime, **more: Any) -> Claim:
    execute(update(TABLE).where(TABLE.c.id == key).values(started_at=moment, **more))
    return Claim(key, moment)


def _still_running() -> Conflict:
    return Conflict(
        "The first request with this key still runs.", code="idempotency_in_progress", retry_after=1, current="running"
    )


def _replay(stored: Any) -> Response:
    response = Response(stored.body, status=stored.status, content_type=stored.content_type)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _store(claim: Claim, response: Response) -> None:
    """In the transaction of the effect. Raises `Conflict` when the run was taken over: its effect is rolled back."""
    body = response.get_data(as_text=True)
    if response.mimetype == "application/json":
        shown = orjson.loads(body)
        if isinstance(shown, dict) and any(name in shown for name in SECRETS):
            body = orjson.dumps({name: value for name, value in shown.items() if name not in SECRETS}).decode()
    mine = (StoredAnswer.id == claim.id) & (StoredAnswer.started_at == claim.started_at)
    values = {"status": response.status_code, "content_type": response.content_type, "body": body}
    if execute(update(TABLE).where(mine).values(values)).rowcount != 1:
        raise _still_running()


def _forget(claim: Claim) -> None:
    with transaction():
        mine = (TABLE.c.id == claim.id, TABLE.c.started_at == claim.started_at)
        execute(delete(TABLE).where(*mine, TABLE.c.status.is_(None)))


def sweep() -> int:
    """Deletes what is older than a day; gives how many."""
    return delete_in_steps(TABLE, TABLE.c.created_at < now() - KEPT, along=TABLE.c.created_at)


def forget_all_of(user_id: str) -> None:
    """The answers to a removed person: nobody will ask for them again."""
    execute(delete(TABLE).where(StoredAnswer.user_id == user_id))


def rewrite(mentioning: str, change: Callable[[Any], Any]) -> None:
    """Shapes anew every stored answer that mentions an id or an e-mail."""
    found = select(StoredAnswer.id, StoredAnswer.body).where(StoredAnswer.body.contains(mentioning))
    for row in execute(found):
        body = orjson.dumps(change(orjson.loads(row.body))).decode()
        execute(update(TABLE).where(StoredAnswer.id == row.id).values(body=body))
