"""Around every answer, whoever gives it: the request's id, what stands on all of them, origins, and the way to https.

A WSGI layer rather than Flask's hooks: it also covers what never reaches Flask, and costs a fraction of them.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from flask import Flask
from flask_cors.core import get_cors_headers, get_cors_options
from werkzeug.datastructures import Headers
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from .scope import here, this_request

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
PROBES = ("/healthz", "/readyz")
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO")
YEAR = 365 * 24 * 3600
ASKED = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-Id"]
SHOWN = ["ETag", "Link", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-Id"]
PREFLIGHT_SECONDS = 600
StartResponse = Callable[..., Any]
Pairs = list[tuple[str, str]]


def init_app(app: Flask) -> None:
    app.before_request(_remember)
    # For what the server answers itself, too.
    app.extensions["stamps"] = _stamps(app.config)
    app.wsgi_app = Envelope(app)  # type: ignore[method-assign]  # Flask's way
    if hops := app.config["TRUSTED_PROXIES"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=1, x_host=0)  # type: ignore[method-assign]  # as above


def _remember() -> None:
    here().request_id = this_request().environ["idyll.request_id"]


def is_allowed(rules: Iterable[str | re.Pattern[str]], origin: str | None) -> bool:
    """Whether a browser's page may read what we say, over REST and sockets alike; without an origin there is none.

    Exactly as browsers write it: the libraries' own rules differ, in case too.
    """
    if origin is None:
        return False
    return any(rule == origin if isinstance(rule, str) else rule.match(origin) for rule in rules)


class Envelope:
    def __init__(self, app: Flask) -> None:
        self.app = app
        self.inner = app.wsgi_app
        self.stamps: Pairs = app.extensions["stamps"]
        rules = app.config["CORS_ORIGINS"]
        options = get_cors_options(
            app,
            {
                "origins": rules,
                "allow_headers": ASKED,
                "expose_headers": [*SHOWN, "Idempotency-Replayed"],
                "always_send": False,
                "max_age": PREFLIGHT_SECONDS,
            },
        )

        # The same few origins come again and again, and the answer depends on nothing else.
        @lru_cache(maxsize=256)
        def cors(origin: str, method: str, wanted_method: str, wanted_headers: str) -> Pairs:
            if not is_allowed(rules, origin):
                return []
            asked = {"Origin": origin, "Access-Control-Request-Method": wanted_method}
            asked["Access-Control-Request-Headers"] = wanted_headers
            found = get_cors_headers(options, Headers(asked), method).items()
            return [(name, str(value)) for name, value in found if name != "Vary"]

        self.cors = cors

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        asked = environ.get("HTTP_X_REQUEST_ID", "")
        identifier = environ["idyll.request_id"] = asked if REQUEST_ID.match(asked) else os.urandom(16).hex()

        def start(status: str, headers: Pairs, *rest: Any) -> Any:
            return start_response(status, self._all(environ, headers, identifier), *rest)

        if (answer := self._short_cut(environ)) is not None:
            return answer(environ, start)
        inner: Iterable[bytes] = self.inner(environ, start)
        return inner

    def _all(self, environ: dict[str, Any], headers: Pairs, identifier: str) -> Pairs:
        names = {name.lower() for name, _ in headers}
        more = [("X-Request-Id", identifier), *[pair for pair in self.stamps if pair[0].lower() not in names]]
        if (figures := environ.get("idyll.rate_limit")) is not None:
            names_of = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
            more += [(name, str(figure)) for name, figure in zip(names_of, figures, strict=True)]
        if "vary" not in names:
            more.append(("Vary", "Origin"))
        if "access-control-allow-origin" not in names:
            more += self._cors_of(environ)
        return headers + more

    def _cors_of(self, environ: dict[str, Any]) -> Pairs:
        wanted = ""
        if environ["REQUEST_METHOD"] == "OPTIONS":
            wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "")
        headers = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "") if wanted else ""
        method = "OPTIONS" if wanted else "GET"
        return self.cors(environ.get("HTTP_ORIGIN", ""), method, wanted, headers)

    def _short_cut(self, environ: dict[str, Any]) -> Response | None:
        config = self.app.config
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            return Response()  # a preflight, also for an address that isn't there: the request itself says so
        if config["APP_ENV"] != "production":
            return None
        if not config["TRUSTED_PROXIES_SET"] and any(name in environ for name in FORWARDED):
            config["TRUSTED_PROXIES_SET"] = True  # said once
            log.warning("a proxy is in front, but TRUSTED_PROXIES is not set: all callers count as the proxy's address")
        return to_https(config, environ)


def to_https(config: Mapping[str, Any], environ: dict[str, Any]) -> Response | None:
    """The way on for a caller of whom a trusted proxy says that they came without TLS."""
    forwarded = config["TRUSTED_PROXIES"] and environ.get("HTTP_X_FORWARDED_PROTO")
    plain = forwarded and environ["wsgi.url_scheme"] == "http" and environ["PATH_INFO"] not in PROBES
    if not config["FORCE_HTTPS"] or not plain:
        return None
    return redirect(Request(environ).url.replace("http://", "https://", 1), 308)


def _stamps(config: Mapping[str, Any]) -> Pairs:
    """What stands on every answer, unless the answer says otherwise."""
    same = [
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
    ]
    if config["APP_ENV"] == "production":
        same.append(("Strict-Transport-Security", f"max-age={YEAR}; includeSubDomains"))
    return same
