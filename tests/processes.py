"""Two processes of one agency behind nginx, with or without a Redis between them."""

from dataclasses import dataclass
from typing import Self

from conftest import People, empty_tables
from flask import Flask
from live import Live, environment
from proxies import OwnRedis, RunningProxy, start_nginx
from servers import RunningApp, start_app
from sockets import Clients


@dataclass
class Processes:
    """What runs for a whole module; `Two` are the people of one test who use it."""

    inside: Flask
    redis: OwnRedis | None
    apps: list[RunningApp]
    nginx: RunningProxy

    @classmethod
    def start(cls, inside: Flask, *, redis: bool, standby: bool = False, **env: str) -> Self:
        """With `standby` the second is asked only when the first is away, and so long polling works too."""
        own = OwnRedis() if redis else None
        settings = environment(inside, **({"REDIS_URL": own.url} if own else {}), **env)
        apps = [start_app(settings) for _ in range(2)]
        nginx = start_nginx([app.port for app in apps], websocket_only=not standby, standby=standby)
        return cls(inside, own, apps, nginx)

    def stop(self) -> None:
        self.nginx.stop()
        for app in self.apps:
            app.stop()
        if self.redis:
            self.redis.stop()


class Two:
    """The agency at its first process, at its second, and at nginx, which asks them by turns."""

    def __init__(self, processes: Processes, clients: Clients) -> None:
        with processes.inside.app_context():
            empty_tables(while_running=True)
        self.processes = processes
        self.inside = processes.inside
        self.people = People(self.inside)
        self.a, self.b = (Live(self.inside, app, app.url, clients, self.people) for app in processes.apps)
        self.front = self.a.at(processes.nginx.url)

    @property
    def redis(self) -> OwnRedis:
        assert self.processes.redis
        return self.processes.redis
