"""The settings: every bad value is named, and production does not start half right."""

import re
import ssl

import certifi
import pytest
from sqlalchemy import create_engine

import config
from config import Misconfigured, database_url, engine_options, load

SECRET = "5f0c1e7ab93d2486f1e3c5a79b0d2e4f6a8c"
OTHER = "9d4b2f7a6c1e8350b7d9f2a4c6e81b3d5f70"
POSTGRES = "postgres://user:pass@db.example.com:5432/idyll"
DEVELOPMENT = {"SECRET_KEY": SECRET, "JWT_SECRET_KEY": OTHER}
PRODUCTION = DEVELOPMENT | {
    "APP_ENV": "production",
    "DATABASE_URL": POSTGRES,
    "CORS_ORIGINS": "https://app.example.com",
}


def faults(environ: dict[str, str]) -> list[str]:
    """The variables that are named as wrong."""
    with pytest.raises(Misconfigured) as refused:
        load(environ)
    assert all(fault in str(refused.value) for fault in refused.value.faults)
    return [fault.split(":")[0] for fault in refused.value.faults]


def test_development_needs_nothing_and_keeps_the_secrets_that_it_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "INSTANCE", tmp_path / "instance")
    found = load({})
    assert found["APP_ENV"] == "development"
    assert found["SQLALCHEMY_DATABASE_URI"] == f"sqlite:///{tmp_path}/instance/idyll.db"
    assert min(len(found["SECRET_KEY"]), len(found["JWT_SECRET_KEY"])) >= 64
    assert found["SECRET_KEY"] != found["JWT_SECRET_KEY"]
    assert load({}) == found
    [kept] = (tmp_path / "instance").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


DEFAULTS = {
    "REDIS_URL": "",
    "PUBLIC_URL": "http://localhost:5173",
    "PORT": 8000,
    "TRUSTED_PROXIES": 0,
    "FORCE_HTTPS": False,
    "RATELIMIT_ENABLED": True,
    "RATE_LIMIT_PER_MINUTE": 300,
    "LOGIN_LIMIT_PER_MINUTE": 30,
    "PUBLIC_WRITE_LIMIT_PER_MINUTE": 10,
    "ACCESS_TOKEN_SECONDS": 900,
    "REFRESH_TOKEN_DAYS": 30,
    "CHAT_FLOOD_LIMIT": 10,
    "REFRESH_REUSE_GRACE": 10,
    "REQUIRE_TWO_STEP": frozenset(),
    "TWO_STEP_AGAIN_MINUTES": 0,
    "AGENCY_TIMEZONE": "Asia/Kolkata",
    "DEFAULT_CURRENCY": "INR",
    "EVENT_RETENTION_DAYS": 7,
    "LOG_LEVEL": "info",
    "PAYOUT_SECOND_APPROVAL_FROM": {},
}


def test_the_defaults_are_those_of_the_contract():
    assert DEFAULTS.items() <= load(DEVELOPMENT).items()
    assert load(PRODUCTION)["FORCE_HTTPS"] is True


@pytest.mark.parametrize(
    ("text", "roles"), [("", ""), ("off", ""), ("owner", "owner"), (" Moderator, owner", "moderator owner")]
)
def test_roles_that_must_use_two_step_log_in_are_named_by_commas(text, roles):
    assert load(DEVELOPMENT | {"REQUIRE_TWO_STEP": text})["REQUIRE_TWO_STEP"] == set(roles.split())


def test_an_empty_variable_is_an_unset_one():
    assert load(DEVELOPMENT | dict.fromkeys(DEFAULTS, " ")) == load(DEVELOPMENT)


