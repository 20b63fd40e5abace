"""/healthz and /readyz: whether the process answers, and whether it can work."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest
import requests
from alembic.script import ScriptDirectory
from conftest import make_database, settings
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import downgrade, upgrade
from servers import RunningApp, start_app
from sqlalchemy import make_url

from idyll import create_app
from idyll.connections import IDLE_SECONDS
from idyll.extensions import db
from idyll.health import MIGRATIONS

NOBODY = "redis://127.0.0.1:1/0"
SECRETS = {
    "SECRET_KEY": "3a7f1c9e5b2d8046f1e3c5a79b0d2e4f6a8c",
    "JWT_SECRET_KEY": "9d4b2f7a6c1e8350b7d9f2a4c6e81b3d5f70",
}


class Road:
    """The way to a database server, which can be closed and opened again: a small TCP proxy."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.pairs: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._serve()

    def _serve(self) -> None:
        self.thread = threading.Thread(target=self._accept, args=(self.listener,), daemon=True)
        self.thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self.target)
                self.pairs += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The server is gone: open connections break, new ones are refused."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)
        for end in self.pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.pairs.clear()

    def open(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self._serve()


@pytest.fixture
def url(tmp_path: Path, worker_id: str) -> str:
    return make_database(f"idyll_health_{worker_id}", tmp_path)


@pytest.fixture
def migrated(url: str) -> Iterator[Flask]:
    made = create_app(settings(DATABASE_URL=url))
    with made.app_context():
        upgrade()
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def client(migrated: Flask) -> FlaskClient:
    return migrated.test_client()


@pytest.fixture
def road(url: str) -> Iterator[Road]:
    server = make_url(url)
    assert server.host
    assert server.port
    made = Road(server.host, server.port)
    yield made
    with suppress(OSError):
        made.close()


def by_the_road(url: str, road: Road) -> str:
    return make_url(url).set(port=road.port).render_as_string(hide_password=False)


def revise(app: Flask, revision: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")


def test_a_sound_instance_is_ready(client):
    healthy, ready = client.get("/healthz"), client.get("/readyz")
    assert (healthy.status_code, healthy.json) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json) == (200, {"status": "ok", "checks": {"database": "ok", "schema": "ok"}})
    assert ready.headers["Cache-Control"] == "no-store"


def test_a_schema_behind_the_code_is_not_ready_until_it_is_migrated(migrated, client):
    with migrated.app_context():
        downgrade(revision="-1")
    behind = client.get("/readyz")
    assert (behind.status_code, behind.json["status"]) == (503, "down")
    assert behind.json["checks"] == {"database": "ok", "schema": "down"}
    assert int(behind.headers["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200
    with migrated.app_context():
        upgrade()
    assert client.get("/readyz").json["status"] == "ok"


@pytest.mark.parametrize("revision", [s.revision for s in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][1:])
def test_every_older_schema_counts_as_behind(migrated, client, revision):
    revise(migrated, revision)
    assert client.get("/readyz").status_code == 503


def test_a_schema_ahead_of_the_code_is_degraded(migrated, client):
    """A new version migrates while the old one still serves."""
    revise(migrated, "9999")
    ahead = client.get("/readyz")
    assert (ahead.status_code, ahead.json["status"]) == (200, "degraded")
    assert ahead.json["checks"] == {"database": "ok", "schema": "ahead"}


def test_a_database_without_a_schema_is_not_ready(url):
    app = create_app(settings(DATABASE_URL=url))
    assert app.test_client().get("/readyz").status_code == 503
    with app.app_context():
        db.engine.dispose()


@pytest.mark.only_on("postgresql", "mariadb")
def test_redis_away_is_degraded(migrated, url):
    app = create_app(settings(DATABASE_URL=url, REDIS_URL=NOBODY))
    found = app.test_client().get("/readyz")
    assert (found.status_code, found.json["status"]) == (200, "degraded")
    assert found.json["checks"] == {"database": "ok", "schema": "ok", "redis": "away"}
    with app.app_context():
        db.engine.dispose()


@pytest.mark.only_on("postgresql", "mariadb")
def test_a_database_that_goes_and_comes_back(migrated, url, road):
    app = create_app(settings(DATABASE_URL=by_the_road(url, road)))
    client = app.test_client()
    assert client.get("/readyz").json["status"] == "ok"
    road.close()
    away = client.get("/readyz")
    assert (away.status_code, away.json) == (
        503,
        {"status": "down", "checks": {"database": "down", "schema": "unknown"}},
    )
    assert int(away.headers["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200
    road.open()
    assert client.get("/readyz").json["status"] == "ok"
    with app.app_context():
        db.engine.dispose()


# -- the same under the server of production -------------------------------------------------------------------------


@pytest.fixture
def running(migrated: Flask, url: str, road: Road) -> Iterator[RunningApp]:
    app = start_app({**SECRETS, "DATABASE_URL": by_the_road(url, road), "RATELIMIT_ENABLED": "off"})
    yield app
    app.stop()


def until(app: RunningApp, status: int, seconds: float = 15) -> requests.Response:
    deadline = monotonic() + seconds
    while True:
        answer = requests.get(f"{app.url}/readyz", timeout=10)
        if answer.status_code == status or monotonic() > deadline:
            return answer
        sleep(0.1)


@pytest.mark.only_on("postgresql")
def test_the_server_outlives_its_database(running, road):
    assert until(running, 200).json()["status"] == "ok"
    for _ in range(2):
        road.close()
        away = until(running, 503)
        assert away.json() == {"status": "down", "checks": {"database": "down", "schema": "unknown"}}
        assert requests.get(f"{running.url}/healthz", timeout=5).status_code == 200
        refused = requests.post(f"{running.url}/api/auth/login", json={"login": "a", "password": "b"}, timeout=10)
        assert refused.status_code == 503
        assert refused.json()["code"] == "unavailable"
        assert int(refused.headers["Retry-After"]) > 0
        road.open()
        assert until(running, 200).json()["status"] == "ok"
        answer = requests.post(f"{running.url}/api/auth/login", json={"login": "a", "password": "b"}, timeout=10)
        assert answer.status_code == 401


@pytest.mark.only_on("postgresql")
def test_a_database_that_accepts_and_stays_silent_is_down_and_hangs_nobody():
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"postgresql://idyll@127.0.0.1:{silent.getsockname()[1]}/idyll"
    app = start_app({**SECRETS, "DATABASE_URL": url})
    try:
        answer = requests.get(f"{app.url}/readyz", timeout=30)
        assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "down")
    finally:
        app.kill()
        silent.close()


@pytest.mark.only_on("postgresql")
def test_a_restarted_database_costs_no_request(app, api, owner):
    """Connections that lay idle over the restart are found dead before they are used."""
    with app.app_context():
        held = [db.engine.connect() for _ in range(5)]
        for connection in held:
            connection.close()
        with db.engine.connect() as connection:
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    sleep(IDLE_SECONDS + 0.1)
    assert [api.get("/api/auth/me", owner).status_code for _ in range(8)] == [200] * 8


@pytest.mark.only_on("postgresql")
def test_a_stop_needs_no_database(running, road):
    until(running, 200)
    road.close()
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()
