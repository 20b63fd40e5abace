"""Task numbers from a sequence where the database has them, so that those who make tasks don't wait for one another."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE task_numbers OWNED BY tasks.task_number")
        last = "SELECT value + 1 FROM counters WHERE name = 'task_number'"
        op.execute(f"SELECT setval('task_numbers', ({last}), false)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("""
            UPDATE counters SET value = (
                SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM task_numbers
            ) WHERE name = 'task_number'
        """)
        op.execute("DROP SEQUENCE task_numbers")