BAD = {
    "APP_ENV": ["staging", "prod"],
    "DATABASE_URL": ["nonsense", "oracle://a/b", "mongodb://a/b", "postgresql://host:port/name", "http://a"],
    "REDIS_URL": ["localhost:6379", "http://cache"],
    "SECRET_KEY": ["short", "x" * 31],
    "JWT_SECRET_KEY": ["short"],
    "CORS_ORIGINS": ["*", "https://app.example.com/", "https://*.netlify.app", "app.example.com", ",", "null"],
    "PUBLIC_URL": ["app.example.com", "ftp://app", "https://user@app", "https://app?x=1"],
    "PORT": ["0", "65536", "http", "-1", "8000.0"],
    "TRUSTED_PROXIES": ["-1", "11", "yes"],
    "FORCE_HTTPS": ["maybe", "2"],
    "RATELIMIT_ENABLED": ["maybe"],
    "RATE_LIMIT_PER_MINUTE": ["0", "many", "-5", "1e3"],
    "LOGIN_LIMIT_PER_MINUTE": ["0"],
    "PUBLIC_WRITE_LIMIT_PER_MINUTE": ["0"],
    "ACCESS_TOKEN_SECONDS": ["0", "29", "86401"],
    "REFRESH_TOKEN_DAYS": ["0", "366"],
    "REFRESH_REUSE_GRACE": ["-1", "301", "soon"],
    "CHAT_FLOOD_LIMIT": ["0"],
    "EVENT_RETENTION_DAYS": ["0", "366"],
    "AGENCY_TIMEZONE": ["Mars/Olympus", "../etc/passwd", "Asia", "IST+5"],
    "DEFAULT_CURRENCY": ["inr", "RUPEE", "₹"],
    "LOG_LEVEL": ["loud"],
    "MAIL_URL": ["smtp://mail"],
    "REQUIRE_TWO_STEP": ["on", "boss", "owner,boss", "owner;moderator"],
    "TWO_STEP_AGAIN_MINUTES": ["-1", "1441", "soon"],
    "PAYOUT_SECOND_APPROVAL_FROM": [
        *("0", "-1", "1.005", "10000000.01", "NaN", "true", "much", "[50000]", "on", '"50000"', "1e999"),
        *(
            '{"inr": 1}',
            '{"XXY": 1}',
            '{"INR": 0}',
            '{"INR": "1"}',
            '{"INR": null}',
            '{"INR": 1, "INR": 2}',
            "{INR: 1}",
        ),
    ],
    "SENTRY_DSN": ["https://sentry"],
}


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("", {}),
        ("off", {}),
        ("OFF", {}),
        ("{}", {}),
        ("50000", {"EUR": 5_000_000}),
        ("0.01", {"EUR": 1}),
        ('{"INR": 50000, "USD": 500.5}', {"INR": 5_000_000, "USD": 50_050}),
    ],
)
def test_amounts_that_need_two_people_are_of_a_currency_each(value, meant):
    found = load(DEVELOPMENT | {"PAYOUT_SECOND_APPROVAL_FROM": value, "DEFAULT_CURRENCY": "EUR"})
    assert found["PAYOUT_SECOND_APPROVAL_FROM"] == meant


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_named(name, value):
    base = PRODUCTION if name == "REDIS_URL" else DEVELOPMENT
    assert faults(base | {name: value}) == [name]


def test_all_faults_are_named_at_once():
    assert faults({"PORT": "x", "LOG_LEVEL": "loud", "SECRET_KEY": "short"}) == ["SECRET_KEY", "PORT", "LOG_LEVEL"]


# -- production --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY", "CORS_ORIGINS"])
def test_production_refuses_to_start_without_what_it_needs(name):
    found = faults({key: value for key, value in PRODUCTION.items() if key != name})
    assert found == [name]


SAMPLES = ["change-me-" * 4, "a" * 40, "your-secret-key-goes-here-0123456789", "dev-key-" * 5, "0123456789" * 3]


@pytest.mark.parametrize("sample", [*SAMPLES, "example-example-example-0123456789"])
def test_production_refuses_sample_and_short_secrets(sample):
    assert faults(PRODUCTION | {"SECRET_KEY": sample}) == ["SECRET_KEY"]
    assert faults(PRODUCTION | {"JWT_SECRET_KEY": sample}) == ["JWT_SECRET_KEY"]


def test_redis_goes_with_a_database_that_several_instances_can_use():
    assert faults(DEVELOPMENT | {"REDIS_URL": "redis://cache:6379"}) == ["REDIS_URL"]
    assert load(PRODUCTION | {"REDIS_URL": "rediss://:pw@cache:6379/0"})["REDIS_URL"].startswith("rediss://")


def test_no_secret_is_told_by_the_message():
    with pytest.raises(Misconfigured) as refused:
        load(PRODUCTION | {"SECRET_KEY": "tiny-secret", "DATABASE_URL": "oracle://user:hush@host/db"})
    assert "tiny-secret" not in str(refused.value)
    assert "hush" not in str(refused.value)


def test_origins_are_exact_and_previews_ones_own():
    found = load(PRODUCTION | {"CORS_ORIGINS": " https://App.example.com , https://*--idyll.netlify.app,"})
    exact, previews = found["CORS_ORIGINS"]
    assert exact == "https://app.example.com"
    assert isinstance(previews, re.Pattern)
    assert found["PUBLIC_URL"] == "https://app.example.com"


