"""The blueprint of a resource: signed-in by default, and decorators that say what a route takes and answers.

Every route runs, in this order: who it is, how often, whether this person may at all, whether this very request was
answered before, what was sent, the route itself. So a stranger's malformed body is a 401, and an editor's on a
managers' route a 403.
"""

import hashlib
from collections.abc import Callable
from copy import deepcopy
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

import flask_smorest
import marshmallow as ma
from flask import Flask, Response

from .errors import Forbidden, NotFound, StalePrecondition
from .fields import Schema
from .gate import Gate, Rule, View, current_user, members_only
from .pagination import Listing, as_csv, page
from .parsing import Parser
from .scope import this_request

__all__ = [
    "Blueprint",
    "current_user",
    "enrolling_too",
    "members_only",
    "only",
    "pending_too",
    "public",
    "respond",
    "unless_stale",
]
_pages: dict[type[Schema], type[Schema]] = {}


def public(*, limit: str = "") -> Callable[[View], View]:
    """No log-in needed; `limit` names the setting of how often an address may call it a minute."""
    return _mark(public=True, limit=limit)


def pending_too(view: View) -> View:
    """Open to people who wait for their approval."""
    return _mark(pending=True)(view)


def enrolling_too(view: View) -> View:
    """Open to members who must switch two-step log-in on before anything else."""
    return _mark(enrolling=True)(view)


def only(rule: Rule) -> Callable[[View], View]:
    """For those alone whom the permission lets."""
    return _mark(rule=rule)


def _mark(**marks: Any) -> Callable[[View], View]:
    def decorator(view: View) -> View:
        view.__dict__["_gate"] = {**getattr(view, "_gate", {}), **marks}
        return view

    return decorator


class Blueprint(flask_smorest.Blueprint):
    ARGUMENTS_PARSER = Parser()

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: View | None = None, *args: Any, **options: Any
    ) -> None:
        assert view_func is not None
        super().add_url_rule(rule, endpoint or view_func.__name__, self._gated(view_func), *args, **options)

    def register_views_in_doc(self, api: Any, app: Flask, spec: Any, **options: Any) -> None:
        """Put off until somebody asks for the document (idyll/openapi.py): few do, and it takes time of each start."""
        describe = partial(super().register_views_in_doc, api, app, spec, **options)
        app.extensions.setdefault("undescribed", []).append(describe)

    def edit(self, rule: str) -> Callable[[View], View]:
        """PUT, and PATCH, which is the same."""
        return self.route(rule, methods=["PUT", "PATCH"])  # type: ignore[no-any-return]  # untyped library

    def _gated(self, view: View) -> View:
        gate = Gate(self.name, view)

        @wraps(view)
        def gated(*args: Any, **kwargs: Any) -> Any:
            return gate.open_to_all(*args, **kwargs) if gate.public else gate.signed_in(*args, **kwargs)

        return gated

    # -- what a route takes and answers ---------------------------------------------------------------------------

    def accepts(self, schema: type[Schema]) -> Callable[[View], View]:
        """The route's first argument is the validated body."""
        found: Callable[[View], View] = self.arguments(schema(), location="json", example=schema.EXAMPLE)
        return found

    def queries(self, schema: type[Schema]) -> Callable[[View], View]:
        """The route's first argument is the validated query."""
        found: Callable[[View], View] = self.arguments(schema(), location="query")
        return found

    def answers(
        self,
        status: int,
        schema: type[Schema] | None = None,
        description: str = "",
        *,
        brief: type[Schema] | None = None,
    ) -> Callable[[View], View]:
        """The route gives the encoded object (a JSON text), or None for an empty answer.

        `brief` is what those get who may see only a part of it.
        """

        def decorator(view: View) -> View:
            @wraps(view)
            def wrapper(*args: Any, **kwargs: Any) -> Response:
                body = view(*args, **kwargs)
                if isinstance(body, Response):
                    return body
                if body is None:
                    empty = Response(status=status)
                    del empty.headers["Content-Type"]
                    return empty
                return respond(body, status)

            _document(wrapper, status, _either(schema, brief), description, schema.EXAMPLE if schema else None)
            return wrapper

        return decorator

    def lists(
        self,
        query: type[Schema],
        schema: type[Schema],
        *,
        brief: type[Schema] | None = None,
        csv: str = "",
        may_csv: Rule | None = None,
    ) -> Callable[[View], View]:
        """The route gets the filters and gives a `Listing`; `csv` names the file that `Accept: text/csv` asks for."""

        def decorator(view: View) -> View:
            @wraps(view)
            def wrapper(arguments: dict[str, Any], *args: Any, **kwargs: Any) -> Response:
                limit, cursor = arguments.pop("limit"), arguments.pop("cursor")
                listing: Listing = view(arguments, *args, **kwargs)
                if csv and this_request().accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv":
                    if may_csv is not None and not may_csv(current_user()):
                        raise Forbidden
                    return as_csv(listing, schema, csv)
                return page(listing, limit, cursor, str(arguments.get("sort", "")))

            pages = page_of(schema) if brief is None else _mixed_page(schema, brief)
            _document(wrapper, 200, pages, "A page", {"data": [schema.EXAMPLE], "nextCursor": None})
            if csv:
                _document(wrapper, 200, {"type": "string"}, "All rows", None, content_type="text/csv")
            found: View = self.arguments(query(), location="query")(wrapper)
            return found

        return decorator


