"""What is measured, as hosts run it: PostgreSQL, and servers of one process on a core of their own."""

import hashlib
import os
import resource
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from servers import RunningApp, run_postgres, start_app, web_command

from . import CACHE
from .data import connect

LIMIT = str(10**9)
# As a managed database is set for such a machine: nothing is lost at a crash, and no checkpoint falls into a row.
POSTGRES = {
    "shared_buffers": "512MB",
    "effective_cache_size": "2GB",
    "work_mem": "8MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "random_page_cost": "1.1",
}
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
# What the product still does after its answers: places in the log of events, and seals of the audit.
BACKLOG = """
    SELECT (SELECT count(*) FROM events WHERE position IS NULL)
         + (SELECT count(*) FROM audit LEFT JOIN audit_seals ON audit_id = audit.id WHERE audit_id IS NULL)
"""


class NotReady(Exception):
    """Something that is needed isn't there; the message says what to do."""


@dataclass(frozen=True)
class Cores:
    """The server's and the load generator's; PostgreSQL runs where it likes."""

    server: str
    load: str

    @classmethod
    def choose(cls) -> "Cores":
        mine = sorted(os.sched_getaffinity(0))
        if len(mine) < 2:
            raise NotReady("Two cores are needed: one for the server, one for the load.")
        return cls(str(mine[0]), str(mine[1]))


class Database:
    """The PostgreSQL of a run."""

    def __init__(self, **settings: str) -> None:
        self.url = run_postgres(**{**POSTGRES, **settings})

    def create(self, name: str) -> str:
        with connect(self.url).cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {name}")
        return f"{self.url.rpartition('/')[0]}/{name}".replace("+psycopg2", "")

    def pid(self) -> int:
        """Of the process whose children serve the connections."""
        with connect(self.url).cursor() as cursor:
            cursor.execute("SELECT pg_read_file('postmaster.pid', 0, 20)")
            return int(cursor.fetchone()[0].split()[0])

    def version(self) -> str:
        with connect(self.url).cursor() as cursor:
            cursor.execute("SHOW server_version")
            return str(cursor.fetchone()[0])


@dataclass
class Server:
    """A server that can be started anew, and what it costs."""

    name: str
    command: str
    folder: Path
    env: dict[str, str]
    running: RunningApp | None = None
    # The port stays: sockets and proxies come back to it.
    port: int = field(default=0)
    # The statement that counts what it works off after its answers, if it does so.
    backlog: str = ""

    def start(self) -> "Server":
        self.running = start_app(self.env, self.port, command=self.command, folder=self.folder)
        self.port = self.running.port
        return self

    def stop(self) -> None:
        if self.running:
            self.running.stop(30)
            self.running = None

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def url(self) -> str:
        assert self.running
        return self.running.url

    def settle(self, within: float = 10.0) -> int:
        """Waits until nothing is left that would be worked off in the next round; gives what is left nevertheless."""
        if not self.backlog:
            return 0
        ends = time.monotonic() + within
        with closing(connect(self.env["DATABASE_URL"])) as connection, connection.cursor() as cursor:
            while True:
                cursor.execute(self.backlog)
                left = int(cursor.fetchone()[0])
                if not left or time.monotonic() >= ends:
                    return left
                time.sleep(0.1)

    def processes(self) -> list[int]:
        """All of it: gunicorn's master and its worker."""
        assert self.running
        found = [self.running.process.pid]
        for pid in found:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found

    def cpu_seconds(self) -> float:
        return cpu_of(self.processes())

    def memory(self) -> float:
        """MiB of resident memory, of all its processes together."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.processes())
        return pages * PAGE / 2**20


def cpu_of(pids: Sequence[int]) -> float:
    """Seconds of CPU that processes took so far, and their children that ended."""
    ticks = 0
    for pid in pids:
        # One that just ended, as PostgreSQL's helpers do, counts with its parent.
        with suppress(FileNotFoundError, ProcessLookupError):
            # Of the fields behind the name: utime, stime, cutime, cstime.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def pinned(core: str, command: str) -> str:
    return f"taskset -c {core} {command}"


def product(folder: Path, database: Database, *, name: str = "idyll_bench", core: str = "", **env: str) -> Server:
    """This product by the command of its Procfile, on a new and migrated database; not started yet."""
    url = database.create(name)
    settings = {
        "APP_ENV": "production",
        "DATABASE_URL": url,
        "REDIS_URL": "",
        "SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET_KEY": secrets.token_hex(32),
        "CORS_ORIGINS": "https://app.example.com",
        "OWNER_EMAIL": "",
        "SENTRY_DSN": "",
        "LOG_LEVEL": "warning",
        # As in the peer, which knows no agency.
        "AGENCY_TIMEZONE": "UTC",
        "ACCESS_TOKEN_SECONDS": "43200",
        "RATE_LIMIT_PER_MINUTE": LIMIT,
        "LOGIN_LIMIT_PER_MINUTE": LIMIT,
        "PUBLIC_WRITE_LIMIT_PER_MINUTE": LIMIT,
        "CHAT_FLOOD_LIMIT": LIMIT,
        "SOCKETS_PER_USER": "50000",
        "SOCKETS_PER_ADDRESS": "50000",
        "SOCKETS_TOTAL": "20000",
        **programs(folder),
        **env,
    }
    # As the hosts' builds do it.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "config.py", "wsgi.py", "idyll"], cwd=folder, check=True)
    migrated = subprocess.run(
        ["flask", "--app", "wsgi", "db", "upgrade"],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    if migrated.returncode:
        raise NotReady(f"The product's migrations failed:\n{migrated.stderr[-2000:]}")
    command = pinned(core, web_command()) if core else web_command()
    return Server("product", command, folder, settings, backlog=BACKLOG)


def programs(folder: Path) -> dict[str, str]:
    """Those of the checkout before all others."""
    return {"PATH": f"{installed(folder / 'requirements.txt') / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}


def installed(requirements: Path) -> Path:
    """An environment with what production has and no tools: libraries load what else they find."""
    made = CACHE / f"packages-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    if not (made / "complete").exists():
        print("Installing the product's packages", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(made)], check=True)
        quietly = ("--disable-pip-version-check", "--quiet", "--progress-bar", "off")
        pip = (str(made / "bin" / "python"), "-m", "pip", "install", *quietly)
        subprocess.run([*pip, "--require-hashes", "-r", str(requirements)], check=True)
        (made / "complete").touch()
    return made


def many_files() -> None:
    """Thousands of sockets at both ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def need(*names: str) -> None:
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        raise NotReady(f"These programs are needed: {', '.join(missing)}")
