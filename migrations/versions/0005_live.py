"""Live delivery: the count of changed rights, the turn of messages, and the instances that are running."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0005"
down_revision = "0004"
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
COUNTERS = sa.table("counters", sa.column("name"), sa.column("value"))
NEW = ("rights",)


def upgrade() -> None:
    op.create_table(
        "instances",
        sa.Column("id", ID, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.bulk_insert(COUNTERS, [{"name": name, "value": 0} for name in NEW])
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE "instances" ENABLE ROW LEVEL SECURITY')


def downgrade() -> None:
    op.execute(COUNTERS.delete().where(COUNTERS.c.name.in_(NEW)))
    op.drop_table("instances")
