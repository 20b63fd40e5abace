"""The application as it runs: its own process, real requests and the official Socket.IO client."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import Api, People, Someone, empty_tables, make_database, settings
from driver import Driver
from flask import Flask
from flask_migrate import upgrade
from servers import RunningApp, start_app
from sockets import Client, Clients
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse

from idyll import create_app

NOT_OF_THE_CONTENT = ("content-encoding", "content-length", "transfer-encoding")


class Wire:
    """Sends what a FlaskClient would, over the network. Threads may share it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, path: str, method: str, **kwargs: Any) -> TestResponse:
        query = kwargs.pop("query_string", None)
        answer = requests.request(method, self.url + path, params=query, timeout=60, allow_redirects=False, **kwargs)
        headers = Headers([(k, v) for k, v in answer.headers.items() if k.lower() not in NOT_OF_THE_CONTENT])
        asked = EnvironBuilder(path=path, method=method, query_string=query).get_request()
        return TestResponse([answer.content], f"{answer.status_code} {answer.reason}", headers, asked)


class LiveApi(Api):
    """The same calls and checks as `api`, on the running application."""

    def __init__(self, app: Flask, url: str) -> None:
        self.app = app
        self.client = Wire(url)


@dataclass
class Live:
    """One address of the running agency, and the people who use it."""

    inside: Flask
    app: RunningApp
    url: str
    clients: Clients
    people: People
    started: list[RunningApp] = field(default_factory=list)

    @cached_property
    def api(self) -> LiveApi:
        return LiveApi(self.inside, self.url)

    def connect(self, who: Someone | str | None = None, **options: Any) -> Client:
        """A person's client, or that of a token. The options are those of `Clients.open`."""
        token = who.token if isinstance(who, Someone) else who
        label = who.name if isinstance(who, Someone) else ""
        return self.clients.open(self.url, token, **{"label": label, **options})

    def at(self, url: str) -> "Live":
        """The same agency at another address, as that of nginx."""
        return replace(self, url=url)

    def start(self, **env: str) -> "Live":
        """One more process of the same agency, with settings of its own, until the end of the test."""
        running = start_app(environment(self.inside, **env))
        self.started.append(running)
        return replace(self, app=running, url=running.url)


def make_inside(name: str, folder: Path) -> Flask:
    """The application in this process on a new, migrated database, to make people and to look at rows."""
    made = create_app(settings(DATABASE_URL=make_database(name, folder)))
    with made.app_context():
        upgrade()
    return made


def environment(inside: Flask, **more: str) -> dict[str, str]:
    """What a process of the same agency is started with."""
    return {
        "DATABASE_URL": inside.config["SQLALCHEMY_DATABASE_URI"],
        **{name: inside.config[name] for name in ("SECRET_KEY", "JWT_SECRET_KEY")},
        "RATELIMIT_ENABLED": "off",
        **more,
    }


@pytest.fixture(scope="session")
def live_inside(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Flask:
    return make_inside(f"idyll_live_{worker_id}", tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="session")
def live_app(live_inside: Flask) -> Iterator[RunningApp]:
    """The command of the Procfile on a database of its own, for all tests that leave it as it is."""
    running = start_app(environment(live_inside))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.end()


@pytest.fixture
def clients(driver: Driver) -> Iterator[Clients]:
    with Clients(driver) as clients:
        yield clients


@pytest.fixture
def live(live_inside: Flask, live_app: RunningApp, clients: Clients) -> Iterator[Live]:
    """The running agency, with nobody in it yet."""
    with live_inside.app_context():
        empty_tables(while_running=True)
    live = Live(live_inside, live_app, live_app.url, clients, People(live_inside))
    yield live
    clients.close()
    # All at once, and not killed: whoever goes properly is no instance any more for the next test.
    for running in live.started:
        running.process.terminate()
    for running in live.started:
        running.stop()
