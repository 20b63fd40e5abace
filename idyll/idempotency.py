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
from flask import Response, current_app, request
from sqlalchemy import ForeignKey, Index, String, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import RequestEntityTooLarge

from .actor import Actor
from .clock import now
from .columns import ID, LONG_TEXT
from .database import release
from .errors import Conflict, Invalid, Problem, answer
from .extensions import MYSQL, Model, db
from .ids import uuid7
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


class Claim(NamedTuple):
    """A key that this request may run under (plain values: a rollback expires entities)."""

    id: str
    started_at: datetime


def run(user: Actor, view: Callable[[], Response]) -> Response:
    """Runs the route once for its key, or gives the stored answer. Without the header it just runs."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return view()
    if not KEY.match(key):
        raise Invalid(errors={"Idempotency-Key": ["1 to 255 printable characters."]})
    claim = _claim(user, key)
    if isinstance(claim, Response):
        return claim
    try:
        with transaction():
            response = view()
            _store(claim, response)
        return response
    except Problem as problem:
        if problem.status in NOT_STORED or problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _forget(claim)
            raise
        response = answer(problem)
        with transaction():
            _store(claim, response)
        return response
    except BaseException:
        _forget(claim)
        raise


def sent_body() -> bytes:
    """The request's body. Raises 413 for more than 1 MiB, also where no Content-Length says so."""
    if request.content_length or "Transfer-Encoding" in request.headers:
        # It may come slowly: meanwhile the connection to the database, by which the caller was known, is for others.
        release()
    body = request.get_data(cache=True)
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge
    return body


def _fingerprint() -> str:
    sent = f"{request.method} {request.full_path}\n".encode() + sent_body()
    return hmac.new(current_app.config["SECRET_KEY"].encode(), sent, hashlib.sha256).hexdigest()


def _claim(user: Actor, key: str) -> Claim | Response:
    fingerprint, moment = _fingerprint(), now()
    try:
        with transaction() as session:
            mine = (StoredAnswer.user_id == user.id) & (StoredAnswer.key == key)
            found = session.execute(select(StoredAnswer).where(mine).with_for_update()).scalar_one_or_none()
            if found is None:
                found = StoredAnswer(
                    id=uuid7(), user_id=user.id, key=key, fingerprint=fingerprint, started_at=moment, created_at=moment
                )
                session.add(found)
                session.flush()
                return Claim(found.id, moment)
            if found.created_at < moment - KEPT:
                found.fingerprint, found.status, found.created_at = fingerprint, None, moment
                found.started_at = moment
                return Claim(found.id, moment)
            if found.fingerprint != fingerprint:
                raise Invalid(
                    "This key was used for another request.",
                    code="idempotency_key_reused",
                    errors={"Idempotency-Key": ["It was used with another route or body."]},
                )
            if found.status is None:
                if found.started_at > moment - TAKEOVER:
                    raise _still_running()
                found.started_at = moment
                return Claim(found.id, moment)
            return _replay(found)
    except IntegrityError:
        raise _still_running() from None


def _still_running() -> Conflict:
    return Conflict(
        "The first request with this key still runs.", code="idempotency_in_progress", retry_after=1, current="running"
    )


def _replay(stored: StoredAnswer) -> Response:
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
    if db.session.execute(update(StoredAnswer).where(mine).values(values)).rowcount != 1:  # type: ignore[attr-defined]  # of DML
        raise _still_running()


def _forget(claim: Claim) -> None:
    with transaction() as session:
        mine = (StoredAnswer.id == claim.id) & (StoredAnswer.started_at == claim.started_at)
        session.execute(delete(StoredAnswer).where(mine, StoredAnswer.status.is_(None)))


def sweep() -> int:
    """Deletes what is older than a day; gives how many."""
    with transaction() as session:
        old = delete(StoredAnswer).where(StoredAnswer.created_at < now() - KEPT)
        return int(session.execute(old).rowcount)  # type: ignore[attr-defined]  # of DML


def forget_all_of(user_id: str) -> None:
    """The answers to a removed person: nobody will ask for them again."""
    db.session.execute(delete(StoredAnswer).where(StoredAnswer.user_id == user_id))


def rewrite(mentioning: str, change: Callable[[Any], Any]) -> None:
    """Shapes anew every stored answer that mentions an id or an e-mail."""
    found = select(StoredAnswer.id, StoredAnswer.body).where(StoredAnswer.body.contains(mentioning))
    for row in db.session.execute(found).all():
        body = orjson.dumps(change(orjson.loads(row.body))).decode()
        db.session.execute(update(StoredAnswer).where(StoredAnswer.id == row.id).values(body=body))
