"""What reaches the application at all: raw probes against the server of the Procfile."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import WebSocket
from servers import RunningApp, start_app

HOST = b"Host: api.example.com\r\n"
PROBLEM = {"type", "title", "status", "detail", "instance", "code", "requestId"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The application as a careless host would start it."""
    running = start_app(
        {
            "APP_ENV": "development",
            "DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('gunicorn')}/probe.db",
            "WEB_CONCURRENCY": "2",
            "GUNICORN_CMD_ARGS": "--preload --access-logfile - --worker-class sync --workers 3",
        }
    )
    yield running
    running.stop()


def connect(running: RunningApp) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=10)


def receive(sock: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    answer = b""
    while data := sock.recv(65536):
        answer += data
    return answer


def probe(running: RunningApp, raw: bytes) -> bytes:
    with connect(running) as sock:
        sock.sendall(raw)
        return receive(sock)


def read(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    return int(line.split()[1]), headers, body


def refused(answer: bytes) -> tuple[int, dict[str, object], dict[str, str]]:
    """The one refusal in an answer, held to what the contract says of every refusal."""
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1, answer
    status, headers, body = read(answer)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers
    assert headers["connection"] == "close"
    assert "server" not in headers
    problem = json.loads(body)
    assert problem.keys() >= PROBLEM
    assert problem["status"] == status
    assert problem["requestId"] == headers["x-request-id"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", headers["x-request-id"])
    assert not re.search(rb"gunicorn|eventlet|python|werkzeug|traceback", answer, re.IGNORECASE)
    return status, problem, headers


def get(*lines: bytes, target: bytes = b"/healthz", host: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + b"".join(lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"POST /healthz HTTP/1.1\r\n" + HOST + b"".join(lines) + b"\r\n" + body


NEXT = get(target=b"/healthz?smuggled")
CHUNKED = b"Transfer-Encoding: chunked\r\n"
MALFORMED = {
    "a line that is no request": b"GARBAGE\r\n\r\n",
    "a method in small letters": b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP 2 in clear text": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lines without carriage returns": b"GET /healthz HTTP/1.1\nHost: a\n\n",
    "headers without carriage returns": b"GET /healthz HTTP/1.1\r\nHost: a\n\n",
    "a header without a colon": get(b"Nonsense\r\n"),
    "a header with a space before its colon": get(b"X-A : b\r\n"),
    "a folded header": get(b"X-A: b\r\n c\r\n"),
    "a control character in a header": get(b"X-A: a\x01b\r\n"),
    "a null in a header": get(b"X-A: a\x00b\r\n"),
    "a carriage return in a header": get(b"X-A: a\rb\r\n"),
    "no host": get(host=b""),
    "an empty host": get(host=b"Host:\r\n"),
    "two hosts": get(host=b"Host: a\r\nHost: b\r\n"),
    "the same host twice": get(host=HOST + HOST),
    "a list of hosts": get(host=b"Host: a,b\r\n"),
    "a host with a path": get(host=b"Host: a/b\r\n"),
    "a host with a user": get(host=b"Host: a@b\r\n"),
    "an absolute target": get(target=b"http://evil.example/healthz"),
    "an authority as target": get(target=b"evil.example:80"),
    "a relative target": get(target=b"healthz"),
    "an asterisk as target": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT evil.example:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a control character in the target": get(target=b"/heal\x01thz"),
    "a fragment in the target": get(target=b"/healthz#a"),
    "two content types": post(b"Content-Type: a/b\r\nContent-Type: c/d\r\n"),
}
SMUGGLING = {
    "identity coding with a length": post(b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n", body=b"abc" + NEXT),
    "gzip coding with a length": post(b"Transfer-Encoding: gzip\r\nContent-Length: 3\r\n", body=b"abc" + NEXT),
    "an unknown coding": post(b"Transfer-Encoding: xchunked\r\n", body=b"0\r\n\r\n" + NEXT),
    "an empty coding": post(b"Transfer-Encoding:\r\nContent-Length: 3\r\n", body=b"abc" + NEXT),
    "a list of codings": post(b"Transfer-Encoding: gzip, chunked\r\n", body=b"0\r\n\r\n" + NEXT),
    "two codings": post(CHUNKED, b"Transfer-Encoding: identity\r\n", body=b"0\r\n\r\n" + NEXT),
    "chunked twice": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n" + NEXT),
    "chunked with a vertical tab": post(b"Transfer-Encoding: \x0bchunked\r\n", body=b"0\r\n\r\n" + NEXT),
    "chunked with a length": post(CHUNKED, b"Content-Length: 3\r\n", body=b"0\r\n\r\n" + NEXT),
    "a length with chunked": post(b"Content-Length: 3\r\n", CHUNKED, body=b"0\r\n\r\n" + NEXT),
    "chunked in HTTP 1.0": (b"POST /healthz HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n" + NEXT),
    "two lengths": post(b"Content-Length: 3\r\nContent-Length: 4\r\n", body=b"abc" + NEXT),
    "a list of lengths": post(b"Content-Length: 3, 3\r\n", body=b"abc" + NEXT),
    "a signed length": post(b"Content-Length: +3\r\n", body=b"abc" + NEXT),
    "a negative length": post(b"Content-Length: -3\r\n", body=b"abc" + NEXT),
    "a length in other digits": post("Content-Length: ³\r\n".encode("latin-1"), body=NEXT),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused_with_a_problem(running: RunningApp, raw: bytes) -> None:
    status, problem, _ = refused(probe(running, raw))
    assert (status, problem["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("raw", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_a_request_that_two_servers_could_read_differently_ends_the_connection(running: RunningApp, raw: bytes) -> None:
    status, problem, _ = refused(probe(running, raw))
    assert (status, problem["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (get(b"X-A: " + b"a" * 9000 + b"\r\n"), 431, "headers_too_large"),
        (get(b"X-A: a\r\n" * 200), 431, "headers_too_large"),
        (get(b"X-A: " + b"a" * 2_000_000 + b"\r\n"), 431, "headers_too_large"),
        (get(target=b"/" + b"a" * 9000), 414, "uri_too_long"),
        (get(b"Expect: wonders\r\n"), 417, "expectation_failed"),
    ],
    ids=["one long header", "many headers", "headers without end", "long target", "expectation"],
)
def test_what_is_too_large_is_named_and_the_answer_arrives(
    running: RunningApp, raw: bytes, status: int, code: str
) -> None:
    found, problem, _ = refused(probe(running, raw))
    assert (found, problem["code"]) == (status, code)


def test_a_refusal_carries_the_callers_request_id_when_it_is_a_fit_one(running: RunningApp) -> None:
    bad_host = b"Host: a,b\r\n"
    _, problem, _ = refused(probe(running, get(b"X-Request-Id: mine-1.2_3\r\n", host=bad_host)))
    assert problem["requestId"] == "mine-1.2_3"
    assert problem["instance"] == "/healthz"
    _, problem, _ = refused(probe(running, get(b'X-Request-Id: {"a"}\r\n', host=bad_host)))
    assert problem["requestId"] != '{"a"}'


def test_in_production_the_servers_own_refusals_carry_hsts_too(tmp_path: Path) -> None:
    production = {
        "APP_ENV": "production",
        "DATABASE_URL": f"sqlite:///{tmp_path}/hsts.db",
        "SECRET_KEY": "3a7f1c9e5b2d8046f1e3c5a79b0d2e4f6a8c",
        "JWT_SECRET_KEY": "9d4b2f7a6c1e8350b7d9f2a4c6e81b3d5f70",
        "CORS_ORIGINS": "https://app.example.com",
    }
    running = start_app(production)
    for raw in (MALFORMED["two hosts"], SMUGGLING["a list of lengths"], get(target=b"/" + b"a" * 9000)):
        _, headers, _ = read(probe(running, raw))
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert headers["x-frame-options"] == "DENY"
    running.stop()


def test_an_answer_of_the_application_names_no_software_either(running: RunningApp) -> None:
    status, headers, _ = read(probe(running, get(b"Connection: close\r\n")))
    assert status == 200
    assert "server" not in headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-request-id"]


def test_requests_follow_each_other_on_one_connection(running: RunningApp) -> None:
    answer = probe(running, get() + post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n") + get(b"Connection: close\r\n"))
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", answer) == [b"200", b"405", b"200"]


BROKEN = {
    "no size": b"zz\r\nabc\r\n0\r\n\r\n",
    "a wrong size": b"3\r\nabcd\r\n0\r\n\r\n",
    "a null in a trailer": b"3\r\nabc\r\n0\r\nX-A: \x00\r\n\r\n",
    "a trailer": b"3\r\nabc\r\n0\r\nX-A: b\r\n\r\n",
    "a trailer that would sign somebody in": b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "a trailer that would frame the body anew": b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
    "a signed size": b"+3\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a size of another language": b"0x3\r\nabc\r\n0\r\n\r\n",
    "an empty size": b"\r\nabc\r\n0\r\n\r\n",
    "a size line without end": b"3;" + b"a" * 100_000,
    "a bare LF after a size": b"3\nabc\r\n0\r\n\r\n",
    "a bare LF after a chunk": b"3\r\nabc\n0\r\n\r\n",
    "a bare CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_broken_body_is_400_and_its_rest_is_not_taken_for_a_request(running: RunningApp, body: bytes) -> None:
    raw = (
        b"POST /api/auth/login HTTP/1.1\r\nContent-Type: application/json\r\n"
        + HOST + CHUNKED + b"\r\n" + body + NEXT
    )  # fmt: skip
    status, problem, _ = refused(probe(running, raw))
    assert status == problem["status"] == 400


@pytest.mark.parametrize("size", [b"FFFFFFFF", b"F" * 17, b"300000"], ids=["4 GB", "beyond 64 bits", "3 MB"])
def test_a_chunk_that_is_too_large_gets_its_413_before_it_is_there(running: RunningApp, size: bytes) -> None:
    head = b"POST /api/auth/login HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n" + HOST + CHUNKED
    status, problem, _ = refused(probe(running, head + b"\r\n" + size + b"\r\n" + b"a" * 0x300000))
    assert status == problem["status"] == 413


@pytest.mark.parametrize("body", [b"9\r\n{}", b"2\r\n{}", b"2\r\n{}\r\n", b"2\r\n{}\r\n0\r\n"])
def test_chunks_that_are_cut_short_are_400(running: RunningApp, body: bytes) -> None:
    with connect(running) as sock:
        head = b"POST /api/auth/login HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST + CHUNKED
        sock.sendall(head + b"\r\n" + body)
        sock.shutdown(socket.SHUT_WR)
        assert refused(receive(sock))[0] == 400


def test_a_body_that_is_cut_short_is_400(running: RunningApp) -> None:
    with connect(running) as sock:
        sock.sendall(
            b"POST /api/auth/login HTTP/1.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99\r\n" + HOST + b'\r\n{"login": "a", "password": "b"}'
        )
        sock.shutdown(socket.SHUT_WR)
        assert refused(receive(sock))[0] == 400


def test_a_body_over_the_limit_gets_its_413_even_when_it_is_sent_to_the_end(
    running: RunningApp,
) -> None:
    size = 3 * 1024 * 1024
    raw = (
        b"POST /api/auth/login HTTP/1.1\r\nContent-Type: application/json\r\n"
        + HOST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % size + b"a" * size
    )  # fmt: skip
    status, problem, _ = refused(probe(running, raw))
    assert status == problem["status"] == 413


def test_a_client_cannot_make_itself_a_proxy(running: RunningApp) -> None:
    forged = get(
        b"SCRIPT_NAME: /healthz\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n",
        b"Connection: close\r\n",
    )
    assert read(probe(running, forged))[0] == 200


def test_there_is_one_worker_whatever_the_host_asks_for(running: RunningApp) -> None:
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text()
    assert len(children.split()) == 1
    log = running.log.read_text()
    assert "WEB_CONCURRENCY=2" in log
    assert "--preload" in log
    assert log.count("Booting worker") == 1


def test_open_websockets_take_none_of_the_places_of_requests(tmp_path: Path) -> None:
    app = start_app({"DATABASE_URL": f"sqlite:///{tmp_path}/places.db", "GUNICORN_CMD_ARGS": "--worker-connections 2"})
    with WebSocket(app.port), WebSocket(app.port) as another, WebSocket(app.port):
        assert read(probe(app, get(b"Connection: close\r\n", target=b"/healthz")))[0] == 200
        assert another.log_in("a wrong token").startswith("44")
    app.stop()


def test_an_access_line_holds_neither_a_query_nor_a_token(running: RunningApp) -> None:
    token = "t" * 43
    target = f"/api/applications/status/{token}?access_token=secret".encode()
    probe(running, get(b"Connection: close\r\n", target=target))
    log = running.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{") and "ms" in line]
    assert any(line.get("path") == "/api/applications/status/..." for line in lines)
    assert token not in log
    assert "secret" not in log


def test_the_log_does_not_speak_of_deprecation(running: RunningApp) -> None:
    assert "deprecat" not in running.log.read_text().lower()


def test_an_idle_connection_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    # With an hour's patience for connections the stop would never come, did it wait for this one.
    patient = {"GUNICORN_CMD_ARGS": "--graceful-timeout 3600"}
    database = {"APP_ENV": "development", "DATABASE_URL": f"sqlite:///{tmp_path}/stop.db"}
    running = start_app(database | patient)
    with connect(running) as sock:
        sock.sendall(get())
        answer = b""
        while not answer.endswith(b'{"status":"ok"}'):
            answer += sock.recv(65536)
        assert running.stop() == 0
        assert sock.recv(65536) == b""
