"""Where results go, and what must be known to judge them: machine, versions, commit and command."""

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import ROOT

FILE = ROOT / "docs" / "performance.json"
PACKAGES = ("gunicorn", "eventlet", "Flask", "SQLAlchemy", "psycopg2-binary", "python-socketio", "orjson")


def circumstances(product: Path, command: str, **versions: str) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "commit": commit(product),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}, **versions},
    }


def commit(folder: Path) -> str:
    """The commit that was measured, with a plus when files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    # The results themselves are no difference.
    changed = git("status", "--porcelain", "--", ".", ":!docs")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")


def machine() -> dict[str, Any]:
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model[1] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memoryGiB": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def tool_versions(node: Path | None = None) -> dict[str, str]:
    found = {}
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    if name := re.match(r"wrk (\S+)", wrk):
        found["wrk"] = name[1]
    if node:
        found["node"] = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return found


def read(file: Path = FILE) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


def keep(section: str, content: dict[str, Any], file: Path) -> None:
    """Replaces one section of the results and leaves the others."""
    file.parent.mkdir(exist_ok=True)
    everything = {**read(file), section: content}
    file.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    print(f"Written to {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}")
