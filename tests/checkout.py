"""The repository as somebody else has it: the same code, an `instance/` of its own, and its commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

from servers import ROOT

LEFT_OUT = {"instance", "docs", "tests", ".git", ".env", ".venv"}


def make_checkout(folder: Path) -> Path:
    """Every file by a link, so that what is started finds its own folder and the code of this one."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in ROOT.iterdir():
        if entry.name not in LEFT_OUT:
            (folder / entry.name).symlink_to(entry)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(folder: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell command there, with these settings and none of this machine's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def procfile(name: str) -> str:
    """The command of a line of the Procfile."""
    found = re.search(rf"^{name}:\s*(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert found
    return found[1]
