"""The documentation for people: /docs, which needs no internet, and the documents that it shows."""

from importlib.resources import files
from pathlib import Path

import orjson
from flask import Blueprint, Flask, Response, abort, redirect, render_template, send_from_directory
from werkzeug.wrappers import Response as BaseResponse

from . import asyncapi, docs_events, openapi
from .scope import this_app

TEMPLATES = Path(__file__).parent / "templates"
SWAGGER = str(files("openapi_ui_bundles") / "swagger_ui" / "vendor")
# What the pages name; the package's own page, which is served beside them otherwise, shows somebody else's API.
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
OURS = {"docs.css": "text/css", "events.css": "text/css", "start.js": "text/javascript"}
CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
bp = Blueprint("docs", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)


@bp.get("/api/openapi.json")
def openapi_json() -> Response:
    return Response(orjson.dumps(openapi.document(this_app())), content_type="application/json")


@bp.get("/api/asyncapi.json")
def asyncapi_json() -> Response:
    return Response(orjson.dumps(asyncapi.document(this_app())), content_type="application/json")


@bp.get("/docs")
def docs() -> BaseResponse:
    return redirect("/docs/", 308)


@bp.get("/docs/")
def page() -> Response:
    return _html(render_template("rest.html"))


@bp.get("/docs/events")
def events() -> Response:
    return _html(docs_events.page(asyncapi.document(this_app())))


def _html(text: str) -> Response:
    return Response(text, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": CSP})


@bp.get("/docs/<path:name>")
def asset(name: str) -> BaseResponse:
    if name in OURS:
        text = (TEMPLATES / name).read_text()
        return Response(text, content_type=f"{OURS[name]}; charset=utf-8")
    if name not in ASSETS:
        abort(404)
    return send_from_directory(SWAGGER, name, max_age=86_400)