def test_previews_alone_give_no_address_for_links():
    only_previews = PRODUCTION | {"CORS_ORIGINS": "https://*--idyll.netlify.app"}
    assert faults(only_previews) == ["PUBLIC_URL"]
    assert load(only_previews | {"PUBLIC_URL": "https://app.example.com/"})["PUBLIC_URL"] == "https://app.example.com"


# -- the database's address --------------------------------------------------------------------------------------------

HOSTS = {
    # as handed out: what SQLAlchemy gets
    "postgres://u:p@ec2.example.com:5432/d": "postgresql+psycopg2://u:p@ec2.example.com:5432/d",
    "postgresql://u:p@host/d": "postgresql+psycopg2://u:p@host/d",
    "postgresql+asyncpg://u:p@host/d": "postgresql+psycopg2://u:p@host/d",
    "postgres://u:p%40ss%2Fw@host/d": "postgresql+psycopg2://u:p%40ss%2Fw@host/d",
    "postgresql://u:p@ep-x.neon.tech/d?sslmode=require&channel_binding=require": (
        "postgresql+psycopg2://u:p@ep-x.neon.tech/d?channel_binding=require&sslmode=require"
    ),
    "postgresql://u:p@host/d?sslmode=verify-full&sslrootcert=/etc/ca.pem": (
        "postgresql+psycopg2://u:p@host/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"
    ),
    "mysql://u:p@host:3306/d": "mysql+pymysql://u:p@host:3306/d?charset=utf8mb4",
    "postgres://u:p@pooler.supabase.com:6543/d?pgbouncer=true&connection_limit=1&sslmode=require": (
        "postgresql+psycopg2://u:p@pooler.supabase.com:6543/d?sslmode=require"
    ),
    "mariadb://u:p@host/d": "mysql+pymysql://u:p@host/d?charset=utf8mb4",
    "mysql://u:p@host/d?charset=utf8mb4": "mysql+pymysql://u:p@host/d?charset=utf8mb4",
    "sqlite:////data/idyll.db": "sqlite:////data/idyll.db",
}


@pytest.mark.parametrize("raw", HOSTS)
def test_addresses_are_taken_as_hosts_hand_them_out(raw):
    assert database_url(raw).render_as_string(hide_password=False) == HOSTS[raw]


PLANETSCALE = "mysql://u:pscale_pw_x@aws.connect.psdb.cloud/idyll"
TLS = [
    'ssl={"rejectUnauthorized":true}',
    "ssl=%7B%22rejectUnauthorized%22%3Atrue%7D",
    "sslaccept=strict",
    "ssl=true",
    "ssl-mode=REQUIRED",
    "sslmode=verify_identity",
    'ssl={"rejectUnauthorized":false}',
]


@pytest.mark.parametrize("asked", TLS)
def test_planetscales_tls_is_kept_and_verified(asked):
    query = database_url(f"{PLANETSCALE}?{asked}").query
    assert query["ssl_ca"].startswith("/")
    assert query == {"ssl_ca": query["ssl_ca"], "ssl_check_hostname": "true", "charset": "utf8mb4"}


@pytest.mark.parametrize("asked", [*TLS, f"ssl_ca={certifi.where()}", "ssl_verify_identity=true"])
def test_tls_reaches_the_driver_with_certificate_and_name_checked(asked):
    engine = create_engine(database_url(f"{PLANETSCALE}?{asked}"))
    _, arguments = engine.dialect.create_connect_args(engine.url)
    context = engine.dialect.dbapi.connections.Connection(**arguments, defer_connect=True).ctx
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509_ca"] > 50


def test_ones_own_certificate_authority_is_kept():
    query = database_url("mysql://u:p@host/d?ssl_ca=/etc/own-ca.pem").query
    assert (query["ssl_ca"], query["ssl_check_hostname"]) == ("/etc/own-ca.pem", "true")


@pytest.mark.parametrize("asked", ["sslmode=disable", "ssl=false", "ssl-mode=DISABLED"])
def test_a_database_on_the_same_host_may_go_without_tls(asked):
    assert database_url(f"mysql://u:p@localhost/d?{asked}").query == {"charset": "utf8mb4"}


def test_supabases_pooler_pools_so_that_we_do_not():
    assert "poolclass" in engine_options(database_url("postgres://u:p@pooler.supabase.com:6543/d"))
    assert engine_options(database_url("postgres://u:p@db.supabase.co:5432/d"))["pool_timeout"] == 5
