"""What a server loads before its first answer: every module costs time at each start, and memory for good."""

import subprocess
import sys

import pytest
from servers import ROOT

SECRETS = {"SECRET_KEY": "8c2e4a6f1b3d5079e8a6c4f2d0b19375", "JWT_SECRET_KEY": "1d7f3b9e5a2c8064f0b8d6e4a2c17593"}
NEEDED_ELSEWHERE = {
    "alembic": "migrations run apart from the server",
    "mako": "comes with Alembic",
    "pygments": "comes with Mako",
    "flask_migrate": "is for the command line",
    "idyll.cli": "is the command line",
    "idyll.demo": "is made by the command line",
    "sentry_sdk": "is for who sets SENTRY_DSN",
    "pymysql": "is the driver of another database",
    "zxcvbn": "is wanted when somebody chooses a password",
    "dns": "is what eventlet would look names up with",
    "redis": "is for who sets REDIS_URL",
    "cryptography": "is wanted when somebody uses two-step log-in",
}
SLOW_NAME = """
import runpy
runpy.run_path("gunicorn.conf.py")
import eventlet, socket
from eventlet.patcher import original

def slow(*asked):
    original("time").sleep(0.5)
    return "found"

def others():
    while True:
        served.append(1)
        eventlet.sleep(0.01)

served = []
eventlet.spawn(others)
assert socket.getaddrinfo("localhost", 80)
assert socket.getaddrinfo("slow.example", 80, of_system=slow) == "found"
print(len(served))
"""
# What gunicorn does, in its order.
START = """
import runpy, sys
runpy.run_path("gunicorn.conf.py")
import wsgi
print(*sys.modules)
"""


def run(code: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONDONTWRITEBYTECODE": "1", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", **SECRETS, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return set(run(START).split())


@pytest.mark.parametrize("name", NEEDED_ELSEWHERE)
def test_a_server_does_not_load_what_it_serves_without(loaded: set[str], name: str) -> None:
    assert "idyll.tasks.routes" in loaded
    assert sorted(module for module in loaded if f"{module}.".startswith(f"{name}.")) == []


def test_error_reports_load_nothing_but_themselves() -> None:
    loaded = set(run(START, SENTRY_DSN="https://key@sentry.invalid/1").split())
    assert loaded >= {"sentry_sdk.integrations.flask"}
    assert loaded & {"redis", "cryptography", "zxcvbn", "alembic", "pymysql"} == set()


def test_redis_is_there_for_who_sets_it() -> None:
    assert "redis.client" in run(START, REDIS_URL="redis://127.0.0.1:1/0").split()


def test_a_name_that_is_slow_to_look_up_holds_nobody_up() -> None:
    assert int(run(SLOW_NAME)) > 5
