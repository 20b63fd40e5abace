"""The settings. The only file that reads the environment (gunicorn.conf.py aside, which runs before it).

`load(environ)` answers Flask's configuration or raises `Misconfigured`, which names every variable that is wrong,
so that a server never starts half right. What a variable means stands in README.md.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError
from sqlalchemy import make_url

from idyll.hosts import database_url, engine_options
from idyll.money import Amount, Currency
from idyll.strict_json import MalformedJson, loads

ROOT = Path(__file__).parent
INSTANCE = ROOT / "instance"
DEV_ORIGINS = "http://localhost:5173,http://127.0.0.1:5173,http://localhost:3000,http://127.0.0.1:3000"
MIN_SECRET_BYTES = 32
SAMPLES = ("change", "secret-key", "example", "sample", "your-", "placeholder", "xxxx", "dev-key")
PREVIEWS = re.compile(r"https://\*--([a-z0-9-]+)\.netlify\.app\Z")
DSN = r"https?://[A-Za-z0-9:]+@[A-Za-z0-9.:-]+(/[\w-]+)*/\d+"
ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:\d{1,5})?\Z")
# Promised by the contract, built later: better no start than a promise that isn't kept.
NOT_YET = ("MAIL_URL",)
ROLES = ("editor", "moderator", "owner")


class Misconfigured(SystemExit):
    """The environment is wrong; the message has one line for each variable at fault."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("Idyll does not start:\n" + "\n".join(f"  - {fault}" for fault in faults))


