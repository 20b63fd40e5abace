"""Error reports to Sentry, where `SENTRY_DSN` is set: what went wrong on our side, without what people sent."""

from typing import Any

import sentry_sdk
from flask import Flask
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.transport import Transport

ID_LENGTH = 36  # a longer part of a path is a token, as in /api/applications/status/<token>


def init_app(app: Flask, transport: type[Transport] | None = None) -> None:
    """Reports what is logged as an error; `transport` is for whoever wants to look at the reports themselves."""
    sentry_sdk.init(
        app.config["SENTRY_DSN"],
        environment=app.config["APP_ENV"],
        transport=transport,
        before_send=_without_secrets,
        # Those that it finds by itself load each library that they know, used or not.
        auto_enabling_integrations=False,
        integrations=[FlaskIntegration()],
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
    )


def _without_secrets(event: Any, _: dict[str, Any]) -> Any:
    """Of the request only its method and path, and of that no token."""
    if request := event.get("request"):
        parts = str(request.get("url", "")).partition("?")[0].split("/")
        url = "/".join(part if len(part) <= ID_LENGTH else "..." for part in parts)
        event["request"] = {"method": request.get("method"), "url": url}
    return event
