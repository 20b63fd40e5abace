"""The ledger, made of the payouts that are there, and the chain over the audit; both frozen like what is paid."""

import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import DBAPIError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

log = logging.getLogger("migrations")
MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
ID = (
    sa.CHAR(36)
    .with_variant(postgresql.UUID(as_uuid=False), "postgresql")
    .with_variant(mysql.CHAR(36, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)
INSTANT = (
    sa.String(24)
    .with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
    .with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")
)
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTERS = sa.table("counters", sa.column("name"), sa.column("value"))
LOCK = "audit_sealed"
TABLES = ("ledger", "audit_seals", "anchors")
FROZEN = ("ledger", "audit_seals")
PAYOUTS = sa.table("payouts", *map(sa.column, ("id", "editor_id", "status", "amount_minor", "currency")))
PAYMENTS = sa.table("payments", sa.column("payout_id"))
MOMENTS = [sa.column(name) for name in ("paid_at", "decided_at", "requested_at", "updated_at")]
FILLED = ("payout_id", "payment_id", "editor_id", "taken_from", "put_into", "amount_minor", "currency", "at")
LEDGER = sa.table("ledger", *map(sa.column, FILLED))
PAID_AT, DECIDED_AT, REQUESTED_AT, UPDATED_AT = MOMENTS
# How each payout came to where it is; of a rejected one nobody knows whether it was approved before.
STEPS = (
    ("asked", "pending", REQUESTED_AT, ("pending", "approved", "paid", "rejected", "cancelled")),
    ("pending", "approved", DECIDED_AT, ("approved", "paid")),
    ("pending", "rejected", DECIDED_AT, ("rejected",)),
    ("pending", "cancelled", UPDATED_AT, ("cancelled",)),
    ("approved", "paid", PAID_AT, ("paid",)),
)


def _postings(taken_from: str, put_into: str, moment: sa.ColumnElement, statuses: tuple[str, ...]) -> sa.Select:
    at = sa.func.coalesce(moment, UPDATED_AT)
    known = sa.select(PAYMENTS.c.payout_id).where(PAYMENTS.c.payout_id == PAYOUTS.c.id).scalar_subquery()
    payment = known if put_into == "paid" else sa.null()
    move = (sa.literal(taken_from), sa.literal(put_into))
    columns = (PAYOUTS.c.id, payment, PAYOUTS.c.editor_id, *move, PAYOUTS.c.amount_minor, PAYOUTS.c.currency, at)
    return sa.select(*columns).select_from(PAYOUTS).where(PAYOUTS.c.status.in_(statuses)).order_by(PAYOUTS.c.id)


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("payout_id", ID, nullable=False),
        sa.Column("payment_id", ID, nullable=True),
        sa.Column("editor_id", ID, nullable=False),
        sa.Column("by_id", ID, nullable=True),
        sa.Column("taken_from", sa.String(length=16), nullable=False),
        sa.Column("put_into", sa.String(length=16), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_ledger_amount_minor")),
        sa.CheckConstraint(
            "(taken_from = 'asked' AND put_into = 'pending')"
            " OR (taken_from = 'pending' AND put_into IN ('asked', 'approved', 'rejected', 'cancelled'))"
            " OR (taken_from = 'approved' AND put_into IN ('paid', 'rejected'))",
            name=op.f("ck_ledger_legal_move"),
        ),
        sa.CheckConstraint("payment_id IS NULL OR put_into = 'paid'", name=op.f("ck_ledger_payment_id")),
        sa.CheckConstraint(
            "by_id IS NULL OR by_id <> editor_id OR put_into NOT IN ('approved', 'paid', 'rejected')",
            name=op.f("ck_ledger_not_ones_own"),
        ),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name="fk_ledger_payout_id"),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.payout_id"], name="fk_ledger_payment_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        **MYSQL,
    )
    op.create_index("ix_ledger_editor_id", "ledger", ["editor_id"])
    op.create_table(
        "audit_seals",
        sa.Column("position", SERIAL, autoincrement=False, nullable=False),
        sa.Column("audit_id", ID, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["audit_id"], ["audit.id"], name="fk_audit_seals_audit_id"),
        sa.PrimaryKeyConstraint("position", name="pk_audit_seals"),
        sa.UniqueConstraint("audit_id", name="uq_audit_seals_audit_id"),
        **MYSQL,
    )
    op.create_table(
        "anchors",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("ledger_id", SERIAL, nullable=True),
        sa.Column("seal_position", SERIAL, nullable=True),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name="fk_anchors_ledger_id"),
        sa.ForeignKeyConstraint(["seal_position"], ["audit_seals.position"], name="fk_anchors_seal_position"),
        sa.PrimaryKeyConstraint("id", name="pk_anchors"),
        **MYSQL,
    )
    op.bulk_insert(COUNTERS, [{"name": LOCK, "value": 0}])
    for step in STEPS:
        op.execute(sa.insert(LEDGER).from_select(FILLED, _postings(*step)))
    _freeze(op.get_bind().dialect.name)


def _freeze(dialect: str) -> None:
    for table in TABLES if dialect == "postgresql" else ():
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    for table in FROZEN:
        if dialect == "postgresql":
            row = "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            op.execute(f"CREATE TRIGGER {table}_frozen BEFORE UPDATE OR DELETE ON {table} {row}")
            all_of_it = "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            op.execute(f"CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table} {all_of_it}")
            continue
        for verb in ("UPDATE", "DELETE"):
            begun = f"CREATE TRIGGER {table}_{verb.lower()}_frozen BEFORE {verb} ON {table}"
            if dialect == "sqlite":
                op.execute(f"{begun} BEGIN SELECT RAISE(ABORT, '{table} is frozen'); END")
            else:
                _mysql(f"{begun} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{table} is frozen'", table)


def _mysql(trigger: str, table: str) -> None:
    try:
        op.execute(trigger)
    except DBAPIError as error:
        log.warning("this host has no triggers (%s): %s is guarded by the code alone", error.orig, table)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute(COUNTERS.delete().where(COUNTERS.c.name == LOCK))
