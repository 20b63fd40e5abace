"""The agency that is measured: the same 200 people and their work at every run, in the product and in its peer."""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import psycopg2
from werkzeug.security import generate_password_hash

from idyll.auth.passwords import METHOD
from idyll.search import searchable
from idyll.tasks.models import RANK, Priority, number

Row = dict[str, Any]

PASSWORD = "bench-password-1"
MODERATORS, EDITORS = 9, 190
TASKS, PAYOUTS, MESSAGES, NOTIFICATIONS = 20_000, 5_000, 50_000, 2_000
PAID_EDITORS = 50  # who asked for payouts
NOTIFIED = 20  # who has notifications: the managers and as many editors
# Long past, so that what a run writes is always the newest.
START = datetime(2025, 1, 1, tzinfo=UTC)
FIRST, LAST = (
    ("Asha", "Ravi", "Meera", "Kabir", "Leela", "Arjun", "Nina", "Dev"),
    ("Rao", "Iyer", "Khan", "Das", "Shah"),
)
TOOLS = ("DaVinci Resolve", "Premiere Pro", "Final Cut Pro")
STATUSES = ("pending", "in-progress", "completed", "blocked")
PAYOUT_STATUSES = ("pending", "approved", "paid", "rejected")


def key(kind: str, n: int, at: datetime) -> str:
    """A UUIDv7 of that time, the same at every run."""
    bits = int.from_bytes(hashlib.blake2b(f"{kind} {n}".encode(), digest_size=10).digest())
    milliseconds = int(at.timestamp() * 1000)
    return str(
        UUID(int=milliseconds << 80 | 0x7 << 76 | (bits >> 64 & 0xFFF) << 64 | 0b10 << 62 | bits & (1 << 62) - 1)
    )


def _digest(*parts: object) -> str:
    return hashlib.blake2b(" ".join(map(str, parts)).encode(), digest_size=16).hexdigest()


@cache
def people() -> list[Row]:
    """The owner, nine moderators and 190 editors, all of them members with the same password."""
    logins = ["owner", *(f"moderator{n + 1}" for n in range(MODERATORS)), *(f"editor{n + 1}" for n in range(EDITORS))]
    password_hash = generate_password_hash(PASSWORD, METHOD)
    return [_person(n, login, password_hash) for n, login in enumerate(logins)]


def _person(n: int, login: str, password_hash: str) -> Row:
    at = START + timedelta(hours=n)
    name, email = f"{FIRST[n % len(FIRST)]} {LAST[n % len(LAST)]} {n + 1}", f"{login}@idyll.example.com"
    return {
        "id": key("person", n, at),
        "email": email,
        "username": login,
        "username_key": login,
        "password_hash": password_hash,
        "display_name": name,
        "photo_url": f"https://photos.example.com/{_digest('photo', n)}.jpg",
        "role": login.rstrip("0123456789"),
        "status": "approved",
        "location": "Pune, India",
        "software": TOOLS[n % len(TOOLS)],
        "portfolio_link": f"https://vimeo.example.com/{login}",
        "contact": f"+91 98000 {n:05d}",
        "theme": ("dark", "light")[n % 2],
        "sound_enabled": n % 3 > 0,
        "search_name": searchable(name),
        "search_text": searchable(name, login, email),
        "created_at": at,
        "updated_at": at + timedelta(hours=1),
    }


def editors() -> list[Row]:
    return people()[1 + MODERATORS :]


@cache
def tasks() -> list[Row]:
    """Each editor has 105 or 106, of every status; every second completed one is approved."""
    return [_task(n) for n in range(1, TASKS + 1)]


