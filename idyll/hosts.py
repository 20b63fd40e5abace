"""What hosts hand out as `DATABASE_URL`, and how each database is connected to."""

import ssl
from typing import Any

import certifi
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from .pool import FirstComePool

# What Supabase and Prisma hang on an address for themselves; a driver refuses to start with it.
NOT_FOR_DRIVERS = ("pgbouncer", "connection_limit", "pool_timeout", "supa")


def database_url(raw: str) -> URL:
    """A host's `DATABASE_URL` as SQLAlchemy understands it; used by the app and by migrations. Raises ValueError.

    Hosts hand out `postgres://` and `mysql://`, which SQLAlchemy 2.1 refuses or takes for drivers that aren't there.
    """
    try:
        url = make_url(raw)
        backend = url.drivername.split("+")[0]
    except (ArgumentError, ValueError):
        raise ValueError("not a database address, for example postgresql://user:password@host/name") from None
    drivers = {
        "postgres": "postgresql+psycopg2",
        "postgresql": "postgresql+psycopg2",
        "mysql": "mysql+pymysql",
        "mariadb": "mysql+pymysql",
        "sqlite": "sqlite",
    }
    if backend not in drivers:
        raise ValueError(f"{backend}:// is not known; use postgresql://, mysql:// or sqlite:///")
    url = url.set(drivername=drivers[backend]).difference_update_query(NOT_FOR_DRIVERS)
    return _with_pymysql_tls(url) if backend in ("mysql", "mariadb") else url


def _with_pymysql_tls(url: URL) -> URL:
    """PlanetScale's `?ssl={"rejectUnauthorized":true}` and `?sslaccept=strict` in PyMySQL's words.

    Whatever form of TLS was asked for, the certificate and the host's name are verified. Only `ssl_check_hostname`
    says so: with `ssl_verify_identity`, PyMySQL forgets the `ssl_ca` that SQLAlchemy hands it, and then the name.
    """
    query = dict(url.query)
    asked = [query.pop(name, None) for name in ("ssl", "sslaccept", "ssl-mode", "sslmode", "ssl_mode")]
    refused = {"false", "disable", "disabled", "0", "off"}
    own = [query.pop(name, None) for name in ("ssl_verify_cert", "ssl_verify_identity")]
    if any(a and str(a).lower() not in refused for a in [*asked, *own]) or "ssl_ca" in query:
        query.setdefault("ssl_ca", _ca_file())
        query["ssl_check_hostname"] = "true"
    query.setdefault("charset", "utf8mb4")
    return url.set(query=query)


def _ca_file() -> str:
    return ssl.get_default_verify_paths().cafile or certifi.where()


TRANSACTION_MODE = 6543  # Supabase's pooler


def statements_last(url: URL) -> bool:
    """Whether a connection keeps what is prepared on it: not one that a pooler lends for a transaction at a time."""
    pooled = url.port == TRANSACTION_MODE or "-pooler." in (url.host or "")  # Supabase's, and Neon's
    return url.get_backend_name() == "postgresql" and not pooled


def engine_options(url: URL) -> dict[str, Any]:
    """Pool and connection options. A request waits 5 s for a connection, then it is a 503, not a router's time-out."""
    if url.get_backend_name() == "sqlite":
        # isolation_level None: idyll.connections begins transactions itself (BEGIN IMMEDIATE).
        connect = {"timeout": 5, "isolation_level": None, "check_same_thread": False}
        return {
            "connect_args": connect,
            "hide_parameters": True,
            "poolclass": FirstComePool,
            "pool_reset_on_return": None,
        }
    options: dict[str, Any] = {
        "hide_parameters": True,  # rows stand in them, and tracebacks go to logs
        "poolclass": FirstComePool,
        "pool_size": 10,
        "max_overflow": 0,
        "pool_timeout": 5,
        "pool_reset_on_return": None,  # idyll.connections does it, and only where there is something to reset
        "pool_recycle": 280,  # Neon suspends after 300 s without queries
    }
    if url.get_backend_name() == "postgresql":
        if url.port == TRANSACTION_MODE:  # the pooler pools, so must not we
            options = {"poolclass": NullPool, "hide_parameters": True, "pool_reset_on_return": None}
        options["connect_args"] = {
            "connect_timeout": 5,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        }
    else:
        options["connect_args"] = {"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30}
        options["isolation_level"] = "READ COMMITTED"
    return options
