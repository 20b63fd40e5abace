"""Socket.IO's own protocol test suite, against the factory's settings."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from live import environment
from servers import ROOT, start_app, web_command

# One run says all: it is not about the database.
pytestmark = pytest.mark.only_on("postgresql")
REPOSITORY = "https://github.com/socketio/socket.io-protocol"
COMMIT = "4f633dd6a4445492d57af3b27ddd2d336014f1f1"
ITS_URL = 'const URL = "http://localhost:3000";'
TESTS = 32
# On purpose: nothing here is binary, and an attachment that never comes would swallow every later packet.
REFUSED = {
    "Socket.IO protocol message should send a packet with binary attachments",
    "Socket.IO protocol message should send a packet with binary attachments and an ack",
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A copy, with its packages. `SOCKETIO_PROTOCOL_SUITE` names a clone where GitHub is out of reach."""
    folder = tmp_path / "socket.io-protocol"
    if given := os.environ.get("SOCKETIO_PROTOCOL_SUITE"):
        shutil.copytree(given, folder, ignore=shutil.ignore_patterns("node_modules"))
    else:
        silent = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        clone = ["git", "clone", "--quiet", REPOSITORY, folder]
        cloned = subprocess.run(clone, check=False, env=silent, capture_output=True, text=True, timeout=120)
        if cloned.returncode:
            pytest.skip(f"{REPOSITORY} is out of reach: {cloned.stderr.strip()}")
        subprocess.run(["git", "-C", folder, "checkout", "--quiet", COMMIT], check=True)
    subprocess.run([*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder / "test-suite", check=True)
    return folder / "test-suite"


def npm() -> list[str | Path]:
    """The npm beside the Node.js of the tests, wherever bin/node found it."""
    path = subprocess.run([ROOT / "bin" / "node", "-p", "process.execPath"], capture_output=True, text=True, check=True)
    node = Path(path.stdout.strip())
    own = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node, own] if own.exists() else ["npm"]


def test_the_protocol_is_spoken_but_for_binary_packets(suite, live_inside):
    command = web_command().replace("wsgi:app", f"--pythonpath {ROOT / 'tests' / 'apps'} echoes:app")
    running = start_app(environment(live_inside), command=command)
    try:
        script = suite / "test-suite.js"
        written = script.read_text()
        assert ITS_URL in written
        script.write_text(written.replace(ITS_URL, f'const URL = "{running.url}";'))
        mocha = [ROOT / "bin" / "node", "node_modules/.bin/mocha", "--exit", "--retries", "1", "--reporter", "json"]
        ran = subprocess.run([*mocha, script.name], check=False, cwd=suite, capture_output=True, text=True, timeout=120)
    finally:
        running.stop()
    assert "{" in ran.stdout, ran.stderr
    told = json.loads(ran.stdout[ran.stdout.index("{") :])
    assert told["stats"]["tests"] == TESTS
    failed = {test["fullTitle"]: test["err"].get("message") for test in told["failures"]}
    assert failed.keys() == REFUSED, failed
    assert "Traceback" not in running.log.read_text()
