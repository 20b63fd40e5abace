"""Rows by the million for `make bench-growth`, made by PostgreSQL itself."""

from typing import Any

from .data import people

DAYS = 700  # of tasks
# What they have in common: ids that rise with n, times that end now, and a person for each.
PARTS = {
    "id": "('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid",
    "at": "now() - interval '6 days' + n * interval '0.1 seconds'",
    "someone": "(SELECT ids FROM editors)[1 + n % 190]",
    # As in any language: some in every text, hundreds in many, and some that are rare.
    "words": "' four minutes for family' || n % 300 || ' in city' || n % 120 "
    "|| CASE WHEN n % 10000 = 77 THEN ' drone' ELSE '' END",
}
# Of the agency at each size: handed out over `DAYS` until now, due one to eight weeks later, and done by then but for a
# few that were forgotten. What is due on some day stands together, and far from the newest where that day is long ago.
TASKS = """
    INSERT INTO tasks (id, task_number, name, description, status, priority, priority_rank, deadline, raw_file_link,
                       approval_status, assigned_to, version, search_text, created_at, updated_at, completed_at)
    SELECT {id}, 'C' || n, 'Wedding film ' || n, {words},
           status, (ARRAY['low', 'medium', 'high'])[1 + n % 3], 1 + n % 3, deadline,
           'https://drive.example.com/raw/' || md5(n::text), 'reviewing', {someone}, 1,
           ' c' || n || ' wedding film ' || n || {words}, at, at, CASE WHEN status = 'completed' THEN at END
    FROM generate_series(1, {last}) AS n,
         LATERAL (SELECT now() - interval '1 day' * {days} * ({last} - n) / {last}) AS a(at),
         LATERAL (SELECT at::date + 7 + n * 37 % 54) AS d(deadline),
         LATERAL (SELECT CASE WHEN n % 20000 = 7000 THEN 'in-progress' WHEN deadline < current_date THEN 'completed'
                              WHEN n % 100 = 0 THEN 'blocked' WHEN n % 3 = 1 THEN 'pending' ELSE 'completed' END)
         AS s(status)"""
FILLING = {
    "messages": """
        INSERT INTO messages (id, room, message, sender_id, type, timestamp)
        SELECT {id}, CASE WHEN n % 2 = 0 THEN 'team' ELSE 'editor:' || {someone} END,
               'Message ' || n || ': the colour grade on the second cut looks good', {someone}, 'user', {at}
        FROM generate_series({first}, {last}) AS n""",
    "events": """
        INSERT INTO events (position, name, data, about, of, audience, created_at)
        SELECT (SELECT value FROM counters WHERE name = 'events_sealed') + 1 + n - {first}, 'task_updated',
               '{{"taskId": "' || {id} || '", "updates": {{"status": "completed", "version": 2}}}}', 'task',
               {id}, '|managers| |user:' || {someone} || '|', {at}
        FROM generate_series({first}, {last}) AS n""",
}
ANSWERS = """
    INSERT INTO stored_answers (id, user_id, key, fingerprint, started_at, status, content_type, body, created_at)
    SELECT gen_random_uuid(), {someone}, 'key-' || n, md5(n::text), {at}, 201, 'application/json',
           repeat('{{"name": "Wedding film"}}', 20), {at}
    FROM generate_series(1, {last}) AS n"""


def hand_out(cursor: Any, count: int) -> None:
    """So many tasks, in place of those that were there."""
    _know_editors(cursor)
    # Not TRUNCATE: it would have to empty the payouts too, which are frozen.
    cursor.execute("DELETE FROM tasks")
    cursor.execute("VACUUM tasks")
    cursor.execute(TASKS.format(last=count, days=DAYS, **PARTS))


def add(cursor: Any, first: int, last: int) -> None:
    """Messages and events `first` to `last`; who is told of an event may see its task.

    A server that runs meanwhile reads all these events, to tell whoever is connected.
    """
    _know_editors(cursor)
    for statement in FILLING.values():
        cursor.execute(statement.format(first=first, last=last, **PARTS))
    cursor.execute("UPDATE counters SET value = value + %s WHERE name = 'events_sealed'", [last - first + 1])


def add_answers(cursor: Any, count: int) -> None:
    cursor.execute(ANSWERS.format(last=count, **PARTS))


def make_old(cursor: Any, share: float) -> int:
    """So much of the log, and all stored answers, are past their time; gives how many events."""
    cursor.execute("SELECT max(position) * %s FROM events", [share])
    upto = int(cursor.fetchone()[0])
    cursor.execute("UPDATE events SET created_at = created_at - interval '60 days' WHERE position <= %s", [upto])
    cursor.execute("UPDATE stored_answers SET created_at = created_at - interval '60 days'")
    return upto


def _know_editors(cursor: Any) -> None:
    ids = [person["id"] for person in people() if person["role"] == "editor"]
    cursor.execute("CREATE TEMP TABLE IF NOT EXISTS editors AS SELECT %s::uuid[] AS ids", [ids])
