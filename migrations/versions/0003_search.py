"""An index for searching by the beginnings of words, on PostgreSQL; the expression is the one of idyll/search.py."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("tasks", "users", "applications")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            words = f"array_to_tsvector(string_to_array(ltrim({table}.search_text), ' '))"
            op.execute(f"CREATE INDEX ix_{table}_words ON {table} USING gin (({words}))")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"DROP INDEX ix_{table}_words")
