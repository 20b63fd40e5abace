"""Failed log-ins are counted in the database; two-step log-in; a session knows its network and when it was proved."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

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
MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
TABLES = ("login_attempts", "two_step_secrets", "recovery_codes")
# One statement each: MySQL commits after every one of them.
COLUMNS = (
    ("users", "two_step_at", INSTANT),
    ("sessions", "network", sa.String(64)),
    ("sessions", "proved_at", INSTANT),
)


def upgrade() -> None:
    op.create_table(
        "login_attempts",
        sa.Column("id", ID, nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_attempts"),
        **MYSQL,
    )
    op.create_index("ix_login_attempts_account_at", "login_attempts", ["account", "at"])
    op.create_index("ix_login_attempts_at", "login_attempts", ["at"])
    op.create_index("ix_login_attempts_network_at", "login_attempts", ["network", "at"])
    op.create_table(
        "two_step_secrets",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("secret", sa.String(255), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_two_step_secrets_user_id"),
        sa.PrimaryKeyConstraint("user_id", name="pk_two_step_secrets"),
        **MYSQL,
    )
    op.create_table(
        "recovery_codes",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_recovery_codes_user_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_recovery_codes"),
        **MYSQL,
    )
    op.create_index("ix_recovery_codes_user_id", "recovery_codes", ["user_id"])
    for table, name, kind in COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=True))
    # An IPv4 address is a network of its own; of the others only the next log-in tells.
    op.execute("UPDATE sessions SET network = address WHERE address NOT LIKE '%:%'")
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')


def downgrade() -> None:
    for table, name, _ in reversed(COLUMNS):
        op.drop_column(table, name)
    for table in reversed(TABLES):
        op.drop_table(table)
