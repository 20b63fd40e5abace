"""Chat, notifications, applications, and who may do what: what people do to each other at random."""

from typing import Any

from conftest import PASSWORD
from talk import made

from .deeds import Chooser, Deed
from .reference import Person, Thing

ROLES = ("editor", "moderator", "owner")
TALK = {
    "say": 8,
    "say_otherwise": 3,
    "take_back": 4,
    "broadcast": 1,
    "clear_notification": 1,
    "apply": 1,
    "decide_on_form": 1,
    "delete_form": 1,
    "move_house": 2,
}
RIGHTS = {
    "change_role": 5,
    "decide_on_person": 3,
    "remove_person": 2,
    "log_out": 3,
    "log_in": 5,
    "hire": 1,
    "register": 2,
}


class Company(Chooser):
    # -- chat ----------------------------------------------------------------------------------------------------------

    def say(self) -> Deed | None:
        by = self.someone(self.world.members)
        if by is None:
            return None
        editors = sorted(self.world.members - self.world.managers)
        rooms = by.rooms(self.world.step) | ({f"editor:{self.dice.choice(editors)}"} if editors else set())
        room = self.dice.choice([room for room in sorted(rooms) if by.may_enter(room, self.world.step)])
        text = self.word("message")

        def then(answer: Any) -> None:
            message = self.world.make("message", answer["id"], room, by=by.id, text=text)
            self.heat(message)
            self.world.say("new_message", message.id, about=message, groups=[room])

        body = {"message": text, "room": room}
        return Deed(self.send("POST", "/chat/messages", by, **body), then, frozenset(), f"say something in {room[:6]}")

    def _own_words(self) -> tuple[Thing, Person] | None:
        """A message whose author is still there and still sees it."""
        message = self.one("message")
        by = self.world.people[message.facts["by"]] if message else None
        if message is None or by is None or not by.token or not message.is_shown_to(by, self.world.step):
            return None
        return message, by

    def say_otherwise(self) -> Deed | None:
        if (found := self._own_words()) is None:
            return None
        message, by = found
        text = self.word("message")

        def then(_: Any) -> None:
            self.world.unsaid.add(message.facts["text"])
            message.facts["text"] = text
            self.world.say("message_updated", message.id, about=message, groups=[message.whose.now])

        path = f"/chat/messages/{message.id}"
        return Deed(self.send("PUT", path, by, message=text), then, frozenset([message.id]), "change a message")

    def take_back(self) -> Deed | None:
        """By its author or by a manager."""
        if (found := self._own_words()) is None:
            return None
        message, by = found
        if self.dice.random() < 0.4:
            by = self.manager()

        def then(_: Any) -> None:
            self.world.unsaid.add(message.facts["text"])
            self.world.say("message_deleted", message.id, about=None, groups=[message.whose.now])
            self.world.gone(message)

        call = self.send("DELETE", f"/chat/messages/{message.id}", by)
        return Deed(call, then, frozenset([message.id]), "take a message back")

    # -- notifications -------------------------------------------------------------------------------------------------

    def broadcast(self, to: str = "", title: str = "") -> Deed:
        members, managers = self.world.members, self.world.managers
        groups = {"all": members, "managers": managers, "editors": members - managers}
        one = self.dice.choice(sorted(members))
        to = to or self.dice.choice([*groups, one])
        title, people = title or self.word("broadcast"), groups.get(to, {one})
        body = {"title": title, "message": "-", "to": to}

        def then(answer: Any) -> None:
            assert answer["recipients"] == len(people)
            self.world.notify(people, title)

        return Deed(self.send("POST", "/notifications", self.manager(), **body), then, frozenset(), "broadcast")

    def clear_notification(self) -> Deed | None:
        """One of a broadcast, which is told of once."""
        by = self.someone(self.world.members)
        notes = made(self.api.get("/api/notifications", by.token)) if by else {"data": []}
        mine = [note for note in notes["data"] if note["entityType"] == "broadcast"]
        if not mine:
            return None
        note = self.dice.choice(mine)
        told = self.world.things[f"{(note['title'],)} to {by.id}"]
        call = self.send("DELETE", f"/notifications/{note['id']}", by)
        return Deed(call, lambda _: self.world.gone(told), frozenset([note["id"]]), "clear a notification")

    # -- applications --------------------------------------------------------------------------------------------------

    def apply(self) -> Deed:
        word = self.word("form")
        form = {"fullName": word, "email": f"{word}@example.com", "contact": f"{word} 98"}

        def then(answer: Any) -> None:
            self._filed(answer["id"], word)

        return Deed(self.send("POST", "/applications", None, **form), then, frozenset(), "apply")

    def _filed(self, key: str, word: str) -> Thing:
        form = self.world.make("application", key, "managers", status="pending", word=word)
        self.world.say("application_created", key, about=form)
        self.world.notify(self.world.managers, "application", key)
        return form

    def _form(self, **facts: Any) -> Thing | None:
        """An application of nobody who has an account."""
        form = self.one("application", **facts)
        return None if form is None or any(p.application is form for p in self.world.people.values()) else form

    def decide_on_form(self) -> Deed | None:
        form, by = self._form(status="pending"), self.manager()
        if form is None:
            return None
        decision = self.dice.choice(["approve", "reject"])
        status = {"approve": "approved", "reject": "rejected"}[decision]

        def then(answer: Any) -> None:
            if decision == "approve":
                self._member(answer["userId"], form.facts["word"], "editor").application = form
            form.facts["status"] = status
            self.world.say("application_updated", form.id, status, about=form)

        call = self.send("PUT", f"/applications/{form.id}/{decision}", by)
        return Deed(call, then, frozenset([form.id, "members"]), f"{decision} an application")

    def delete_form(self) -> Deed | None:
        if (form := self._form()) is None:
            return None

        def then(_: Any) -> None:
            self.world.say("application_deleted", form.id, about=None)
            self.world.gone(form)

        call = self.send("DELETE", f"/applications/{form.id}", self.manager())
        return Deed(call, then, frozenset([form.id]), "delete an application")

    # -- people --------------------------------------------------------------------------------------------------------

    def _member(self, key: str, word: str, role: str) -> Person:
        person = self.world.person(key, word, role, "approved", word)
        self.world.say("user_created", key, about=self.world.things[key])
        return person

    def move_house(self) -> Deed | None:
        """Somebody changes their own profile; who waits for approval may too."""
        found = [person for person in self.world.people.values() if person.token]
        person, where = self.dice.choice(found), self.word("house")
        person.words.add(where)
        call = self.send("PUT", f"/users/{person.id}", person, location=where)
        then = lambda _: self.world.update_person(person, "location")  # noqa: E731 - short
        return Deed(call, then, frozenset([person.id]), "change one's profile")

    def _on_person(self, person: Person, then: Any, words: str, **body: Any) -> Deed:
        call = self.send("PUT", f"/users/{person.id}", self.anchor, **body)
        return Deed(call, then, frozenset([person.id]), f"{words} {person.name}")

    def change_role(self) -> Deed | None:
        person = self.someone(self.world.members - {self.anchor.id}, signed_in=False)
        if person is None:
            return None
        old = person.standing.now[0]
        # Not all to the top: two in three go back to where most are.
        new = self.dice.choice([role for role in (*ROLES[:2], "editor") if role != old] or ["owner"])
        new = "owner" if old == "moderator" and self.dice.random() < 0.2 else new

        def then(_: Any) -> None:
            person.standing.set((new, "approved"), self.world.step)
            self.world.update_person(person, "role")
            self.world.notify([person.id], "user", person.id)
            if ROLES.index(new) < ROLES.index(old):
                self.world.log_out(person)

        return self._on_person(person, then, f"make a {new} of", role=new)

    def decide_on_person(self) -> Deed | None:
        waiting = [p for p in self.world.people.values() if p.standing.now[1] in ("pending", "rejected")]
        if not waiting:
            return None
        person = self.dice.choice(waiting)
        role, old = person.standing.now
        new = "approved" if old == "rejected" else self.dice.choice(["approved", "approved", "rejected"])

        def then(_: Any) -> None:
            person.standing.set((role, new), self.world.step)
            self.world.update_person(person, "status", *(["approved"] if new == "approved" else []))
            self.world.decide_applications_of(person, new)
            self.world.notify([person.id], "user", person.id)
            if new == "rejected":
                self.world.log_out(person)

        return self._on_person(person, then, f"{new}:", status=new)

    def remove_person(self) -> Deed | None:
        found = [p for p in self.world.people.values() if p.standing.now[1] != "removed" and p is not self.anchor]
        person = self.dice.choice(found)
        call = self.send("DELETE", f"/users/{person.id}", self.anchor)
        then = lambda _: self.world.remove(person)  # noqa: E731 - short
        return Deed(call, then, frozenset([person.id]), f"remove {person.name}")

    def log_out(self) -> Deed | None:
        found = [s for p in self.world.people.values() for s in p.sessions if s.lives.now and p is not self.anchor]
        if not found:
            return None
        session = self.dice.choice(found)
        person = next(person for person in self.world.people.values() if session in person.sessions)
        call = lambda: made(self.api.post("/api/auth/logout", session.token, {}))  # noqa: E731 - short
        return Deed(call, lambda _: self.world.log_out(person, session), frozenset(), f"log out {person.name}")

    def log_in(self) -> Deed | None:
        """Somebody who was logged out, or once more."""
        found = [p for p in self.world.people.values() if p.standing.now[1] in ("approved", "pending") and p.login]
        away = [person for person in found if not person.token] or found
        person = self.dice.choice(away)
        if sum(session.lives.now for session in person.sessions) > 1:
            return None
        body = {"login": person.login, "password": PASSWORD}

        def then(answer: Any) -> None:
            self.world.log_in(person, answer["accessToken"])

        return Deed(self.send("POST", "/auth/login", None, **body), then, frozenset(), f"log in {person.name}")

    def hire(self) -> Deed | None:
        if len(self.world.members) > 34:
            return None
        word, role = self.word("hired"), self.dice.choice(ROLES[:2])
        body = {"email": f"{word}@example.com", "displayName": word, "role": role, "password": PASSWORD}

        def then(answer: Any) -> None:
            self._member(answer["id"], word, role).login = body["email"]

        return Deed(self.send("POST", "/users", self.anchor, **body), then, frozenset(["members"]), f"hire {word}")

    def register(self) -> Deed | None:
        if len([person for person in self.world.people.values() if person.standing.now[1] == "pending"]) > 6:
            return None
        word = self.word("registered")
        body = {"email": f"{word}@example.com", "username": word, "password": PASSWORD}

        def then(answer: Any) -> None:
            person = self.world.person(answer["user"]["id"], word, "editor", "pending", word)
            person.login = body["email"]
            [form] = made(self.api.get("/api/applications", self.anchor.token, query_string={"q": word}))["data"]
            person.application = self._filed(form["id"], word)
            self.world.log_in(person, answer["accessToken"])

        return Deed(self.send("POST", "/auth/register", None, **body), then, frozenset(), f"register {word}")
