"""Paid payouts, payments and the audit are frozen: no statement changes them, whatever the code does.

SQLite: REPLACE fires the delete triggers since the app's connections set `recursive_triggers`. MySQL and MariaDB have
no trigger for TRUNCATE; there the foreign key of `payments` keeps `payouts` from it. A host without triggers
(PlanetScale) is told of, and not refused.
"""

import logging

from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

log = logging.getLogger("migrations")
PAID = "OLD.status = 'paid'"
FROZEN = {"payouts": PAID, "payments": "", "audit": ""}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION '% is frozen', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
        )
    for table, condition in FROZEN.items():
        if dialect == "postgresql":
            when = f"WHEN ({condition})" if condition else ""
            op.execute(
                f"CREATE TRIGGER {table}_frozen BEFORE UPDATE OR DELETE ON {table} "
                f"FOR EACH ROW {when} EXECUTE FUNCTION refuse_change()"
            )
            op.execute(
                f"CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            continue
        for verb in ("UPDATE", "DELETE"):
            if dialect == "sqlite":
                when = f"WHEN {condition}" if condition else ""
                op.execute(
                    f"CREATE TRIGGER {table}_{verb.lower()}_frozen BEFORE {verb} ON {table} {when} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is frozen'); END"
                )
            else:
                _mysql(table, verb, condition or "TRUE")


def _mysql(table: str, verb: str, condition: str) -> None:
    try:
        op.execute(
            f"CREATE TRIGGER {table}_{verb.lower()}_frozen BEFORE {verb} ON {table} FOR EACH ROW "
            f"IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{table} is frozen'; END IF"
        )
    except DBAPIError as error:
        log.warning("this host has no triggers (%s): %s is guarded by the code alone", error.orig, table)


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    for table in FROZEN:
        if dialect == "postgresql":
            op.execute(f"DROP TRIGGER {table}_frozen ON {table}")
            op.execute(f"DROP TRIGGER {table}_kept ON {table}")
        else:
            for verb in ("update", "delete"):
                op.execute(f"DROP TRIGGER IF EXISTS {table}_{verb}_frozen")
    if dialect == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
