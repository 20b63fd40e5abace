"""The file with the demo people's passwords: one section a database, so that a second one costs no log-ins."""

import os
from pathlib import Path

from sqlalchemy import make_url

from ..scope import this_app
from .agency import Login

HEAD = "Log-ins of the demo agency, for development alone: e-mail, role, status, password."


def path() -> Path:
    folder: Path = this_app().config["INSTANCE"]
    return folder / "demo-logins.txt"


def keep(logins: list[Login]) -> None:
    """Puts them first in the file, which nobody else may read; older ones of this database go."""
    widths = [max(len(row[column]) for row in logins) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in logins]
    others = {title: text for title, text in _sections().items() if title != _title()}
    sections = {_title(): "\n".join(lines)} | others
    text = "\n\n".join([HEAD, *[f"{title}\n{body}" for title, body in sections.items()]]) + "\n"
    path().parent.mkdir(exist_ok=True)
    new = path().with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path())


def known() -> bool:
    """Whether those of this database are there."""
    return _title() in _sections()


def _title() -> str:
    return f"[{make_url(this_app().config['SQLALCHEMY_DATABASE_URI']).render_as_string(hide_password=True)}]"


def _sections() -> dict[str, str]:
    if not path().exists():
        return {}
    paragraphs = [paragraph.strip().partition("\n") for paragraph in path().read_text().split("\n\n")[1:]]
    return {title: body for title, _, body in paragraphs}
