"""What is installed: exact versions with the hashes of their files, none of them known to be unsafe."""

import re
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from servers import ROOT

FILES = ("requirements.txt", "requirements-dev.txt")
# The oldest version without a fault that would concern this application, and what that fault was.
SAFE_FROM = {
    "certifi": ("2024.7.4", "CVE-2024-39689: an authority that lost its trust"),
    "eventlet": ("0.40.3", "CVE-2025-58068: requests smuggled in trailers"),
    "flask": ("3.1.1", "CVE-2025-47278: old signing keys were used first"),
    "flask-cors": ("6.0.0", "CVE-2024-6839, 6844, 6866: origins matched by patterns of other paths"),
    "gunicorn": (
        "25.1",
        "CVE-2024-1135, CVE-2024-6827: requests smuggled by Transfer-Encoding (fixed in 23); its parser of now",
    ),
    "h11": ("0.16.0", "CVE-2025-43859: malformed chunks taken for sound ones"),
    "jinja2": ("3.1.6", "CVE-2025-27516: a way out of the sandbox"),
    "mako": ("1.2.2", "CVE-2022-40023: a pattern without end"),
    "marshmallow": ("4.1.2", "CVE-2025-68480: a small request that costs much"),
    "pyjwt": ("2.13", "CVE-2026-48526, after GHSA-752w-5fwx-jx9f of 2.12: headers that were not looked at"),
    "pymysql": ("1.1.1", "CVE-2024-36039: SQL by the keys of JSON"),
    "python-socketio": ("5.14.0", "CVE-2025-61765: whoever writes to Redis ran code here"),
    "redis": ("8.1", "redis-py #4098: 8.0 gave up on a quiet subscription after 5 s"),
    "requests": ("2.32.4", "CVE-2024-47081: .netrc sent to strangers"),
    "urllib3": ("2.6.0", "CVE-2025-66418, 66471: bodies that unpack without end"),
    "werkzeug": ("3.1.4", "CVE-2025-66221: names of Windows devices; 3.0.6: forms without end"),
}
BELOW = {"gunicorn": ("26", "it has no eventlet worker: docs/adr/001-eventlet.md")}


def pins(name: str) -> dict[str, str]:
    """The packages of a file, each with all that stands of it."""
    entries = re.split(r"\n(?=[a-zA-Z0-9])", (ROOT / name).read_text().strip())
    return {re.match(r"[A-Za-z0-9._-]+", entry)[0].lower(): entry for entry in entries}


@pytest.mark.parametrize("name", FILES)
def test_everything_is_pinned_exactly_and_by_the_hashes_of_its_files(name):
    for package, entry in pins(name).items():
        pin = Requirement(entry.split("\\")[0].strip())
        assert re.fullmatch(r"==[^*]+", str(pin.specifier)), package
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), package


def test_both_files_agree():
    production, development = pins(FILES[0]), pins(FILES[1])
    for package in production.keys() & development.keys():
        assert production[package].split("# via")[0] == development[package].split("# via")[0], package


@pytest.mark.parametrize("package", SAFE_FROM)
def test_no_version_with_a_known_fault_is_pinned_or_installed(package):
    least, why = SAFE_FROM[package]
    entry = {**pins(FILES[1]), **pins(FILES[0])}[package]
    pinned = re.search(r"==([^ \\]+)", entry)[1]
    for found in (pinned, version(package)):
        assert Version(found) >= Version(least), why
        if package in BELOW:
            most, because = BELOW[package]
            assert Version(found) < Version(most), because


def test_wherever_packages_are_installed_their_hashes_are_asked_for():
    for name in ("bin/setup", "Dockerfile", "render.yaml"):
        text = (ROOT / name).read_text()
        installs = re.findall(r"pip install[^\n]*(?:\\\n[^\n]*)?", text)
        assert installs, name
        assert all("--require-hashes" in one for one in installs), name
