"""The OpenAPI document: made by flask-smorest from the schemas that validate, and finished here."""

import re
import threading
from http import HTTPStatus
from typing import Any

import marshmallow as ma
import orjson
from flask import Flask
from werkzeug.routing import BaseConverter

from .extensions import api
from .fields import CONTROL, CONTROL_BUT_LINES, Email, Id, Link, Since, Text, Username
from .ids import UUID
from .money import MAX_AMOUNT_MINOR, Amount
from .openapi_words import (
    ABOUT,
    ASKING,
    HEADERS,
    LIMITS,
    LOGIN,
    OF_BODIES,
    OF_CHANGES,
    PROBLEM,
    REFUSALS,
    TITLES,
)

OF_TEXTS = ("pattern", "format", "minLength", "maxLength")
LINK = r"^https?://[^\s/?#@]+([/?#].*)?$"


class IdConverter(BaseConverter):
    """An id in a path; anything else is a 404 before the route is reached.

    By the pattern, not by a ValidationError: where a path has several methods, that one would answer 405.
    """

    regex = "(?i:" + UUID.pattern.removesuffix(r"\Z") + ")"

    def to_python(self, value: str) -> str:
        return value.lower()


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = IdConverter
    api.init_app(app)
    api.register_converter(IdConverter, lambda _: {"type": "string", "format": "uuid"})
    api.ma_plugin.converter.add_attribute_function(said_of)
    api.spec.components.schema("Problem", PROBLEM)
    app.extensions["spec"] = api.spec
    token = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": LOGIN}
    api.spec.components.security_scheme("token", token)
    # Ours stand in its place, with their status and content type.
    api.DEFAULT_ERROR_RESPONSE_NAME = None


def said_of(_: Any, field: ma.fields.Field[Any], **kwargs: Any) -> dict[str, Any]:
    """What our fields take and give, where the plug-in can't see it."""
    said: dict[str, Any] = {}
    if isinstance(field, Amount):
        said = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_AMOUNT_MINOR // 100}
        said["description"] = "With two decimals at most"
    if isinstance(field, Id):
        said |= {"anyOf": [{"format": "uuid"}, {"maxLength": 0}]} if _clears(field) else {"format": "uuid"}
    if isinstance(field, Since):
        kwargs["ret"].pop("format", None)
        said["anyOf"] = [{"format": "date-time"}, {"format": "date"}]
    if isinstance(field, Text):
        said |= _text(field, kwargs["ret"])
    if isinstance(field, ma.fields.Date | ma.fields.DateTime) and _clears(field):
        kwargs["ret"].pop("format", None)
        kind = "date" if isinstance(field, ma.fields.Date) else "date-time"
        said["anyOf"] = [{"format": kind}, {"maxLength": 0}]
    if not said and "type" in kwargs["ret"] and isinstance(field.parent, ma.Schema) and _clears(field):
        return _or_empty(kwargs["ret"])
    return said


def _clears(field: ma.fields.Field[Any]) -> bool:
    """Whether "" is sent for null, as forms do."""
    return field.allow_none and not type(field.parent).__name__.endswith(("Out", "Event"))


def _or_empty(known: dict[str, Any]) -> dict[str, Any]:
    """The same beside an empty text."""
    if "enum" in known:
        known.pop("pattern", None)
        return {"enum": [*known["enum"], ""]}
    if "string" not in known["type"]:
        return {"type": [*known["type"], "string"], "maxLength": 0}
    form = {name: known.pop(name) for name in OF_TEXTS if name in known}
    return {"anyOf": [form, {"maxLength": 0}]} if form else {}


def _text(field: Text, known: dict[str, Any]) -> dict[str, Any]:
    """Which characters it takes, and that an optional one takes none: empty is null."""
    taken = "[^" + (CONTROL_BUT_LINES if field.lines else CONTROL).pattern[1:]
    if isinstance(field, Link):
        known.pop("format", None)
        return {"minLength": 0, "anyOf": [{"format": "uri", "pattern": LINK}, {"maxLength": 0}]}
    if isinstance(field, Email | Username):
        if field.allow_none:
            form = {name: known.pop(name) for name in ("format", "pattern") if name in known}
            return {"minLength": 0, "anyOf": [form, {"maxLength": 0}]}
        return {}
    if field.allow_none:
        return {"minLength": 0, "pattern": f"^{taken}*$"}
    return {"pattern": rf"^{taken}*[^\s{taken[2:]}{taken}*$"}


_describing = threading.Lock()


def document(app: Flask) -> dict[str, Any]:
    """The whole document, with what no decorator says: refusals, headers, names of operations, who may call."""
    with _describing:  # whoever asks for it at the same moment waits for it
        if "openapi" not in app.extensions:
            app.extensions["openapi"] = _described(app)
    found: dict[str, Any] = app.extensions["openapi"]
    return found


