"""Tasks, payouts and meetings: what happens to them at random."""

from typing import Any

from .deeds import Chooser, Deed
from .reference import ALL, Person, Thing

AT_TEN = {"date": "2031-01-01", "time": "10:00"}
WORK = {
    "make_task": 5,
    "rename_task": 4,
    "hand_task_over": 8,
    "work_on_task": 6,
    "judge_task": 4,
    "delete_task": 2,
    "ask_for_money": 4,
    "decide_on_money": 5,
    "rethink_money": 3,
    "schedule": 3,
    "rename_meeting": 3,
    "seat_others": 6,
    "cancel_meeting": 1,
}


class Work(Chooser):
    # -- tasks ---------------------------------------------------------------------------------------------------------

    def make_task(self) -> Deed:
        by, to = self.manager(), self.someone(self.world.members, signed_in=False)
        to = to if self.dice.random() < 0.8 else None
        job = {"name": self.word("task"), "deadline": "2031-01-01", "assignedTo": to.id if to else None}

        def then(answer: Any) -> None:
            task = self.world.make("task", answer["id"], answer["assignedTo"], status="pending", approval="reviewing")
            whose = [answer["assignedTo"]]
            self.heat(task)
            self.world.say("task_created", task.id, 1, about=task, names=whose)
            self.world.notify(whose, "task", task.id)

        return Deed(self.send("POST", "/tasks", by, **job), then, frozenset(), "make a task")

    def rename_task(self) -> Deed | None:
        if (task := self.one("task")) is None:
            return None
        name = self.word("task")
        return self.change(task, "/tasks", self.manager(), lambda: self._task_updated(task), "rename a task", name=name)

    def _task_updated(self, task: Thing, *told: str | None, **facts: str) -> None:
        task.facts.update(facts)
        self.world.updated(task, names=[task.whose.now])
        self.world.notify(told, "task", task.id)

    def hand_task_over(self) -> Deed | None:
        task, to = self.one("task"), self.someone(self.world.members, signed_in=False)
        key = to.id if to and self.dice.random() < 0.9 else None
        if task is None or key == task.whose.now:
            return None
        by, then = self.manager(), lambda: self.world.hand_over(task, key)
        return self.change(task, "/tasks", by, then, "hand a task over", assignedTo=key)

    def work_on_task(self) -> Deed | None:
        """By its editor, which the managers are told."""
        editor = self.editor()
        mine = [t for t in self.world.of_kind("task") if editor and t.whose.now == editor.id]
        mine = [task for task in mine if task.facts["approval"] != "approved"]
        if editor is None or (task := self.pick(mine)) is None:
            return None
        status = self.dice.choice([s for s in ("in-progress", "completed", "blocked") if s != task.facts["status"]])
        reason = {"blockedReason": "No footage."} if status == "blocked" else {}

        def then() -> None:
            self._task_updated(task, *self.world.managers, status=status)

        return self.change(task, "/tasks", editor, then, f"{status} by the editor", status=status, **reason)

    def judge_task(self) -> Deed | None:
        task, by = self.one("task", status="completed"), self.manager()
        if task is None:
            return None
        verdict = "need-changes" if task.facts["approval"] == "approved" else "approved"
        if task.facts["approval"] == "reviewing" and self.dice.random() < 0.3:
            verdict = "need-changes"
        status = "in-progress" if verdict == "need-changes" else "completed"

        def then() -> None:
            self._task_updated(task, task.whose.now, approval=verdict, status=status)

        return self.change(task, "/tasks", by, then, f"a task: {verdict}", approvalStatus=verdict)

    def delete_task(self) -> Deed | None:
        task, by = self.one("task"), self.manager()
        if task is None:
            return None
        waiting = [p for p in self.world.of_kind("payout") if p.facts["task"] == task.id]

        def then(_: Any) -> None:
            for payout in waiting:
                if payout.facts["status"] == "pending":
                    self.world.cancel_payout(payout)
                    self.world.notify({payout.whose.now} - {by.id}, "payout", payout.id)
            self.world.say("task_deleted", task.id, about=None, names=[task.whose.now])
            self.world.gone(task)

        touches = frozenset([task.id, *(payout.id for payout in waiting)])
        return Deed(self.send("DELETE", f"/tasks/{task.id}", by), then, touches, "delete a task")

    # -- payouts -------------------------------------------------------------------------------------------------------

    def ask_for_money(self) -> Deed | None:
        by = self.someone(self.world.members)
        if by is None:
            return None
        editor = self.someone(self.world.members, signed_in=False) if by.id in self.world.managers else by
        assert editor
        task = self._payable(editor) if self.dice.random() < 0.6 else None
        asked = {"projectName": self.word("payout"), "amount": 12.5, "editorId": editor.id}
        asked |= {"taskId": task} if task else {}

        def then(answer: Any) -> None:
            payout = self.world.make("payout", answer["id"], editor.id, status="pending", task=task)
            self.world.say("payout_created", payout.id, 1, about=payout, names=[editor.id])
            self.world.notify(self.world.managers - {by.id}, "payout", payout.id)

        return Deed(self.send("POST", "/payouts", by, **asked), then, frozenset({task} - {None}), "ask for money")

    def _payable(self, editor: Person) -> str | None:
        paid = {
            p.facts["task"]
            for p in self.world.of_kind("payout")
            if p.facts["status"] in ("pending", "approved", "paid")
        }
        mine = [t for t in self.world.of_kind("task") if t.whose.now == editor.id and t.facts["approval"] == "approved"]
        return next((task.id for task in mine if task.id not in paid), None)

    def decide_on_money(self) -> Deed | None:
        by, payout = self.manager(), self.one("payout", status=self.dice.choice(["pending", "approved"]))
        if payout is None or payout.whose.now == by.id:
            return None
        moves = {"pending": ["approved", "approved", "rejected"], "approved": ["paid", "rejected"]}
        status = self.dice.choice(moves[payout.facts["status"]])
        more = {"paid": {"reference": "UTR"}, "rejected": {"reason": "No."}}.get(status, {})

        def then() -> None:
            payout.facts["status"] = status
            self.world.updated(payout, names=[payout.whose.now])
            self.world.notify([payout.whose.now], "payout", payout.id)

        return self.change(payout, "/payouts", by, then, f"a payout: {status}", status=status, **more)

    def rethink_money(self) -> Deed | None:
        payout = self.one("payout", status="pending")
        by = self.world.people[payout.whose.now] if payout else None
        if payout is None or by is None or not by.token:
            return None
        if self.dice.random() < 0.5:
            cancelled = lambda _: self.world.cancel_payout(payout)  # noqa: E731 - one line of a pair
            call = self.send("DELETE", f"/payouts/{payout.id}", by)
            return Deed(call, cancelled, frozenset([payout.id]), "take a payout back")
        then = lambda: self.world.updated(payout, names=[payout.whose.now])  # noqa: E731 - as above
        return self.change(payout, "/payouts", by, then, "change a payout", projectName=self.word("payout"))

    # -- meetings ------------------------------------------------------------------------------------------------------

    def _attendees(self) -> Any:
        """Everybody, or some."""
        if self.dice.random() < 0.35:
            return ALL
        members = sorted(self.world.members)
        return set(self.dice.sample(members, min(len(members), self.dice.randint(0, 6))))

    @staticmethod
    def _written(attendees: Any) -> list[str]:
        return ["All Team"] if attendees == ALL else sorted(attendees)

    def _told_of(self, meeting: Thing) -> set[str]:
        everybody = self.world.members
        return everybody if meeting.whose.now == ALL else set(meeting.whose.now)

    def schedule(self) -> Deed:
        who = self._attendees()
        fields = AT_TEN | {"title": self.word("meeting"), "attendees": self._written(who)}

        def then(answer: Any) -> None:
            meeting = self.world.make("meeting", answer["id"], who)
            self.heat(meeting)
            names, groups = ((), ("managers", "members")) if who == ALL else (who, ("managers",))
            self.world.say("meeting_created", meeting.id, 1, about=meeting, names=names, groups=groups)
            self.world.notify(self._told_of(meeting), "meeting", meeting.id)

        return Deed(self.send("POST", "/meetings", self.manager(), **fields), then, frozenset(), "schedule a meeting")

    def rename_meeting(self) -> Deed | None:
        if (meeting := self.one("meeting")) is None:
            return None

        def then() -> None:
            self.world.seat(meeting, meeting.whose.now)
            self.world.notify(self._told_of(meeting), "meeting", meeting.id)

        title = self.word("meeting")
        return self.change(meeting, "/meetings", self.manager(), then, "rename a meeting", title=title)

    def seat_others(self) -> Deed | None:
        meeting, who = self.one("meeting"), self._attendees()
        if meeting is None or meeting.whose.now == who:
            return None

        def then() -> None:
            self.world.seat(meeting, who)
            self.world.notify(self._told_of(meeting), "meeting", meeting.id)

        by, written = self.manager(), self._written(who)
        return self.change(meeting, "/meetings", by, then, "change who attends", attendees=written)

    def cancel_meeting(self) -> Deed | None:
        if (meeting := self.one("meeting")) is None:
            return None

        def then(_: Any) -> None:
            self.world.notify(self._told_of(meeting), "meeting", meeting.id)
            names, groups = ((), ("managers", "members"))
            if meeting.whose.now != ALL:
                names, groups = meeting.whose.now, ("managers",)
            self.world.say("meeting_deleted", meeting.id, about=None, names=names, groups=groups)
            self.world.forget(meeting)

        call = self.send("DELETE", f"/meetings/{meeting.id}", self.manager())
        return Deed(call, then, frozenset([meeting.id]), "cancel a meeting")