class _Reader:
    """Reads variables and collects what is wrong with them instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self.environ.get(name, "").strip() or default

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        raw = self.text(name, str(default))
        if re.fullmatch(r"\d{1,12}", raw) and least <= int(raw) <= most:
            return int(raw)
        self.faults.append(f"{name}: a whole number from {least} to {most}, not {raw!r}")
        return default

    def shaped(self, name: str, default: str, shape: str, words: str) -> str:
        raw = self.text(name, default)
        if raw and not re.fullmatch(shape, raw):
            self.faults.append(f"{name}: {words}")
        return raw

    def flag(self, name: str, default: bool) -> bool:
        raw = self.text(name, "on" if default else "off").lower()
        if raw in ("1", "true", "on", "yes"):
            return True
        if raw not in ("0", "false", "off", "no"):
            self.faults.append(f"{name}: on or off, not {raw!r}")
        return False

    def choices(self, name: str, choices: tuple[str, ...]) -> frozenset[str]:
        """Some of the words, by commas; none when it is off."""
        raw = self.text(name, "off").lower()
        words = frozenset(word.strip() for word in raw.split(",")) - {"off"}
        if words <= set(choices):
            return words
        self.faults.append(f"{name}: off, or some of {', '.join(choices)} by commas, not {raw!r}")
        return frozenset()

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        raw = self.text(name, default).lower()
        if raw in choices:
            return raw
        self.faults.append(f"{name}: one of {', '.join(choices)}, not {raw!r}")
        return default


def load(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Flask's configuration from the environment. Raises `Misconfigured`."""
    read = _Reader(environ)
    env = read.choice("APP_ENV", "development", ("development", "production"))
    production = env == "production"
    origins = _origins(read, production)
    try:
        database = database_url(read.text("DATABASE_URL", f"sqlite:///{INSTANCE / 'idyll.db'}"))
    except ValueError as error:
        read.faults.append(f"DATABASE_URL: {error}")
        database = make_url("sqlite://")
    if not read.text("DATABASE_URL"):
        INSTANCE.mkdir(exist_ok=True)
    if (redis := read.text("REDIS_URL")) and not redis.startswith(("redis://", "rediss://", "unix://")):
        read.faults.append("REDIS_URL: begins with redis://, rediss:// or unix://")
    if redis and database.get_backend_name() == "sqlite":
        read.faults.append("REDIS_URL: is for several instances, which SQLite cannot serve; set DATABASE_URL too")
    public_url = read.text("PUBLIC_URL", next((o for o in origins if "*" not in o), "")).rstrip("/")
    if not re.fullmatch(r"https?://[^\s?#@]+", public_url):
        read.faults.append("PUBLIC_URL: the front end's address, for example https://app.example.com")
    config = {
        "APP_ENV": env,
        "INSTANCE": INSTANCE,
        "SECRET_KEY": _secret(read, "SECRET_KEY", production),
        "JWT_SECRET_KEY": _secret(read, "JWT_SECRET_KEY", production),
        "SQLALCHEMY_DATABASE_URI": database.render_as_string(hide_password=False),
        "REDIS_URL": redis,
        "CORS_ORIGINS": [origin_rule(origin) for origin in origins],
        "PUBLIC_URL": public_url,
        "OWNER_EMAIL": read.text("OWNER_EMAIL"),
        "OWNER_PASSWORD": environ.get("OWNER_PASSWORD", ""),
        "PORT": read.number("PORT", 8000, least=1, most=65535),
        "TRUSTED_PROXIES": read.number("TRUSTED_PROXIES", 0, least=0, most=10),
        "TRUSTED_PROXIES_SET": bool(read.text("TRUSTED_PROXIES")),
        "FORCE_HTTPS": read.flag("FORCE_HTTPS", production),
        "RATELIMIT_ENABLED": read.flag("RATELIMIT_ENABLED", True),
        "RATE_LIMIT_PER_MINUTE": read.number("RATE_LIMIT_PER_MINUTE", 300, least=1, most=10**9),
        "LOGIN_LIMIT_PER_MINUTE": read.number("LOGIN_LIMIT_PER_MINUTE", 30, least=1, most=10**9),
        "PUBLIC_WRITE_LIMIT_PER_MINUTE": read.number("PUBLIC_WRITE_LIMIT_PER_MINUTE", 10, least=1, most=10**9),
        "ACCESS_TOKEN_SECONDS": read.number("ACCESS_TOKEN_SECONDS", 900, least=30, most=86_400),
        "REFRESH_TOKEN_DAYS": read.number("REFRESH_TOKEN_DAYS", 30, least=1, most=365),
        "REFRESH_REUSE_GRACE": read.number("REFRESH_REUSE_GRACE", 10, least=0, most=300),
        "REQUIRE_TWO_STEP": read.choices("REQUIRE_TWO_STEP", ROLES),
        "TWO_STEP_AGAIN_MINUTES": read.number("TWO_STEP_AGAIN_MINUTES", 0, least=0, most=1440),
        "CHAT_FLOOD_LIMIT": read.number("CHAT_FLOOD_LIMIT", 10, least=1, most=10**9),
        "SOCKETS_PER_USER": read.number("SOCKETS_PER_USER", 10, least=1, most=10**6),
        "SOCKETS_PER_ADDRESS": read.number("SOCKETS_PER_ADDRESS", 200, least=1, most=10**6),
        "SOCKETS_TOTAL": read.number("SOCKETS_TOTAL", 800, least=1, most=50_000),
        "EVENT_RETENTION_DAYS": read.number("EVENT_RETENTION_DAYS", 7, least=1, most=365),
        "AGENCY_TIMEZONE": _timezone(read),
        "DEFAULT_CURRENCY": read.shaped("DEFAULT_CURRENCY", "INR", "[A-Z]{3}", "an ISO 4217 code in upper case"),
        "PAYOUT_SECOND_APPROVAL_FROM": _amounts(read, "PAYOUT_SECOND_APPROVAL_FROM"),
        "SENTRY_DSN": read.shaped("SENTRY_DSN", "", DSN, "the address that Sentry shows, https://KEY@HOST/NUMBER"),
        "LOG_LEVEL": read.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
    }
    for name in NOT_YET:
        if read.text(name).lower() not in ("", "off"):
            read.faults.append(f"{name}: this version does not have it yet; unset it")
    if read.faults:
        raise Misconfigured(read.faults)
    return config | derived(config)


