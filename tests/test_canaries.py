"""Whatever secret is sent, and however wrong: the server's log does not hold it, also when it says all that it can."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from conftest import PASSWORD, People, empty_tables
from driver import Driver, Refused
from flask import Flask
from live import Live, environment
from servers import start_app
from sockets import Clients

CANARY = "canary"
ODD = f"{CANARY}-in-a-path-that-is-longer-than-any-id-is"


@pytest.fixture(params=["debug", "info"])
def talkative(request: pytest.FixtureRequest, live_inside: Flask, driver: Driver, tmp_path: Path) -> Iterator[Live]:
    """A process that logs every request and, at one of both, all that its libraries have to say."""
    with live_inside.app_context():
        empty_tables()
    env = environment(live_inside, LOG_LEVEL=request.param, GUNICORN_CMD_ARGS="--access-logfile -")
    running = start_app(env)
    with Clients(driver) as clients:
        yield Live(live_inside, running, running.url, clients, People(live_inside))
    running.stop()


def raw(port: int, request: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(request.encode())
        sock.settimeout(2)
        try:
            while sock.recv(65536):
                pass
        except TimeoutError:
            pass


def test_no_secret_that_was_sent_is_in_the_log(talkative: Live) -> None:
    owner = talkative.people.owner()
    url, api = talkative.url, talkative.api
    known: dict[str, str] = {"access": owner.token, "refresh": owner.refresh_token, "password": PASSWORD}

    # What the server itself makes and answers.
    filed = api.post("/api/applications", json={"fullName": "N", "email": "n@example.com", "message": f"{CANARY} text"})
    known["status token"] = filed.json["statusToken"]
    made = api.post("/api/users", owner, {"email": "new@example.com", "displayName": "New"}).json
    known["invite"] = made["invite"]["url"].partition("token=")[2]
    known["login"] = api.post("/api/auth/login", json={"login": owner.email, "password": PASSWORD}).json["refreshToken"]

    # In paths, queries, headers and bodies; on routes that are there and that are not; well-formed and not.
    places = [
        f"/api/applications/status/{known['status token']}",
        f"/api/applications/status/{ODD}",
        f"/api/tasks/{ODD}",
        f"/{ODD}/{ODD}?token={CANARY}-query",
        f"/api/tasks?access_token={CANARY}-query&q={CANARY}",
        f"/set-password?token={known['invite']}",
        f"/socket.io/?EIO=4&transport=polling&token={CANARY}-query",
        f"/ws/chat?token={known['access']}",
    ]
    headers = {
        "Authorization": f"Bearer {CANARY}.bearer.token",
        "Cookie": f"session={CANARY}-cookie",
        "Idempotency-Key": f"{CANARY}-key",
        "If-Match": f'"{CANARY}"',
        "Origin": "https://elsewhere.example.com",
        "Referer": f"https://app.example.com/?token={CANARY}-referer",
        "X-Forwarded-For": f"{CANARY}-address",
        "User-Agent": f"{CANARY}-agent",
    }
    for place in places:
        for method in ("GET", "POST", "PUT", "OPTIONS"):
            requests.request(method, url + place, headers=headers, json={"password": f"{CANARY}-body"}, timeout=10)
            requests.request(method, url + place, headers={"Authorization": f"Bearer {owner.token}"}, timeout=10)
    bodies = (
        {"login": owner.email, "password": f"{CANARY}-password"},
        {"refreshToken": f"{CANARY}-refresh"},
        {"token": f"{CANARY}-reset", "password": f"{CANARY}-password"},
        {"email": f"{CANARY}@example.com", "username": CANARY, "password": f"{CANARY}-password"},
    )
    for path in ("login", "refresh", "password/reset", "password/forgot", "register"):
        for body in bodies:
            requests.post(f"{url}/api/auth/{path}", json=body, timeout=10)
        requests.post(f"{url}/api/auth/{path}", data=f'{{"password": "{CANARY}-broken', timeout=10)
    requests.post(f"{url}/api/auth/refresh", headers={"Authorization": f"Bearer {known['login']}"}, timeout=10)
    api.post("/api/auth/password/reset", json={"token": known["invite"], "password": f"{CANARY}-new-password"})
    api.post("/api/chat/messages", owner, {"message": f"{CANARY} said"})

    # What gunicorn refuses by itself.
    port = talkative.app.port
    raw(port, f"GET /?token={CANARY} HTTP/9.9\r\nHost: x\r\n\r\n")
    raw(port, f"GET /{CANARY} HTTP/1.1\r\nHost: x\r\nX: {CANARY}\x01\r\n\r\n")
    raw(port, f"POST / HTTP/1.1\r\nHost: x,{CANARY}\r\nTransfer-Encoding: {CANARY}\r\n\r\n")
    raw(port, f"{CANARY} nonsense\r\n\r\n")

    # By sockets.
    with pytest.raises(Refused):
        talkative.connect(f"{CANARY}.socket.token")
    client = talkative.connect(owner)
    client.emit("send_message", {"message": f"{CANARY} said", "clientId": f"{CANARY}-id"})
    client.emit("authenticate", {"token": f"{CANARY}-token"})
    client.emit("sync", {"since": CANARY})
    client.emit(f"{CANARY}_event", {CANARY: CANARY}, ack=False)
    assert api.get("/api/auth/me", owner).status_code == 200

    log = talkative.app.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert len(lines) > len(places) * 8, "the log is on"
    assert {"GET", "POST", "PUT"} <= {line["method"] for line in lines}
    assert [line for line in log.splitlines() if CANARY in line] == []
    assert {name for name, secret in known.items() if secret in log} == set()
    # Nor a piece of SQL with its values, nor a traceback, which would show them.
    assert not re.search(r"Traceback|INSERT INTO|SELECT .* FROM", log)
