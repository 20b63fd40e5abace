"""Passwords: scrypt at OWASP's parameters, in real threads, and a list of those that everybody tries."""

import secrets
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

from werkzeug.security import check_password_hash, generate_password_hash

from ..concurrency import a_place, in_thread
from ..database import release
from ..errors import Invalid
from ..scope import this_app

# OWASP Password Storage Cheat Sheet: N=2^15, r=8, p=3; 32 MiB.
METHOD = "scrypt:32768:8:3"
TRIED, SHORTEST = 20_000, 8


def method() -> str:
    return str(this_app().config.get("PASSWORD_METHOD", METHOD))


def hashed(password: str) -> str:
    """The hash to store. Takes a fifth of a second: never inside a transaction."""
    release()
    with a_place():
        return in_thread(generate_password_hash, password, method())


def matches(stored: str | None, password: str) -> bool:
    """Whether it is the password; an account without one, or none at all, takes the same time.

    For whoever has `a_place`.
    """
    release()
    fits = in_thread(check_password_hash, stored or _nobodys(method()), password)
    return fits and stored is not None


def _nobodys(of_method: str) -> str:
    """What no password fits, at the cost of one that somebody has."""
    return f"{of_method}${secrets.token_urlsafe(12)}${secrets.token_hex(64)}"


def is_outdated(stored: str) -> bool:
    """Whether it was made by other parameters than those of now."""
    return stored.partition("$")[0] != method()


@cache
def common() -> frozenset[str]:
    """What everybody tries, of what is long enough."""
    # Its lists alone, and when somebody first chooses a password: the package makes 14 MiB of them when it is loaded.
    package = str(find_spec("zxcvbn").origin)  # type: ignore[union-attr]  # it is among the requirements
    words = run_path(str(Path(package).with_name("frequency_lists.py")))["FREQUENCY_LISTS"]["passwords"]
    return frozenset(word for word in words[:TRIED] if len(word) >= SHORTEST)


def refuse_common(password: str | None, field: str = "password") -> None:
    """Raises `Invalid` for a password that is on every list of guesses."""
    if password is not None and password.lower() in common():
        raise Invalid(errors={field: ["This password is too common; choose another."]})