def derived(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the libraries want to be told, in their names, from our settings."""
    return {
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(make_url(config["SQLALCHEMY_DATABASE_URI"])),
        "JWT_TOKEN_LOCATION": ["headers"],
        "JWT_ALGORITHM": "HS256",
        "JWT_ACCESS_TOKEN_EXPIRES": timedelta(seconds=config["ACCESS_TOKEN_SECONDS"]),
        "JWT_ENCODE_ISSUER": "idyll",
        "JWT_DECODE_ISSUER": "idyll",
        "JWT_ENCODE_AUDIENCE": "idyll-api",
        "JWT_DECODE_AUDIENCE": "idyll-api",
        "JWT_ENCODE_NBF": False,
        # One byte more than is taken: of a chunked body werkzeug gives so much and is silent on the rest.
        "MAX_CONTENT_LENGTH": 1024 * 1024 + 1,
        "API_TITLE": "Idyll",
        "API_VERSION": "1.0.0",
        "OPENAPI_VERSION": "3.1.0",
        "PROPAGATE_EXCEPTIONS": False,
    }


# -- single settings -----------------------------------------------------------------------------------------------


def _secret(read: _Reader, name: str, production: bool) -> str:
    value = read.text(name)
    if value:
        if len(value.encode()) < MIN_SECRET_BYTES:
            read.faults.append(f"{name}: at least {MIN_SECRET_BYTES} bytes (openssl rand -hex 32)")
        elif production and (len(set(value)) < 10 or any(s in value.lower() for s in SAMPLES)):  # noqa: PLR2004 - few characters
            read.faults.append(f"{name}: looks like a sample; make one with openssl rand -hex 32")
        return value
    if production:
        read.faults.append(f"{name}: is missing; make one with openssl rand -hex 32")
        return ""
    return _development_secret(name)


def _development_secret(name: str) -> str:
    """Made once and kept under instance/, so that a restart logs nobody out."""
    INSTANCE.mkdir(exist_ok=True)
    file = INSTANCE / "development-secrets.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if name not in known:
        known[name] = secrets.token_hex(32)
        file.touch(mode=0o600)
        file.write_text(json.dumps(known))
    return known[name]


def _origins(read: _Reader, production: bool) -> list[str]:
    raw = read.text("CORS_ORIGINS", "" if production else DEV_ORIGINS)
    origins = [origin.strip().lower() for origin in raw.split(",") if origin.strip()]
    if not origins:
        # An empty list would switch the check of the sockets' library off.
        read.faults.append("CORS_ORIGINS: the front end's origin, for example https://app.example.com")
    for origin in origins:
        if not ORIGIN.match(origin) and not PREVIEWS.match(origin):
            read.faults.append(
                f"CORS_ORIGINS: {origin!r} is neither an exact origin (no path, no slash at the end)"
                " nor https://*--SITE.netlify.app"
            )
            return DEV_ORIGINS.split(",")
    return origins or DEV_ORIGINS.split(",")


def origin_rule(origin: str) -> str | re.Pattern[str]:
    """One's own Netlify previews become an anchored pattern; every other origin stays exact."""
    if site := PREVIEWS.match(origin):
        return re.compile(rf"^https://[a-z0-9-]+--{re.escape(site[1])}\.netlify\.app\Z")
    # The library takes brackets for a pattern of their own.
    return re.compile(rf"^{re.escape(origin)}\Z") if "[" in origin else origin


def _timezone(read: _Reader) -> str:
    name = read.text("AGENCY_TIMEZONE", "Asia/Kolkata")
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        read.faults.append(f"AGENCY_TIMEZONE: an IANA time zone such as Asia/Kolkata, not {name!r}")
    return name


def _amounts(read: _Reader, name: str) -> dict[str, int]:
    """Whole hundredths by currency, of `{"INR": 50000}` or of one number for DEFAULT_CURRENCY."""
    raw = read.text(name, "off")
    if raw.lower() == "off":
        return {}
    try:
        given = loads(raw.encode())
        amounts = given if isinstance(given, dict) else {read.text("DEFAULT_CURRENCY", "INR"): given}
        return {Currency().deserialize(code): Amount().deserialize(amount) for code, amount in amounts.items()}
    except (MalformedJson, ValidationError):
        read.faults.append(f'{name}: off, an amount such as 50000, or amounts such as {{"INR": 50000, "EUR": 500.50}}')
        return {}
