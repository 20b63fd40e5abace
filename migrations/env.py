"""How Alembic runs: through the app, with the same address and settings of the database as the app."""

from logging.config import fileConfig
from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import Engine, NullPool, create_engine

from idyll.connections import prepare
from idyll.hosts import engine_options

fileConfig(context.config.config_file_name, disable_existing_loggers=False)
migrate = current_app.extensions["migrate"]

# Made by hand for one database alone, so autogenerate must not miss it in the models.
OWN_INDEXES = {
    "ix_tasks_words",
    "ix_users_words",
    "ix_applications_words",
    "ix_tasks_open_id",
    "ix_tasks_open_deadline_id",
    "ix_tasks_open_priority_rank_id",
}


def include_object(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    return not (kind == "index" and name in OWN_INDEXES)


def engine() -> Engine:
    """As the app's, without its time-outs: a new index on a big table takes longer than a request may."""
    url = migrate.db.engine.url
    options = engine_options(url)["connect_args"]
    patient = {name: value for name, value in options.items() if name not in ("read_timeout", "write_timeout")}
    made = create_engine(url, poolclass=NullPool, connect_args=patient)
    prepare(made)
    return made


def run() -> None:
    with engine().connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=migrate.db.metadata,
            include_object=include_object,
            # One step, one transaction: where DDL commits by itself (MySQL) a failed step can still be run again.
            transaction_per_migration=True,
            **migrate.configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


if context.is_offline_mode():
    raise SystemExit("Migrations run against a database; there is no offline mode.")
run()
