"""The documentation for people: /docs, which needs no internet, and the document that it shows."""

from importlib.resources import files

import orjson
from flask import Blueprint, Flask, Response, abort, current_app, redirect, send_from_directory
from werkzeug.wrappers import Response as BaseResponse

from .openapi import document

FOLDER = str(files("openapi_ui_bundles") / "swagger_ui" / "vendor")
# What the page names; the package's own page, which is served beside them otherwise, shows somebody else's API.
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
bp = Blueprint("docs", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)


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
    if name not in ASSETS:
        abort(404)
    return send_from_directory(FOLDER, name, max_age=86_400)


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
# A file of its own: the page's content security policy lets no script stand in it. `validatorUrl` would be a service
# on the internet, which is told the address of this one.
START = """SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
});
"""