def respond(body: str, status: int = 200) -> Response:
    """One object: with an `ETag` on GET, and 304 where the client has this very answer."""
    response = Response(body, status=status, content_type="application/json")
    request = this_request()
    if request.method in ("GET", "HEAD"):
        response.headers["ETag"] = tag = etag(body)
        # Kept by the client, but asked for again each time: an ETag answers 304.
        response.headers["Cache-Control"] = "private, no-cache"
        asked = request.headers.get("If-None-Match")
        if asked and (asked.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in asked.split(",")]):
            response.status_code = HTTPStatus.NOT_MODIFIED
            response.set_data(b"")
            del response.headers["Content-Type"]
    return response


def etag(body: str) -> str:
    return f'"{hashlib.blake2b(body.encode(), digest_size=16).hexdigest()}"'


def unless_stale(read: Callable[..., str], *args: Any, **kwargs: Any) -> None:
    """Checks `If-Match` against what a GET would answer now; call it inside the transaction, with the row locked."""
    asked = this_request().headers.get("If-Match")
    if asked is None:
        return
    asked = asked.replace("W/", "")  # a proxy that compresses weakens it
    try:
        current = etag(read(*args, **kwargs))
    except NotFound:
        if asked.strip() == "*":
            raise StalePrecondition from None
        raise
    if asked.strip() != "*" and current not in [one.strip() for one in asked.split(",")]:
        raise StalePrecondition


def page_of(schema: type[Schema]) -> type[Schema]:
    """The envelope of a list of it."""
    if schema not in _pages:
        fields = {
            "data": ma.fields.List(ma.fields.Nested(schema), required=True),
            "next_cursor": ma.fields.String(required=True, allow_none=True),
        }
        _pages[schema] = type(schema.__name__.removesuffix("Out") + "Page", (Schema,), fields)
    return _pages[schema]


def _either(schema: type[Schema] | None, brief: type[Schema] | None) -> Any:
    return {"anyOf": [schema, brief]} if brief else schema


def _mixed_page(schema: type[Schema], brief: type[Schema]) -> dict[str, Any]:
    rows = {"type": "array", "items": _either(schema, brief)}
    cursor = {"type": ["string", "null"]}
    return {"type": "object", "required": ["data", "nextCursor"], "properties": {"data": rows, "nextCursor": cursor}}


def _document(
    view: View, status: int, schema: Any, description: str, example: Any, content_type: str | None = None
) -> None:
    """Says it to flask-smorest as its own `response` decorator does, which would also dump what is encoded already."""
    doc = view.__dict__["_apidoc"] = deepcopy(getattr(view, "_apidoc", {}))
    entry = {"description": description or HTTPStatus(status).phrase, "content_type": content_type}
    if schema is not None:
        entry["schema"] = schema() if isinstance(schema, type) else schema
    if example is not None:
        entry["example"] = example
    doc.setdefault("response", {}).setdefault("responses", {}).setdefault(status, []).append(entry)
    doc.setdefault("success_status_codes", []).append(status)
