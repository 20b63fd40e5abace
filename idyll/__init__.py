"""The backend of Idyll Productions. `create_app` puts it together; docs/architecture.md is the map."""

import logging
from importlib import import_module
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from . import sparing  # noqa: F401 - before all that would load more

# isort: split
from . import blueprints, database, docs, errors, headers, health, limits, openapi, shared, sockets
from .applications.routes import bp as applications
from .audit.routes import bp as audit
from .auth.routes import bp as auth
from .chat import sockets as chat_sockets  # noqa: F401 - its handlers register themselves
from .chat.routes import bp as chat
from .concurrency import patched
from .events.routes import bp as events
from .extensions import api, db, jwt
from .live import door
from .meetings.routes import bp as meetings
from .notifications.routes import bp as notifications
from .payouts.routes import bp as payouts
from .stats.routes import bp as stats
from .tasks.routes import bp as tasks
from .users.routes import bp as users

RESOURCES: list[blueprints.Blueprint] = [
    auth,
    users,
    applications,
    tasks,
    meetings,
    payouts,
    chat,
    notifications,
    stats,
    audit,
    events,
]


class NoSessions(SessionInterface):
    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask calls it so
        return NullSession()


class Application(Flask):
    """Flask without what this API never uses and every request pays for: coroutines, cookie sessions, and routes that
    depend on the Host, which is whatever the client says."""

    session_interface = NoSessions()
    ensure_sync = staticmethod(lambda view: view)  # type: ignore[assignment]  # every view is a plain function

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        # Of a call of Socket.IO nothing is routed: its context is made anew for each event.
        if request is None or request.path.rstrip("/") in door.PATHS:
            return None
        root, query = f"{request.root_path}/", request.query_string.decode("latin-1")
        return MapAdapter(self.url_map, "", root, "", request.scheme, request.path, request.method, query)


def create_app(config: dict[str, Any]) -> Flask:
    """The application; `config` comes from config.load()."""
    app = Application(__name__, static_folder=None)
    app.config.update(config)
    app.url_map.merge_slashes = False  # its redirect would name the Host that the client sent
    logging.basicConfig(level=config["LOG_LEVEL"].upper(), format="%(levelname)s %(name)s: %(message)s")
    # Alembic tells of each plugin it loads, SQLAlchemy's pool of each connection it renews.
    for chatty in ("alembic", "idyll.pool"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    db.init_app(app)
    jwt.init_app(app)
    # The door before the headers: what a proxy says of the caller holds for sockets too.
    for part in (database, shared, door, sockets, headers, limits, health, openapi, docs):
        part.init_app(app)
    # Loaded for whom they are: few send reports, and a server takes no commands, whose Alembic is slow to load.
    for name, wanted in (("reports", config["SENTRY_DSN"]), ("cli", not patched())):
        if wanted:
            import_module(f".{name}", __name__).init_app(app)
    errors.init_app(app)
    for resource in RESOURCES:
        api.register_blueprint(resource, url_prefix=f"/api/{resource.name}")
    return app
