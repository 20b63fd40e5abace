"""What was sent, read strictly: bodies, queries, and whatever a route does not take."""

from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser

from . import idempotency, strict_json
from .errors import Errors, Invalid, UnsupportedMediaType, flat
from .scope import this_request

MAX_KEPT_QUERY, MAX_KEPT_QUERIES = 300, 2000
_queries: dict[tuple[Any, bytes], dict[str, Any]] = {}


class Parser(FlaskParser):
    """Bodies by strict_json; unknown query parameters are refused; faults become our `Invalid`."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {"json": None, "query": None}  # noqa: RUF012 - webargs' way

    def get_default_request(self) -> Request:
        return this_request()

    def parse(self, argmap: Any, *args: Any, **kwargs: Any) -> Any:
        """A query that was sent before in these very words means the same: clients ask for the same few lists."""
        sent = this_request().query_string
        if kwargs.get("location") != "query" or len(sent) > MAX_KEPT_QUERY:
            return super().parse(argmap, *args, **kwargs)
        if (known := _queries.get((argmap, sent))) is None:
            if len(_queries) >= MAX_KEPT_QUERIES:
                _queries.clear()
            known = _queries[argmap, sent] = super().parse(argmap, *args, **kwargs)
        return dict(known)

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 - webargs calls it so
        body = idempotency.sent_body()
        if not body:
            return {}
        if req.mimetype != "application/json":
            raise UnsupportedMediaType
        return strict_json.loads(body)

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:
        [messages] = error.messages_dict.values()
        raise Invalid(errors=flat(messages))


def refuse_unknown(takes: frozenset[str]) -> None:
    """What a route without a query or a body gets of one all the same, and a query parameter that comes twice."""
    errors: Errors = {}
    request = this_request()
    if request.query_string:
        for name, values in request.args.lists():
            if "query" not in takes:
                errors[name] = ["Unknown field."]
            elif len(values) > 1:
                errors[name] = ["Sent more than once."]
    # Some clients send their refresh token along when they log out; it does no harm.
    if "json" not in takes and request.blueprint != "auth" and (body := idempotency.sent_body()):
        sent = strict_json.loads(body)
        names = sent if isinstance(sent, dict) else ["body"]
        errors |= {name: ["Unknown field."] for name in names}
    if errors:
        raise Invalid(errors=errors)
