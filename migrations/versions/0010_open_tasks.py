"""Open tasks have indexes of their own on PostgreSQL, one for each order: few are overdue, among all that are done."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ORDERS = {"id": "id", "deadline_id": "deadline, id", "priority_rank_id": "priority_rank, id"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name, columns in ORDERS.items():
            there = "status <> 'completed' AND deleted_at IS NULL"
            op.execute(f"CREATE INDEX ix_tasks_open_{name} ON tasks ({columns}) WHERE {there}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in ORDERS:
            op.execute(f"DROP INDEX ix_tasks_open_{name}")
