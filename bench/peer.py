"""The peer: a copy of its folder with its packages installed, kept between runs, and its own filled database."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from . import CACHE, ROOT
from .data import fill_peer
from .stage import LIMIT, Database, NotReady, Server, pinned

IGNORED = shutil.ignore_patterns("node_modules", "generated", ".git")


def node() -> Path:
    """Node.js, and npm beside it or within it; installed into .venv where there is none."""
    subprocess.run([ROOT / "bin" / "node"], check=True)
    stamp = (ROOT / "tests" / "js" / "node_modules" / ".installed").read_text().splitlines()
    return Path(stamp[1])


def npm(program: Path) -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    return [str(program), str(program.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


class Peer:
    """`express/` and `load/` of a folder."""

    def __init__(self, given: Path) -> None:
        for wanted in ("express/server.js", "express/package-lock.json", "express/db/schema.sql", "load/fanout.mjs"):
            if not (given / wanted).exists():
                raise NotReady(f"{given} is no peer: it has no {wanted}")
        self.given, self.folder = given, CACHE / "peer"
        self.node = node()
        self.env = {"PATH": f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}

    @property
    def load(self) -> Path:
        return self.folder / "load"

    def install(self) -> None:
        """Copies it and installs its packages, unless just that was done before."""
        stamp, wanted = self.folder / "installed", self._fingerprint()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("express", "load"):
            shutil.copytree(self.given / name, self.folder / name, ignore=IGNORED)
        print("Installing the peer's packages", flush=True)
        for command in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "generate"]):
            done = subprocess.run(
                [*npm(self.node), *command],
                cwd=self.folder / "express",
                env={**os.environ, **self.env},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise NotReady(f"npm {' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        stamp.write_text(wanted)

    def _fingerprint(self) -> str:
        found = hashlib.sha256(str(self.node).encode())
        for path in sorted([*self.given.glob("express/**/*"), *self.given.glob("load/**/*")]):
            parts = path.relative_to(self.given).parts
            if path.is_file() and not {"node_modules", "generated"} & set(parts):
                found.update(f"{parts}\n".encode() + path.read_bytes())
        return found.hexdigest()

    def server(self, database: Database, core: str) -> Server:
        """On a filled database; not started yet."""
        url = database.create("idyll_peer")
        fill_peer(url, (self.folder / "express" / "db" / "schema.sql").read_text())
        env = {
            **self.env,
            "NODE_ENV": "production",
            "DATABASE_URL": url,
            "JWT_SECRET_KEY": secrets.token_hex(32),
            "CORS_ORIGINS": "https://app.example.com",
            "ACCESS_TOKEN_SECONDS": "43200",
            "RATE_LIMIT_PER_MINUTE": LIMIT,
            "LOGIN_RATE_LIMIT_PER_MINUTE": LIMIT,
            "CHAT_LIMIT_PER_10_SECONDS": LIMIT,
        }
        return Server("peer", pinned(core, "node server.js"), self.folder / "express", env)

    def versions(self) -> dict[str, str]:
        package = json.loads((self.folder / "express" / "package.json").read_text())
        return {name: package["dependencies"][name] for name in ("express", "@prisma/client", "socket.io")}
