"""Hundreds of clients that send or read slowly on purpose: each is shown out in its time, and nobody else waits."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
from servers import ROOT, RunningApp, start_app

HOST = b"Host: api.example.com\r\n"
EACH = 67  # of three kinds: 201 connections
PATIENCE = 2  # seconds, instead of half a minute
SLOWEST = 30  # seconds for what takes PATIENCE on a machine with nothing else to do


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The server of the Procfile with less patience, so that its end can be waited for."""
    folder = tmp_path_factory.mktemp("loris")
    configuration = (ROOT / "gunicorn.conf.py").read_text()
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "READ_SECONDS"):
        before, _, after = configuration.partition(f"\n{name} = ")
        configuration = f"{before}\n{name} = {PATIENCE}  #{after}"
    (folder / "gunicorn.conf.py").write_text(configuration)
    running = start_app(
        {"APP_ENV": "development", "DATABASE_URL": f"sqlite:///{folder}/loris.db"},
        command=f"gunicorn --config {folder / 'gunicorn.conf.py'} wsgi:app",
    )
    yield running
    running.stop()


def slow_head(running: RunningApp) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", running.port), timeout=SLOWEST)
    wire.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Slow: ")
    return wire


def slow_body(running: RunningApp) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", running.port), timeout=SLOWEST)
    wire.sendall(
        b"POST /api/auth/login HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
    )
    return wire


def slow_reader(running: RunningApp) -> socket.socket:
    """Asks for far more than any buffer holds, and reads none of it."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.settimeout(SLOWEST)
    wire.connect(("127.0.0.1", running.port))
    wire.sendall((b"GET /api/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 20)
    return wire


def is_shown_out(wire: socket.socket) -> bool:
    """Whether the server closes the connection; what it said before is read."""
    wire.settimeout(SLOWEST)
    with suppress(ConnectionError):
        while wire.recv(65536):
            pass
    return True


def worker_sockets(running: RunningApp) -> int:
    folder = Path(f"/proc/{running.worker_pid()}/fd")
    found = 0
    for link in folder.iterdir():
        with suppress(OSError):
            found += str(link.readlink()).startswith("socket:")
    return found


def test_two_hundred_slow_clients_are_shown_out_and_nobody_waits_for_them(hurried, record_property):
    before = worker_sockets(hurried)
    with ExitStack() as wires:
        kinds = (slow_head, slow_body, slow_reader)
        slow = [wires.enter_context(open_(hurried)) for _ in range(EACH) for open_ in kinds]
        session = wires.enter_context(requests.Session())
        meet(hurried, slow, session, before, record_property)


def meet(
    hurried: RunningApp, slow: list[socket.socket], session: requests.Session, before: int, keep: Callable
) -> None:
    took, most, until = [], 0, time.monotonic() + 2 * PATIENCE
    while time.monotonic() < until:
        begun = time.monotonic()
        assert session.get(f"{hurried.url}/healthz", timeout=SLOWEST).status_code == 200
        took.append(time.monotonic() - begun)
        most = max(most, worker_sockets(hurried))
        for wire in slow[::3] + slow[1::3]:
            with suppress(OSError):
                wire.sendall(b" ")
        time.sleep(0.05)
    assert most > before
    took.sort()
    keep("healthz p99, ms", round(took[int(len(took) * 0.99)] * 1000, 1))
    deadline = time.monotonic() + SLOWEST
    while worker_sockets(hurried) > before + 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert worker_sockets(hurried) <= before + 5
    assert all(is_shown_out(wire) for wire in slow)
    assert session.get(f"{hurried.url}/healthz", timeout=SLOWEST).status_code == 200
    assert "Traceback" not in hurried.log.read_text()


@pytest.mark.parametrize("open_", [slow_head, slow_body])
def test_somebody_slow_gets_no_second_answer(hurried, open_):
    wire = open_(hurried)
    answer = b""
    with suppress(ConnectionError):
        while data := wire.recv(65536):
            answer += data
    assert answer.count(b"HTTP/1.1 ") == (1 if open_ is slow_body else 0)
    wire.close()


def test_an_unhurried_client_is_served_on_one_connection(hurried):
    """What counts is the time of one head, not of the connection."""
    with socket.create_connection(("127.0.0.1", hurried.port), timeout=SLOWEST) as wire:
        for n in range(3):
            wire.sendall(b"GET /healthz HTTP/1.1\r\n")
            time.sleep(PATIENCE * 0.3)
            wire.sendall(HOST + b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += wire.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), n
            time.sleep(PATIENCE * 0.6)