def _task(n: int) -> Row:
    at = START + timedelta(days=30, minutes=10 * n)
    turn, nth = divmod(n - 1, EDITORS)
    status = STATUSES[(nth + turn) % 4]
    done = at + timedelta(days=2) if status == "completed" else None
    approval = ("reviewing", "approved")[turn // 4 % 2] if done else ("need-changes" if n % 5 == 0 else "reviewing")
    priority = tuple(Priority)[n % 3]
    name = f"Wedding highlight reel number {n}"
    description = f"Four minutes, keep the speeches, warm grade, English subtitles. Reference {_digest('reference', n)}"
    return {
        "id": key("task", n, at),
        "task_number": number(n),
        "name": name,
        "description": description,
        "status": status,
        "blocked_reason": "The raw file does not open" if status == "blocked" else None,
        "priority": priority.value,
        "priority_rank": RANK[priority],
        "deadline": date(2026, 1, 1) + timedelta(days=n % 1000),
        "raw_file_link": f"https://drive.example.com/raw/{_digest('raw', n)}",
        "edited_file_link": f"https://drive.example.com/edited/{_digest('edited', n)}" if done else None,
        "approval_status": approval,
        "assigned_to": editors()[nth]["id"],
        "created_by": people()[n % (1 + MODERATORS)]["id"],
        "version": 1 + n % 4,
        "search_text": searchable(number(n), name, description),
        "created_at": at,
        "updated_at": at + timedelta(days=2),
        "completed_at": done,
    }


@cache
def payouts() -> list[Row]:
    """A hundred for each of the first fifty editors; those of approved tasks name the task."""
    return [_payout(n) for n in range(PAYOUTS)]


def _payout(n: int) -> Row:
    turn, nth = divmod(n, PAID_EDITORS)
    task = tasks()[turn * EDITORS + nth]
    at = START + timedelta(days=40, minutes=30 * n)
    status = PAYOUT_STATUSES[(nth + turn // 4) % 4]
    decided = None if status == "pending" else at + timedelta(days=1)
    task_id = task["id"] if task["approval_status"] == "approved" else None
    return {
        "id": key("payout", n, at),
        "editor_id": task["assigned_to"],
        "task_id": task_id,
        "live_task_id": None if status == "rejected" else task_id,
        "project_name": task["name"],
        "edited_link": task["edited_file_link"],
        "amount_minor": 50_000 + n % 450 * 100 + 25,
        "currency": "INR",
        "payment_method": ("UPI", "Bank transfer")[n % 2],
        "status": status,
        "reason": "Already part of another invoice" if status == "rejected" else None,
        "reference": f"UTR-{n}" if status == "paid" else None,
        "note": "Two rounds of changes included",
        "decided_by": people()[n % (1 + MODERATORS)]["id"] if decided else None,
        "requested_at": at,
        "decided_at": decided,
        "paid_at": at + timedelta(days=3) if status == "paid" else None,
        "version": 1 + n % 3,
        "updated_at": at + timedelta(days=1),
    }


def payments() -> Iterator[Row]:
    for row in payouts():
        if row["status"] == "paid":
            shared = {name: row[name] for name in ("amount_minor", "currency", "reference", "paid_at")}
            yield {"payout_id": row["id"], "paid_by": row["decided_by"], **shared}


def ledger() -> Iterator[Row]:
    """How each payout came to where it is."""
    ways: dict[str, tuple[str, ...]] = {
        "approved": ("approved",),
        "paid": ("approved", "paid"),
        "rejected": ("rejected",),
    }
    for row in payouts():
        here = "asked"
        for there in ("pending", *ways.get(row["status"], ())):
            shared = {name: row[name] for name in ("editor_id", "amount_minor", "currency")}
            payment = {"payout_id": row["id"], "payment_id": row["id"] if there == "paid" else None}
            yield {**payment, "taken_from": here, "put_into": there, "at": row["updated_at"], **shared}
            here = there


def messages() -> Iterator[Row]:
    """All in the room of the whole team, by everybody in turn."""
    for n in range(1, MESSAGES + 1):
        at = START + timedelta(days=30, minutes=4 * n)
        yield {
            "id": key("message", n, at),
            "room": "team",
            "message": f"Message {n}: the colour grade on the second cut looks good, please export it",
            "sender_id": people()[n % len(people())]["id"],
            "type": "user",
            "client_id": f"seed-{n}",
            "timestamp": at,
        }


def notifications() -> Iterator[Row]:
    """A hundred for each manager and for each of the first ten editors; every second one is unread."""
    for n in range(NOTIFICATIONS):
        at, task = START + timedelta(days=120, minutes=5 * n), tasks()[n]
        yield {
            "id": key("notification", n, at),
            "user_id": people()[n % NOTIFIED]["id"],
            "type": "task",
            "title": f"Task {task['task_number']} is in-progress",
            "message": task["name"],
            "urgent": n % 3 == 0,
            "read_at": at + timedelta(hours=1) if n // NOTIFIED % 2 else None,
            "entity_type": "task",
            "entity_id": task["id"],
            "created_at": at,
        }


# -- into a database -------------------------------------------------------------------------------------------------


def connect(url: str) -> Any:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    return connection


def fill_product(url: str) -> None:
    """All of it, into the migrated database of the product."""
    with connect(url).cursor() as cursor:
        copy(cursor, "users", people())
        copy(cursor, "tasks", tasks())
        copy(cursor, "payouts", payouts())
        copy(cursor, "payments", list(payments()))
        copy(cursor, "ledger", list(ledger()))
        copy(cursor, "messages", list(messages()))
        copy(cursor, "notifications", list(notifications()))
        cursor.execute("SELECT setval('task_numbers', %s)", [TASKS])
        settle(cursor)


def fill_peer(url: str, schema: str) -> None:
    """The same rows, as far as the peer has columns for them, into tables made anew by its `schema`."""
    with connect(url).cursor() as cursor:
        cursor.execute(schema)
        copy(cursor, "users", people())
        copy(cursor, "tasks", tasks())
        copy(cursor, "payouts", payouts())
        copy(cursor, "chat_messages", list(messages()))
        copy(cursor, "notifications", list(notifications()))
        cursor.execute("SELECT setval('task_number_seq', %s)", [TASKS])
        settle(cursor)


def copy(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s", [table]
    )
    there = {name for (name,) in cursor.fetchall()}
    columns = [name for name in rows[0] if name in there]
    text = io.StringIO()
    csv.writer(text).writerows([row[name] for name in columns] for row in rows)
    text.seek(0)
    quoted = ", ".join(f'"{name}"' for name in columns)
    cursor.copy_expert(f'COPY "{table}" ({quoted}) FROM STDIN WITH (FORMAT csv)', text)


def settle(cursor: Any) -> None:
    """What autovacuum and the checkpointer would do some time later, in the middle of a measurement."""
    cursor.execute("VACUUM ANALYZE")
    cursor.execute("CHECKPOINT")
