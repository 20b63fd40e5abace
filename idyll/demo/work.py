"""What the agency does: tasks on their way, the payouts for them, meetings, and what is said meanwhile."""

import secrets
from datetime import timedelta
from functools import partial
from typing import Any

from ..chat import service as chat
from ..limits import forget_counts
from ..meetings import service as meetings
from ..notifications import service as notifications
from ..payouts import service as payouts
from ..shapes import parsed
from ..tasks import service as tasks
from . import words
from .diary import Diary, table
from .people import OWNER, People

# What is done to a task after it was handed out, and to a payout.
WENT = {
    "new": (),
    "started": ("start",),
    "blocked": ("start", "block"),
    "in": ("start", "hand in"),
    "changes": ("start", "hand in", "ask for changes"),
    "again": ("start", "hand in", "ask for changes", "hand in"),
    "approved": ("start", "hand in", "approve"),
    "again-ok": ("start", "hand in", "ask for changes", "hand in", "approve"),
}
PAID = {
    "pending": ("request",),
    "cancelled": ("request", "take back"),
    "approved": ("request", "approve"),
    "rejected": ("request", "reject"),
    "paid": ("request", "approve", "pay"),
}


class Job:
    """A task on its way, and the payout for it."""

    def __init__(self, people: People, fields: dict[str, Any], manager: str, trouble: str) -> None:
        self.people = people
        self.fields = fields
        self.editor = fields.get("assigned_to", "")
        self.manager = manager
        self.trouble = trouble
        self.task_id = self.payout_id = self.edited = ""
        self.version = 0

    def hand_out(self) -> None:
        self.task_id = parsed(tasks.create(self.fields, by=self.people.who(self.manager)))["id"]

    def act(self, what: str) -> None:
        if what == "hand in":
            self.version += 1
            self.edited = f"{self.fields['raw_file_link'].replace('/raw/', '/edited/')}-v{self.version}"
        changes: dict[str, Any] = {
            "start": {"status": "in-progress"},
            "block": {"status": "blocked", "blocked_reason": self.trouble},
            "hand in": {"edited_file_link": self.edited},
            "ask for changes": {"approval_status": "need-changes"},
            "approve": {"approval_status": "approved"},
        }[what]
        by = self.people.who(self.manager if "approval_status" in changes else self.editor)
        tasks.edit(tasks.lock(self.task_id, viewer=by), changes, by=by)

    def request(self, amount: str) -> None:
        asked = {"project_name": self.fields["name"], "amount_minor": round(float(amount) * 100)}
        asked |= {"task_id": self.task_id, "payment_method": "UPI", "edited_link": self.edited}
        self.payout_id = parsed(payouts.request(asked, by=self.people.who(self.editor)))["id"]

    def decide(self, what: str) -> None:
        by = self.people.who(self.editor if what == "take back" else OWNER)
        payout = payouts.lock(self.payout_id, viewer=by)
        if what == "take back":
            payouts.cancel(payout, by=by)
            return
        changes = {
            "approve": {"status": "approved"},
            "reject": {"status": "rejected", "reason": "The client wants one more version first."},
            "pay": {"status": "paid", "reference": f"UTR {secrets.randbelow(10**12):012d}"},
        }[what]
        payouts.edit(payout, changes, by=by)


def note_tasks(diary: Diary, people: People) -> None:
    for name, editor, priority, due, went, payout, *text in table(words.TASKS):
        slug = "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
        fields: dict[str, Any] = {"name": name, "priority": priority, "description": text[0]}
        fields["deadline"] = diary.today + timedelta(days=int(due))
        fields["raw_file_link"] = f"https://drive.example.com/raw/{slug}"
        if editor != "-":
            fields["assigned_to"] = editor
        job = Job(people, fields, "sofia" if len(name) % 2 else "arjun", text[-1])
        begun, ended = max(-40.0, min(int(due) - 9.0, -3.0)), min(int(due) - 0.5, -0.2)
        diary.on(begun, job.hand_out)
        for count, act in enumerate(WENT[went], start=1):
            diary.on(begun + (ended - begun) * count / len(WENT[went]), partial(job.act, act))
        amount, _, state = payout.partition(" ")
        for count, act in enumerate(PAID.get(state, ())):
            step = partial(job.request, amount) if act == "request" else partial(job.decide, act)
            diary.on(ended + 0.4 + count, step)


def note_money_without_a_task(diary: Diary, people: People) -> None:
    """Put in by a manager, in another currency."""
    fields = {"project_name": "Drone rental", "amount_minor": 120_00, "currency": "USD", "note": "Two days"}
    diary.on(-4, lambda: payouts.request({**fields, "editor_id": people.ids["ravi"]}, by=people.who("arjun")))


def note_meetings(diary: Diary, people: People) -> None:
    for title, organizer, day, time, minutes, attendees, became, link in table(words.MEETINGS):
        fields: dict[str, Any] = {"title": title, "duration_minutes": int(minutes), "time": time}
        fields["date"] = diary.today + timedelta(days=int(day))
        fields["attendees"] = [attendees] if attendees == "All Team" else attendees.split()
        if link != "-":
            fields["meeting_link"] = f"https://meet.example.com/{link}"
        meeting = Appointment(people, organizer, fields)
        known = min(int(day) - 3.0, -1.0)
        diary.on(known + 0.2, meeting.schedule)
        if became != "-":
            diary.on(known + 0.7, meeting.cancel if became == "cancelled" else meeting.move)


class Appointment:
    def __init__(self, people: People, organizer: str, fields: dict[str, Any]) -> None:
        self.people, self.organizer, self.fields = people, organizer, fields
        self.id = ""

    def schedule(self) -> None:
        self.id = parsed(meetings.schedule(self.fields, by=self.people.who(self.organizer)))["id"]

    def cancel(self) -> None:
        by = self.people.who(self.organizer)
        meetings.cancel(meetings.lock(self.id, viewer=by), by=by)

    def move(self) -> None:
        by = self.people.who(self.organizer)
        meetings.edit(meetings.lock(self.id, viewer=by), {"time": "15:00"}, by=by)


def note_talk(diary: Diary, people: People) -> None:
    def say(room: str, username: str, text: str) -> str:
        forget_counts()  # weeks of talk in a second are no flood
        place = room if room in ("team", "management") else f"editor:{people.ids[room]}"
        body, _ = chat.send(text, room=place, client_id=None, by=people.who(username))
        return str(parsed(body)["id"])

    def correct_and_delete() -> None:
        key = say("team", "dev", "Machine is back! Book launch is up for review tomorow.")
        chat.edit(key, "Machine is back! Book launch is up for review tomorrow.", by=people.who("dev"))
        for username in ("meera", "asha", "dev"):
            chat.mark_read("team", key, by=people.who(username))
        chat.remove(say("team", "kabir", "Wrong window, sorry."), by=people.who("kabir"))

    for count, (room, username, day, text) in enumerate(table(words.CHAT)):
        diary.on(int(day) + 0.3 + count / 100, partial(say, room, username, text))
    diary.on(-0.3, correct_and_delete)

    holiday = {"title": "Diwali", "message": "The studio is closed for two days.", "type": "info", "urgent": False}
    diary.on(-3.5, lambda: notifications.broadcast({**holiday, "to": "all"}, by=people.who(OWNER)))


def note_reading(diary: Diary, people: People) -> None:
    """Some have read what came up to the day before yesterday."""

    def read_all(username: str) -> None:
        notifications.mark_all_read(by=people.who(username))

    for username in ("meera", "arjun", "asha", "ravi", "kabir", "dev"):
        diary.on(-1.01, partial(read_all, username))
