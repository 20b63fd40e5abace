"""The OpenAPI document: made by flask-smorest from the schemas that validate, finished here, and shown at /docs."""

from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from flask import Blueprint, Flask, Response, current_app, redirect, send_from_directory
from werkzeug.routing import UnicodeConverter, ValidationError
from werkzeug.wrappers import Response as BaseResponse

from .extensions import api
from .ids import is_id

ASSETS = files("openapi_ui_bundles") / "swagger_ui" / "vendor"
bp = Blueprint("docs", __name__)
REFUSALS = {
    "400": "Malformed JSON",
    "401": "No, bad or ended token",
    "403": "Not allowed",
    "404": "Not there, or not yours to know of",
    "409": "The state forbids it",
    "412": "Stale `If-Match`",
    "413": "A body over 1 MiB",
    "415": "Not application/json",
    "422": "Validation: each field named",
    "429": "Too many requests",
    "500": "Our fault",
    "503": "Busy, or a part is down",
}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "A stable word to switch on"},
        "requestId": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        "current": {"type": "string", "description": "The state that forbids it"},
        "retryAfter": {"type": "integer", "description": "Seconds"},
    },
    "additionalProperties": False,
    "examples": [
        {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "Some fields are not valid.",
            "instance": "/api/tasks",
            "code": "invalid",
            "requestId": "b7c1",
            "errors": {"deadline": ["A date as YYYY-MM-DD."]},
        }
    ],
}


class IdConverter(UnicodeConverter):
    """An id in a path; anything else is a 404 before the route is reached."""

    def to_python(self, value: str) -> str:
        if not is_id(value.lower()):
            raise ValidationError
        return value.lower()


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = IdConverter
    app.register_blueprint(bp)
    api.init_app(app)
    api.register_converter(IdConverter, lambda _: {"type": "string", "format": "uuid"})
    api.spec.components.schema("Problem", PROBLEM)
    api.spec.components.security_scheme("token", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    # Ours stand in its place, with their status and content type.
    api.DEFAULT_ERROR_RESPONSE_NAME = None


def document(app: Flask) -> dict[str, Any]:
    """The whole document, with what no decorator says: refusals, headers, names of operations, who may call."""
    if "openapi" not in app.extensions:
        spec = orjson.loads(orjson.dumps(api.spec.to_dict()))
        views = {
            (str(rule), method): app.view_functions[rule.endpoint]
            for rule in app.url_map.iter_rules()
            for method in rule.methods or ()
        }
        for path, operations in spec["paths"].items():
            for method, operation in operations.items():
                if method != "parameters":
                    view = next(v for (rule, m), v in views.items() if m == method.upper() and _as_path(rule) == path)
                    _finish(operation, method, getattr(view, "_gate", {}), view.__name__)
        spec["security"] = [{"token": []}]
        app.extensions["openapi"] = spec
    found: dict[str, Any] = app.extensions["openapi"]
    return found


def _as_path(rule: str) -> str:
    return api.flask_plugin.flaskpath2openapi(rule)  # type: ignore[no-any-return]


def _finish(operation: dict[str, Any], method: str, gate: dict[str, Any], name: str) -> None:
    tag = operation["tags"][0]
    # PUT and PATCH are one route: the second name keeps operation ids unique.
    operation["operationId"] = f"{tag}_{name}" + ("_patch" if method == "patch" else "")
    if gate.get("public"):
        operation["security"] = []
    responses = operation.setdefault("responses", {})
    for status, words in REFUSALS.items():
        problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        responses[status] = {"description": words, "content": problem}
    parameters = operation.setdefault("parameters", [])
    if method == "get" and "200" in responses and "nextCursor" not in str(responses["200"].get("content", "")):
        responses["304"] = {"description": "You have this very answer (`If-None-Match`)"}
    if method == "post" and not gate.get("public") and tag != "auth":
        parameters.append(_header("Idempotency-Key", "Repeats answer the same and change nothing", 255))
    if method in ("put", "patch", "delete"):
        parameters.append(_header("If-Match", "The `ETag` of what you read; 412 when it changed since", 1000))


def _header(name: str, words: str, most: int) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": most}
    return {"in": "header", "name": name, "description": words, "required": False, "schema": schema}


@bp.get("/api/openapi.json")
def openapi_json() -> Response:
    return Response(orjson.dumps(document(current_app)), content_type="application/json")


@bp.get("/docs")
def docs() -> BaseResponse:
    return redirect("/docs/", 308)


@bp.get("/docs/")
def page() -> Response:
    return Response(PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": CSP})


@bp.get("/docs/<path:name>")
def asset(name: str) -> BaseResponse:
    if name == "start.js":
        return Response(START, content_type="text/javascript; charset=utf-8")
    return send_from_directory(_folder(), name, max_age=86_400)


@cache
def _folder() -> str:
    return str(ASSETS)


CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Idyll API</title>
  <link rel="icon" href="favicon-32x32.png">
  <link rel="stylesheet" href="swagger-ui.css">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="swagger-ui-bundle.js"></script>
  <script src="start.js"></script>
</body>
</html>
"""
# A file of its own: the page's content security policy lets no script stand in it.
START = """SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
});
"""
