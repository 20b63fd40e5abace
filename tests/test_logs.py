"""Nothing secret stands in what the server writes, however much it is asked to write: planted and searched for."""

import base64
import json
import re
import socket
from collections.abc import Iterator
from itertools import count

import pytest
import requests
from conftest import PASSWORD, People, Someone
from live import Live, make_inside
from servers import start_app
from sockets import Clients, Refused

from idyll.auth.models import Session
from idyll.extensions import db

pytestmark = pytest.mark.only_on("sqlite", "postgresql")

NUMBERS = count(1)
BROKEN = ("{}", "[]", '{"password": "%s"', '{"password": "%s", "password": 1}', '{"token": "%s", "n": NaN}', '"%s"')


class Planted:
    """Words that must never be written; each is new, so that a find says where it came from."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def __call__(self, where: str, length: int = 40) -> str:
        word = (f"canary{next(NUMBERS):04}" + "Zq7x" * length)[:length]
        self.words[word] = where
        return word

    def keep(self, where: str, word: str) -> str:
        self.words[word] = where
        return word

    def found_in(self, written: str) -> list[str]:
        forms = {form: where for word, where in self.words.items() for form in (word, *self._encoded(word))}
        return sorted({where for form, where in forms.items() if form in written})

    def _encoded(self, word: str) -> list[str]:
        return [base64.b64encode(f"{prefix}{word}".encode()).decode()[8:-8] for prefix in ("", "a:", "ab:")]


@pytest.fixture
def talkative(tmp_path, worker_id, clients: Clients) -> Iterator[Live]:
    """A server that writes all that it can."""
    inside = make_inside(f"idyll_logs_{worker_id}_{next(NUMBERS)}", tmp_path)
    # Its HTTP limits are on: what they refuse is not to be written either.
    secrets = {name: inside.config[name] for name in ("SECRET_KEY", "JWT_SECRET_KEY")}
    running = start_app(
        {
            "DATABASE_URL": inside.config["SQLALCHEMY_DATABASE_URI"],
            "LOG_LEVEL": "debug",
            "GUNICORN_CMD_ARGS": "--access-logfile - --log-level debug --capture-output",
            "PUBLIC_WRITE_LIMIT_PER_MINUTE": "1000",
            "LOGIN_LIMIT_PER_MINUTE": "1000",
            **secrets,
        }
    )
    yield Live(inside, running, running.url, clients, People(inside))
    running.stop()


def in_bodies(url: str, planted: Planted, editor: Someone, owner: Someone, refresh: str) -> None:
    def post(path: str, by: str | None = None, **body: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {by}"} if by else {}
        return requests.post(f"{url}/api/{path}", json=body, headers=headers, timeout=30)

    post("auth/login", login=editor.email, password=planted("a wrong password"))
    post("auth/login", login=planted("a password typed as a name"), password=planted("a password of nobody"))
    post("auth/login", login=editor.email, password=PASSWORD, code=planted("a code"))
    post("auth/login", login=editor.email, password=planted("a password too long", 2000))
    name = planted("a registered password")
    made = post("auth/register", email="new@example.com", username="newcomer", password=name)
    assert made.status_code == 201
    planted.keep("an access token given", made.json()["accessToken"])
    planted.keep("a refresh token given", made.json()["refreshToken"])
    assert post("auth/refresh", refreshToken=refresh).status_code == 200
    post("auth/refresh", refreshToken=planted("a false refresh token"))
    post("auth/refresh", planted("a false refresh token as bearer"))
    post("auth/password/reset", token=planted("a false reset token"), password=planted("a new password"))
    link = post(f"users/{editor.id}/invite", owner.token).json()["invite"]["url"]
    token = planted.keep("a token of an invite", link.partition("token=")[2])
    assert post("auth/password/reset", token=token, password=planted("a password that was set")).status_code == 204
    post("auth/password/reset", token=token, password=planted("a password set with a used link"))
    post("users", owner.token, email="p@example.com", displayName="P", password=planted("a colleague's password"))
    post("users", owner.token, email="p@example.com", displayName="P", password=planted("a password beside a 409"))
    post("tasks", owner.token, name="Film", deadline="2031-01-01", secret=planted("an unknown field"))
    for n, text in enumerate(BROKEN):
        body = text % planted(f"malformed JSON {n}") if "%" in text else text
        headers = {"Content-Type": "application/json"}
        requests.post(f"{url}/api/auth/login", data=body, headers=headers, timeout=30)


def in_addresses(url: str, planted: Planted, owner: Someone) -> None:
    applied = requests.post(
        f"{url}/api/applications", json={"fullName": "A", "email": "a@example.com"}, timeout=30
    ).json()
    token = planted.keep("a status token", applied["statusToken"])
    for address in (
        f"/api/applications/status/{token}",
        f"/api/applications/status/{token}?x=1",
        f"/api/applications/status/{token}/more",
        f"/api/applications/status/{planted('a false status token', 43)}",
        f"//api/applications/status/{token}",
        f"/set-password?token={planted('a link opened at the API')}",
        f"/set-password/{planted('a token as a path')}",
        f"/api/tasks?access_token={owner.token}",
        f"/api/tasks?q={planted('a search')}",
        f"/api/tasks?{planted('a name in a query')}=1",
        f"/api/tasks?cursor={planted('a cursor')}",
        f"/healthz?jwt={planted('a query of a probe')}",
        f"/socket.io/?EIO=4&transport=polling&token={planted('a query of a socket')}",
        f"/socket.io/?EIO=4&transport=polling&sid={planted('a false sid')}",
        f"/api/auth/{planted('a path below auth')}",
        f"/api/users/{owner.id}{planted('a path that is no id')}",
    ):
        for method in ("GET", "POST", "DELETE"):
            headers = {"Authorization": f"Bearer {owner.token}"}
            requests.request(method, url + address, headers=headers, timeout=30, allow_redirects=False)


def in_headers(url: str, port: int, planted: Planted, owner: Someone) -> None:
    fit = {"Authorization": f"Bearer {owner.token}"}
    basic = base64.b64encode(f"a:{planted('a basic password')}".encode()).decode()
    for headers in (
        {"Authorization": f"Bearer {planted('a bearer')}"},
        {"Authorization": f"Basic {basic}"},
        {"Authorization": planted("a header without a scheme")},
        {"Cookie": f"session={planted('a cookie')}"},
        fit | {"X-Api-Key": planted("another header")},
        fit | {"If-None-Match": planted("a tag")},
        fit | {"Referer": f"https://app.example.com/set-password?token={planted('a referer')}"},
        fit | {"User-Agent": planted("an agent")},
        fit | {"Origin": f"https://{planted('an origin')}.example.com"},
    ):
        requests.get(f"{url}/api/auth/me", headers=headers, timeout=30)
        requests.get(f"{url}/api/none", headers=headers, timeout=30)
    key = {"Idempotency-Key": planted("a key")}
    requests.post(f"{url}/api/tasks", json={}, headers=fit | key, timeout=30)
    for raw in (
        f"GET /{planted('a target of HTTP that is malformed')} HTTP/1.1\r\nHost: a,b\r\n\r\n",
        f"GET /?a={planted('a query of HTTP that is malformed')} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {planted('a malformed header')}\x01\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\n{planted('a line that is no header')}\r\n\r\n",
        f"{planted('a line that is no request')}\r\n\r\n",
        f"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n{planted('a body cut short')}",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
            wire.sendall(raw.encode("latin-1"))
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(65536):
                pass


def by_sockets(live: Live, planted: Planted, owner: Someone) -> None:
    client = live.connect(owner)
    client.emit("authenticate", {"token": planted("a false token of authenticate")})
    client.emit("authenticate", {"token": owner.token})
    client.emit("join_room", {"room": planted("a room")})
    client.emit("send_message", {"message": planted("a private message"), "sender": planted("a sender")})
    client.emit("sync", {"since": planted("a place in the history")})
    for token in (planted("a false token of a socket"), f"{owner.token[:-4]}AAAA"):
        with pytest.raises(Refused):
            live.connect(token)
    with pytest.raises(Refused):
        live.connect(None, query={"token": owner.token})


def test_no_secret_is_written_however_talkative_the_server_is(talkative):
    planted, people = Planted(), talkative.people
    owner, editor = people.owner(password=PASSWORD), people.editor(password=PASSWORD)
    for who in (owner, editor):
        planted.keep("an access token", who.token)
        planted.keep("the signature of an access token", who.token.rpartition(".")[2])
    planted.keep("a refresh token", editor.refresh_token)
    planted.keep("a password", PASSWORD)
    for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
        planted.keep(name, talkative.inside.config[name])
    in_bodies(talkative.url, planted, editor, owner, editor.refresh_token)
    in_addresses(talkative.url, planted, owner)
    in_headers(talkative.url, talkative.app.port, planted, owner)
    by_sockets(talkative, planted, owner)
    written = talkative.app.log.read_text()
    # It did write: lines of requests, and whatever the level lets through.
    lines = [json.loads(line) for line in written.splitlines() if line.startswith('{"at": "request"')]
    assert len(lines) > 80
    assert {line["status"] for line in lines} >= {200, 201, 401, 404, 422}
    assert re.search(r"debug", written, re.IGNORECASE)
    assert planted.found_in(written) == [], [line for line in written.splitlines() if planted.found_in(line)]
    assert "scrypt:" not in written


@pytest.mark.only_on("postgresql")
def test_what_breaks_inside_is_written_without_what_was_sent(talkative):
    """A statement that fails brings its parameters along in the driver's words."""
    planted, owner = Planted(), talkative.people.owner()
    with talkative.inside.app_context():
        db.session.execute(db.text(f"ALTER TABLE {Session.__tablename__} RENAME TO away"))
        db.session.commit()
    body = {"login": owner.email, "password": PASSWORD}
    answers = [
        requests.post(f"{talkative.url}/api/auth/login", json=body, timeout=30),
        requests.post(f"{talkative.url}/api/auth/refresh", json={"refreshToken": planted("a token")}, timeout=30),
        requests.get(f"{talkative.url}/api/auth/me", headers={"Authorization": f"Bearer {owner.token}"}, timeout=30),
    ]
    planted.keep("an access token", owner.token)
    planted.keep("a password", PASSWORD)
    assert 500 in {answer.status_code for answer in answers}
    for answer in answers:
        if answer.status_code == 500:
            assert answer.json()["code"] == "internal_error"
            assert not re.search(r"traceback|sql|select|table|python|idyll", answer.text, re.IGNORECASE)
    written = talkative.app.log.read_text()
    assert "Traceback" in written
    assert planted.found_in(written) == [], [line for line in written.splitlines() if planted.found_in(line)]
    assert "scrypt:" not in written
