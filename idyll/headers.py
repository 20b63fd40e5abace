"""What stands on every answer, and the way from http to https."""

import logging
import re
import secrets
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, current_app, g, redirect, request
from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Request as BaseRequest
from werkzeug.wrappers import Response as BaseResponse

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
PROBES = ("/healthz", "/readyz")
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto")
YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)
    if hops := app.config["TRUSTED_PROXIES"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=1, x_host=0)  # type: ignore[method-assign]  # Flask's way


def request_id(headers: Headers | EnvironHeaders) -> str:
    """The caller's, if it is one, or a new one."""
    asked = headers.get("X-Request-Id", "")
    return asked if REQUEST_ID.match(asked) else secrets.token_hex(16)


def to_https(config: Mapping[str, Any], request: BaseRequest) -> BaseResponse | None:
    """The way on for a caller of whom a trusted proxy says that they came without TLS."""
    if config["APP_ENV"] != "production":
        return None
    forwarded = config["TRUSTED_PROXIES"] and request.headers.get("X-Forwarded-Proto")
    if config["FORCE_HTTPS"] and forwarded and request.scheme == "http" and request.path not in PROBES:
        return redirect(request.url.replace("http://", "https://", 1), 308)
    return None


def stamps(config: Mapping[str, Any]) -> dict[str, str]:
    """What stands on every answer, unless the answer says otherwise."""
    same = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
    if config["APP_ENV"] == "production":
        same["Strict-Transport-Security"] = f"max-age={YEAR}; includeSubDomains"
    return same


def _begin() -> BaseResponse | None:
    g.request_id = request_id(request.headers)
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return Response()  # a preflight, also for an address that isn't there: the request itself says so
    config = current_app.config
    unsaid = config["APP_ENV"] == "production" and not config["TRUSTED_PROXIES_SET"]
    if unsaid and any(name in request.headers for name in FORWARDED):
        config["TRUSTED_PROXIES_SET"] = True  # said once
        log.warning("a proxy is in front, but TRUSTED_PROXIES is not set: every caller counts as the proxy's address")
    return to_https(config, request)


def _finish(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = g.request_id
    if (figures := g.get("rate_limit")) is not None:
        limit, remaining, reset = figures
        headers["RateLimit-Limit"] = str(limit)
        headers["RateLimit-Remaining"] = str(remaining)
        headers["RateLimit-Reset"] = str(reset)
    if "ETag" in headers:
        # Kept by the client, but asked for again each time: an ETag answers 304.
        headers.setdefault("Cache-Control", "private, no-cache")
    for name, value in stamps(current_app.config).items():
        headers.setdefault(name, value)
    return response
