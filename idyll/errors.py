"""The kinds of refusal, and the one shape in which every refusal leaves (RFC 9457)."""

import itertools
import logging
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, has_request_context
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .scope import here, this_request

log = logging.getLogger(__name__)

Errors = dict[str, list[str]]
RETRY_SECONDS = 2
MAX_FAULTS = 50  # shown of one request
# The driver's codes for "try again": deadlocks, waited too long for a lock, statement cancelled, too many connections.
BUSY_CODES = {"40001", "40P01", "55P03", "57014", "53300", "26000", "42P05", 1205, 1213, 1040}


class Problem(Exception):
    """A refusal. `code` is a stable word for clients to switch on; `extra` members join the problem object."""

    status = 400
    code = "bad_request"
    detail = "The request can't be understood."

    def __init__(
        self, detail: str = "", *, code: str = "", errors: Errors | None = None, retry_after: int = 0, **extra: Any
    ) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        self.errors = errors
        self.retry_after = retry_after
        self.extra = extra
        super().__init__(self.detail)

    def as_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": this_request().path if has_request_context() else "",
            "code": self.code,
            "requestId": here().get("request_id", ""),
        }
        if self.errors:
            body["errors"] = self.errors
        if self.retry_after:
            body["retryAfter"] = self.retry_after
        return body | self.extra


class Unauthorized(Problem):
    status = 401
    code = "invalid_token"
    detail = "The access token is missing, invalid or expired."


class Forbidden(Problem):
    status = 403
    code = "forbidden"
    detail = "You may not do this."


class NotFound(Problem):
    status = 404
    code = "not_found"
    detail = "There is no such thing, or it is not yours to know of."


class Conflict(Problem):
    status = 409
    code = "conflict"
    detail = "The present state forbids it."


class StalePrecondition(Problem):
    status = 412
    code = "stale"
    detail = "It was changed since you read it; read it again."


class UnsupportedMediaType(Problem):
    status = 415
    code = "unsupported_media_type"
    detail = "The body must be application/json in UTF-8."


class Invalid(Problem):
    status = 422
    code = "invalid"
    detail = "Some fields are not valid."


class TooManyRequests(Problem):
    status = 429
    code = "rate_limited"
    detail = "Too many requests."


class Unavailable(Problem):
    status = 503
    code = "unavailable"
    detail = "The server is busy or a part of it is down; try again."

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail, **{"retry_after": RETRY_SECONDS} | extra)


def flat(messages: Any) -> Errors:
    """marshmallow's nested messages as `{field: [text, …]}`, by the outermost field."""
    if not isinstance(messages, dict):
        return {"body": _texts(messages)}
    shown = itertools.islice(messages.items(), MAX_FAULTS)
    return {("body" if name == "_schema" else str(name)): _texts(found) for name, found in shown}


def _texts(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [text for inner in found.values() for text in _texts(inner)]
    return [text for inner in found for text in _texts(inner)][:MAX_FAULTS] if isinstance(found, list) else [str(found)]


def answer(problem: Problem) -> Response:
    response = Response(orjson.dumps(problem.as_dict()), status=problem.status, content_type="application/problem+json")
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if problem.retry_after:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, lambda error: answer(as_problem(error)))


def _http(error: HTTPException) -> Response:
    """Werkzeug's own refusals: 400, 404, 405, 413, 414, 415 …"""
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if status < HTTPStatus.BAD_REQUEST:
        return Response(error.get_body(), status=status, headers=error.get_headers())
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer(as_problem(getattr(error, "original_exception", None) or error))
    problem = Problem(_WORDS.get(status, HTTPStatus(status).description or HTTPStatus(status).phrase))
    problem.status = status
    problem.code = _CODES.get(status, "bad_request")
    response = answer(problem)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


# Written out, since clients switch on them: Python's own names change between versions.
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "request_entity_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    431: "headers_too_large",
}
_WORDS = {
    404: NotFound.detail,
    405: "This method is not for this address; see Allow.",
    413: "The body is larger than 1 MiB.",
}


def is_busy(error: DBAPIError) -> bool:
    """Whether the same statement may succeed a moment later."""
    original: Any = error.orig
    code = getattr(original, "pgcode", None) or (original.args[0] if original is not None and original.args else None)
    return code in BUSY_CODES or error.connection_invalidated or isinstance(error, OperationalError)


def as_problem(error: BaseException) -> Problem:
    """Whatever was raised, as a refusal; what nobody foresaw is logged."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, JWTExtendedException | PyJWTError):
        return Unauthorized()
    if isinstance(error, PoolTimeout):
        return Unavailable()
    if isinstance(error, IntegrityError):
        log.warning("a constraint refused a change: %s", type(error.orig).__name__)
        return Conflict("Somebody else changed this at the same time; read it again.")
    if isinstance(error, DBAPIError) and is_busy(error):
        log.error("the database did not answer: %s", type(error.orig).__name__)
        return Unavailable()
    log.error("unforeseen %s", type(error).__name__, exc_info=error)
    problem = Problem("Something went wrong on our side. The request id helps to find out what.", code="internal_error")
    problem.status = 500
    return problem
