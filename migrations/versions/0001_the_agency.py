"""the agency"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The types as they were when these tables were made; idyll/columns.py may go its own way.
ID = (
    sa.CHAR(36)
    .with_variant(postgresql.UUID(as_uuid=False), "postgresql")
    .with_variant(mysql.CHAR(36, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)
INSTANT = (
    sa.TIMESTAMP()
    .with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
    .with_variant(sa.String(24), "sqlite")
    .with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")
)
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
COUNTERS = ("task_number", "events_sealed", "events_swept")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("object_type", sa.String(length=20), nullable=False),
        sa.Column("object_id", ID, nullable=False),
        sa.Column("changes", LONG_TEXT, nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        **MYSQL,
    )
    op.create_index("ix_audit_actor_id_id", "audit", ["actor_id", "id"])
    op.create_index("ix_audit_at_id", "audit", ["at", "id"])
    op.create_index("ix_audit_object_id_id", "audit", ["object_id", "id"])
    op.create_index("ix_audit_object_type_id", "audit", ["object_type", "id"])

    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
        **MYSQL,
    )
    counters = sa.table("counters", sa.column("name"), sa.column("value"))
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in COUNTERS])
    op.create_table(
        "events",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("data", LONG_TEXT, nullable=False),
        sa.Column("about", sa.String(length=20), nullable=False),
        sa.Column("of", ID, nullable=False),
        sa.Column("audience", LONG_TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        **MYSQL,
    )
    op.create_index("ix_events_about_of", "events", ["about", "of"])
    op.create_index("ix_events_created_at", "events", ["created_at"])
    op.create_index("ix_events_position", "events", ["position"], unique=True)

    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("username", sa.String(length=32), nullable=True),
        sa.Column("username_key", sa.String(length=32), nullable=True),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("display_name", sa.String(length=100), nullable=False),
        sa.Column("photo_url", sa.String(length=2048), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=True),
        sa.Column("software", sa.String(length=500), nullable=True),
        sa.Column("portfolio_link", sa.String(length=2048), nullable=True),
        sa.Column("contact", sa.String(length=200), nullable=True),
        sa.Column("theme", sa.String(length=8), nullable=False),
        sa.Column("sound_enabled", sa.Boolean(), nullable=False),
        sa.Column("search_name", sa.String(length=400), nullable=False),
        sa.Column("search_text", sa.String(length=1600), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("removed_at", INSTANT, nullable=True),
        sa.CheckConstraint("role IN ('editor', 'moderator', 'owner')", name=op.f("ck_users_role")),
        sa.CheckConstraint("status IN ('pending', 'approved', 'rejected')", name=op.f("ck_users_status")),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.UniqueConstraint("username_key", name="uq_users_username_key"),
        **MYSQL,
    )
    op.create_index("ix_users_role_id", "users", ["role", "id"])
    op.create_index("ix_users_status_id", "users", ["status", "id"])

    op.create_table(
        "applications",
        sa.Column("id", ID, nullable=False),
        sa.Column("full_name", sa.String(length=100), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("contact", sa.String(length=200), nullable=True),
        sa.Column("location", sa.String(length=200), nullable=True),
        sa.Column("software", sa.String(length=500), nullable=True),
        sa.Column("role", sa.String(length=200), nullable=True),
        sa.Column("portfolio_link", sa.String(length=2048), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("decided_by", ID, nullable=True),
        sa.Column("decided_at", INSTANT, nullable=True),
        sa.Column("reason", sa.String(length=1000), nullable=True),
        sa.Column("status_digest", sa.String(length=64), nullable=True),
        sa.Column("search_text", sa.String(length=1600), nullable=False),
        sa.Column("applied_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name="fk_applications_decided_by"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_applications_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_applications"),
        sa.UniqueConstraint("status_digest", name="uq_applications_status_digest"),
        **MYSQL,
    )
    op.create_index("ix_applications_email_id", "applications", ["email", "id"])
    op.create_index("ix_applications_status_id", "applications", ["status", "id"])
    op.create_index("ix_applications_user_id", "applications", ["user_id"])

    op.create_table(
        "chat_read_marks",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("room", sa.String(length=48), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_chat_read_marks_user_id"),
        sa.PrimaryKeyConstraint("user_id", "room", name="pk_chat_read_marks"),
        **MYSQL,
    )
    op.create_table(
        "meetings",
        sa.Column("id", ID, nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("local_time", sa.String(length=5), nullable=False),
        sa.Column("duration_minutes", sa.Integer(), nullable=False),
        sa.Column("meeting_link", sa.String(length=2048), nullable=True),
        sa.Column("all_team", sa.Boolean(), nullable=False),
        sa.Column("organizer_id", ID, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("cancelled_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["organizer_id"], ["users.id"], name="fk_meetings_organizer_id"),
        sa.PrimaryKeyConstraint("id", name="pk_meetings"),
        **MYSQL,
    )
    op.create_index("ix_meetings_starts_at_id", "meetings", ["starts_at", "id"])

    op.create_table(
        "messages",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("room", sa.String(length=48), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("sender_id", ID, nullable=True),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=True),
        sa.Column("timestamp", INSTANT, nullable=False),
        sa.Column("edited_at", INSTANT, nullable=True),
        sa.Column("deleted_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["sender_id"], ["users.id"], name="fk_messages_sender_id"),
        sa.PrimaryKeyConstraint("seq", name="pk_messages"),
        **MYSQL,
    )
    op.create_index("ix_messages_id", "messages", ["id"], unique=True)
    op.create_index("ix_messages_room_seq", "messages", ["room", "seq"])
    op.create_index("ix_messages_sender_id_client_id", "messages", ["sender_id", "client_id"], unique=True)

    op.create_table(
        "notifications",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("message", sa.String(length=2000), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("read_at", INSTANT, nullable=True),
        sa.Column("entity_type", sa.String(length=20), nullable=True),
        sa.Column("entity_id", ID, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_notifications_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        **MYSQL,
    )
    op.create_index("ix_notifications_entity_id_user_id", "notifications", ["entity_id", "user_id"])
    op.create_index("ix_notifications_user_id_id", "notifications", ["user_id", "id"])
    op.create_index("ix_notifications_user_id_read_at_id", "notifications", ["user_id", "read_at", "id"])

    op.create_table(
        "password_tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_password_tokens_user_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_password_tokens"),
        **MYSQL,
    )
    op.create_index("ix_password_tokens_user_id", "password_tokens", ["user_id"])

    op.create_table(
        "sessions",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("device", sa.String(length=200), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_seen_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        **MYSQL,
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_user_id_id", "sessions", ["user_id", "id"])

    op.create_table(
        "stored_answers",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("content_type", sa.String(length=100), nullable=True),
        sa.Column("body", LONG_TEXT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_stored_answers_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_stored_answers"),
        **MYSQL,
    )
    op.create_index("ix_stored_answers_created_at", "stored_answers", ["created_at"])
    op.create_index("ix_stored_answers_user_id_key", "stored_answers", ["user_id", "key"], unique=True)

    op.create_table(
        "tasks",
        sa.Column("id", ID, nullable=False),
        sa.Column("task_number", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("blocked_reason", sa.String(length=1000), nullable=True),
        sa.Column("priority", sa.String(length=8), nullable=False),
        sa.Column("priority_rank", sa.SmallInteger(), nullable=False),
        sa.Column("deadline", sa.Date(), nullable=False),
        sa.Column("raw_file_link", sa.String(length=2048), nullable=True),
        sa.Column("edited_file_link", sa.String(length=2048), nullable=True),
        sa.Column("approval_status", sa.String(length=16), nullable=False),
        sa.Column("assigned_to", ID, nullable=True),
        sa.Column("created_by", ID, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("completed_at", INSTANT, nullable=True),
        sa.Column("deleted_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "approval_status IN ('reviewing', 'need-changes', 'approved')", name=op.f("ck_tasks_approval_status")
        ),
        sa.CheckConstraint("priority IN ('low', 'medium', 'high')", name=op.f("ck_tasks_priority")),
        sa.CheckConstraint(
            "status IN ('pending', 'in-progress', 'completed', 'blocked')", name=op.f("ck_tasks_status")
        ),
        sa.ForeignKeyConstraint(["assigned_to"], ["users.id"], name="fk_tasks_assigned_to"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_tasks_created_by"),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.UniqueConstraint("task_number", name="uq_tasks_task_number"),
        **MYSQL,
    )
    op.create_index("ix_tasks_approval_status_id", "tasks", ["approval_status", "id"])
    op.create_index("ix_tasks_assigned_to_id", "tasks", ["assigned_to", "id"])
    op.create_index("ix_tasks_deadline_id", "tasks", ["deadline", "id"])
    op.create_index("ix_tasks_priority_rank_id", "tasks", ["priority_rank", "id"])
    op.create_index("ix_tasks_status_id", "tasks", ["status", "id"])

    op.create_table(
        "meeting_attendees",
        sa.Column("meeting_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["meeting_id"], ["meetings.id"], name="fk_meeting_attendees_meeting_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_meeting_attendees_user_id"),
        sa.PrimaryKeyConstraint("meeting_id", "user_id", name="pk_meeting_attendees"),
        **MYSQL,
    )
    op.create_index("ix_meeting_attendees_user_id_meeting_id", "meeting_attendees", ["user_id", "meeting_id"])

    op.create_table(
        "payouts",
        sa.Column("id", ID, nullable=False),
        sa.Column("editor_id", ID, nullable=False),
        sa.Column("task_id", ID, nullable=True),
        sa.Column("live_task_id", ID, nullable=True),
        sa.Column("project_name", sa.String(length=200), nullable=False),
        sa.Column("edited_link", sa.String(length=2048), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("payment_method", sa.String(length=100), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=True),
        sa.Column("reference", sa.String(length=200), nullable=True),
        sa.Column("note", sa.String(length=2000), nullable=True),
        sa.Column("decided_by", ID, nullable=True),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("decided_at", INSTANT, nullable=True),
        sa.Column("paid_at", INSTANT, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'paid', 'rejected', 'cancelled')", name=op.f("ck_payouts_status")
        ),
        sa.CheckConstraint("amount_minor > 0 AND amount_minor <= 1000000000", name=op.f("ck_payouts_amount_minor")),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name="fk_payouts_decided_by"),
        sa.ForeignKeyConstraint(["editor_id"], ["users.id"], name="fk_payouts_editor_id"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_payouts_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_payouts"),
        sa.UniqueConstraint("live_task_id", name="uq_payouts_live_task_id"),
        **MYSQL,
    )
    op.create_index("ix_payouts_editor_id_id", "payouts", ["editor_id", "id"])
    op.create_index("ix_payouts_requested_at_id", "payouts", ["requested_at", "id"])
    op.create_index("ix_payouts_status_id", "payouts", ["status", "id"])
    op.create_index("ix_payouts_task_id", "payouts", ["task_id"])

    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_refresh_tokens_session_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_refresh_tokens"),
        **MYSQL,
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])

    op.create_table(
        "payments",
        sa.Column("payout_id", ID, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("paid_by", ID, nullable=True),
        sa.Column("paid_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name="fk_payments_payout_id"),
        sa.PrimaryKeyConstraint("payout_id", name="pk_payments"),
        **MYSQL,
    )


def downgrade() -> None:
    op.drop_table("payments")
    op.drop_table("refresh_tokens")
    op.drop_table("payouts")
    op.drop_table("meeting_attendees")
    op.drop_table("tasks")
    op.drop_table("stored_answers")
    op.drop_table("sessions")
    op.drop_table("password_tokens")
    op.drop_table("notifications")
    op.drop_table("messages")
    op.drop_table("meetings")
    op.drop_table("chat_read_marks")
    op.drop_table("applications")
    op.drop_table("users")
    op.drop_table("events")
    op.drop_table("counters")
    op.drop_table("audit")
