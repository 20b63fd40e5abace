"""The code that README.md and docs/live.md tell to copy: checked more strictly than by Vite, and built like there."""

import json
import re
import subprocess
from pathlib import Path

from servers import ROOT

PAGES = ("README.md", "docs/live.md")
PACKAGES = ROOT / "tests" / "js"
NODE = ROOT / "bin" / "node"
BLOCK = re.compile(r"^```(?:js|ts|tsx)\n(// (src/[\w.-]+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
# As in Vite's own vite/client.d.ts.
ENVIRONMENT = "interface ImportMeta { readonly env: Record<string, any> }\n"


def on_the_pages() -> dict[str, str]:
    """The files, by the path that each says in its first line."""
    return {found[2]: found[1] for page in PAGES for found in BLOCK.finditer((ROOT / page).read_text())}


def built(files: dict[str, str], folder: Path) -> Path:
    """Where the JavaScript is. Raises AssertionError with what the compiler says."""
    for path, text in {**files, "src/vite-env.d.ts": ENVIRONMENT}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    (folder / "package.json").write_text('{"type": "module"}')
    options = {"rootDir": "src", "outDir": "built"}
    settings = {"extends": str(PACKAGES / "tsconfig.json"), "compilerOptions": options, "include": ["src"]}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    subprocess.run([NODE], check=True)
    # Packages are looked for from the file upwards.
    (folder / "node_modules").symlink_to(PACKAGES / "node_modules")
    compiler = PACKAGES / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [NODE, compiler, "--project", folder], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (folder / "built").glob("*.js"):
        # The rest of what Vite does: it finds files without their endings, and puts the settings in.
        text = re.sub(r'(from "\./[\w-]+)"', r'\1.js"', path.read_text())
        path.write_text(text.replace("import.meta.env.", "globalThis."))
    return folder / "built"
