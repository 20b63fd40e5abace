"""TypeScript as a front end would have it: checked strictly, against the types of the official client, and compiled."""

import json
import os
import subprocess
from pathlib import Path

from servers import ROOT

NODE = ROOT / "bin" / "node"
PACKAGES = ROOT / "tests" / "js"


def compiled(source: str, folder: Path, name: str = "example") -> Path:
    """The JavaScript module of a TypeScript one. Raises AssertionError with what the compiler says against it."""
    (folder / f"{name}.ts").write_text(source)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(
        json.dumps({"extends": str(PACKAGES / "tsconfig.json"), "files": [f"{name}.ts"]})
    )
    # Modules are looked for from the file upwards.
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(PACKAGES / "node_modules")
    compiler = PACKAGES / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run([NODE, compiler, "-p", folder], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"{name}.js"


def run_node(*arguments: str | Path, timeout: float = 60, **env: str) -> str:
    """What the program printed. Raises AssertionError when it failed."""
    done = subprocess.run(
        [NODE, *arguments], check=False, capture_output=True, text=True, timeout=timeout, env={**os.environ, **env}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
