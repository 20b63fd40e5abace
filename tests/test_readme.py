"""What README.md says is so: the tour runs, every setting is named, and every command."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from checkout import make_checkout
from servers import ROOT, RunningApp, start_app

from idyll import cli

pytestmark = pytest.mark.only_on("sqlite")
README = (ROOT / "README.md").read_text()
SETTING = re.compile(r"\b[A-Z][A-Z_]{3,}\b")


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def blocks(text: str, language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("readme") / "checkout")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[RunningApp]:
    app = start_app({"APP_ENV": "", "DATABASE_URL": "", "SECRET_KEY": ""}, command="bin/run", folder=folder)
    yield app
    app.stop()


def test_every_command_of_the_tour_works(folder, running):
    tour = blocks(section("A five-minute tour"), "bash").replace("http://localhost:8000", running.url)
    assert tour.count("curl") >= 5
    went = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", tour], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert went.returncode == 0, went.stderr + went.stdout[-2000:]
    for word in ('"unreadNotifications"', '"status":"paid"', '"Good morning!"', "payout.paid", '"colour"'):
        assert word in went.stdout.replace('" : ', '":')


def test_every_setting_is_in_the_table_and_in_the_example_file():
    config, server = ((ROOT / name).read_text() for name in ("config.py", "gunicorn.conf.py"))
    read = set(
        re.findall(
            r'(?:text|number|flag|shaped|choices?|_secret|_amounts|environ\.get)\((?:read, )?"([A-Z_]+)"', config
        )
    )
    read |= set(re.findall(r'os\.environ\.get\("([A-Z_]+)"', server))
    read |= set(re.findall(r'"([A-Z_]+)"', re.search(r"^NOT_YET = \((.*)\)$", config, re.MULTILINE)[1]))
    assert {"PORT", "WEB_CONCURRENCY", "SECRET_KEY", "OWNER_PASSWORD", "MAIL_URL"} <= read
    rows = [line for line in section("Settings").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in SETTING.findall(row.split("|")[1])}
    example = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named == read == example


def test_every_command_is_in_the_table():
    rows = [line for line in section("Commands on the host").splitlines() if line.startswith("| `")]
    named = {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    made = [command for command in vars(cli).values() if isinstance(command, click.Command)]
    groups = [group for group in made if isinstance(group, click.Group)]
    parts = {name for group in groups for name in group.commands}
    assert named - {"db"} == {command.name for command in made} - parts
    assert all(f"| `{group.name} {name}" in README for group in groups for name in group.commands)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_its_links_lead_somewhere(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:[\w.]+/)*[\w.-]+\.(?:yaml|json|example)|Procfile|Dockerfile)`", README)))
)
def test_the_files_it_names_are_there(name):
    assert (ROOT / name).exists()
