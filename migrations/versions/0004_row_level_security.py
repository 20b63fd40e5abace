"""Row-level security on every table, on PostgreSQL: Supabase serves the schema `public` to strangers otherwise.

The app owns its tables, and an owner passes. A later migration that makes a table must switch it on for that table;
tests/test_migrations.py finds one that does not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _switch("ENABLE")


def downgrade() -> None:
    _switch("DISABLE")


def _switch(how: str) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for table in sa.inspect(connection).get_table_names():
            op.execute(f'ALTER TABLE "{table}" {how} ROW LEVEL SECURITY')
