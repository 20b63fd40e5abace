"""No index of events by time: the oldest have the lowest positions, and each event cost one more entry twice."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_events_created_at", "events")


def downgrade() -> None:
    op.create_index("ix_events_created_at", "events", ["created_at"])