def _described(app: Flask) -> dict[str, Any]:
    for describe in app.extensions.pop("undescribed"):
        describe()
    spec: dict[str, Any] = orjson.loads(orjson.dumps(app.extensions["spec"].to_dict()))
    views = {
        (_as_path(str(rule)), method): app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, item in spec["paths"].items():
        for parameter in item.get("parameters", []):
            parameter["description"] = _in_words(parameter["name"])
        for method in item.keys() - {"parameters"}:
            view = views[path, method.upper()]
            _finish(item[method], path, method, getattr(view, "_gate", {}), view.__name__)
            _say_whether_it_must_be_sent(item[method].get("requestBody"), spec["components"]["schemas"])
        _guard(item, path, spec["paths"])
    spec["info"] |= {"description": ABOUT, "summary": "The API of Idyll Productions"}
    spec["servers"] = [{"url": "/", "description": "Wherever this document comes from"}]
    spec["security"] = [{"token": []}]
    _components(spec["components"])
    return spec


def _as_path(rule: str) -> str:
    return api.flask_plugin.flaskpath2openapi(rule)  # type: ignore[no-any-return]  # untyped library


def _in_words(name: str) -> str:
    """task_id: The task's id"""
    thing, _, what = name.rpartition("_")
    return f"The {thing}'s {what}" if thing else f"The {what}"


def _finish(operation: dict[str, Any], path: str, method: str, gate: dict[str, Any], name: str) -> None:
    tag = operation["tags"][0]
    # PUT and PATCH are one route: the second name keeps operation ids unique.
    operation["operationId"] = f"{tag}_{name}" + ("_patch" if method == "patch" else "")
    if gate.get("public"):
        operation["security"] = [{}, {"token": []}] if path.endswith("/refresh") else []
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        if parameter["name"] == "cursor":
            parameter["schema"] = {"type": "string"}
    limited = LIMITS if gate.get("limit") or not gate.get("public") else ()
    keyed = method == "post" and tag != "auth"
    if keyed:
        parameters.append(_asking("Idempotency-Key"))
    responses = operation.setdefault("responses", {})
    for status, response in responses.items():
        if status < "300":
            paged = "nextCursor" in str(response.get("content"))
            shown = ["Link"] if paged else ["ETag"] if method == "get" else ["Idempotency-Replayed"] if keyed else []
            response["headers"] = _headers("X-Request-Id", *limited, *shown)
            _csv(response)
    if method == "get" and "ETag" in responses["200"]["headers"]:
        parameters.append(_asking("If-None-Match"))
        same = _headers("X-Request-Id", *limited, "ETag")
        responses["304"] = {"description": "You have this very answer (`If-None-Match`)", "headers": same}
    for status in REFUSALS:
        bodiless = method == "get"  # a body that a route does not take is read, too: to refuse what it holds
        if status == "412" or (status in OF_BODIES and bodiless) or (status in OF_CHANGES and method == "get"):
            responses.pop(status, None)
        else:
            responses[status] = {"$ref": f"#/components/responses/{status}"}
    operation["responses"] = dict(sorted(responses.items()))


def _say_whether_it_must_be_sent(body: dict[str, Any] | None, schemas: dict[str, Any]) -> None:
    """No body is an empty one, which will do where no field is required."""
    if body is not None:
        name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        body["required"] = bool(schemas[name].get("required"))


def _guard(item: dict[str, Any], path: str, paths: dict[str, Any]) -> None:
    """`If-Match` on the changes of what a GET shows under its own address."""
    shown = re.sub(r"/(approve|reject)$", "", path)
    if "get" not in paths.get(shown, {}) or "nextCursor" in str(paths[shown]["get"]["responses"]["200"]):
        return
    for method in ("put", "patch", "delete"):
        if method in item:
            item[method]["parameters"].append(_asking("If-Match"))
            responses = {**item[method]["responses"], "412": {"$ref": "#/components/responses/412"}}
            item[method]["responses"] = dict(sorted(responses.items()))


def _refusal(status: str) -> dict[str, Any]:
    more = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}.get(status, ())
    problem = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {REFUSALS[status][1]: {"$ref": f"#/components/examples/{REFUSALS[status][1]}"}},
    }
    return {
        "description": REFUSALS[status][0],
        "headers": _headers("X-Request-Id", *LIMITS, *more),
        "content": {"application/problem+json": problem},
    }


def _csv(response: dict[str, Any]) -> None:
    content = response.get("content", {})
    if "text/csv" in content:
        response["headers"] |= _headers("Content-Disposition")
        names = list(content["application/json"]["example"]["data"][0])
        content["text/csv"]["example"] = ",".join(names) + "\r\n"


def _components(components: dict[str, Any]) -> None:
    components["responses"] = {status: _refusal(status) for status in REFUSALS}
    # flask-smorest's own, which nothing refers to.
    for name in ("Error", "PaginationMetadata"):
        components["schemas"].pop(name, None)
    components["headers"] = {
        name: {"description": words, "schema": {"type": kind}} for name, (kind, words) in HEADERS.items()
    }
    components["examples"] = {REFUSALS[status][1]: example_of(status) for status in REFUSALS}


def example_of(status: str) -> dict[str, Any]:
    """A refusal as the documents show it."""
    _, code, detail = REFUSALS[status]
    value: dict[str, Any] = {"type": "about:blank", "title": TITLES.get(status, HTTPStatus(int(status)).phrase)}
    value |= {"status": int(status), "detail": detail, "instance": "/api/tasks", "code": code, "requestId": "b7c1"}
    if status == "422":
        value["errors"] = {"deadline": ["A date as YYYY-MM-DD."]}
    if status in ("429", "503"):
        value["retryAfter"] = 2
    return {"summary": detail, "value": value}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _asking(name: str) -> dict[str, Any]:
    words, example = ASKING[name]
    schema: dict[str, Any] = {"type": "string"}
    if name == "Idempotency-Key":
        schema |= {"minLength": 1, "maxLength": 255, "pattern": "^[ -~]*[!-~][ -~]*$"}
    return {"in": "header", "name": name, "description": words, "required": False, "schema": schema, "example": example}
