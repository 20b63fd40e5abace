"""Many change the same things at once while those concerned listen: the audit says who might have heard what."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from listeners import Listeners, names
from talk import made, until

AT_TEN = {"title": "M", "date": "2030-01-01", "time": "10:00"}
JOB = {"name": "T", "deadline": "2030-01-01"}


@pytest.fixture
def people(live):
    return live.people


@pytest.fixture
def api(live):
    return live.api


def at_once(*deeds):
    """All of them beside each other, each a list of calls of its own."""
    with ThreadPoolExecutor(len(deeds)) as pool:
        for one in [pool.submit(lambda calls=calls: [call() for call in calls]) for calls in deeds]:
            one.result()


def put(api, path, by, **fields):
    return lambda: made(api.put(f"/api{path}", by, fields))


def history(api, owner, kind, key, field, first):
    """What a field of a thing was as of each version, as the audit has it."""
    query = {"objectType": kind, "objectId": key}
    changes = [row["changes"] for row in api.pages("/api/audit", owner, **query)][::-1]
    states = {1: first}
    for version, change in enumerate(changes[1:], start=2):
        states[version] = change[field][1] if field in change else states[version - 1]
    return states


def version_of(event):
    [thing] = [value for name, value in event["data"].items() if name in ("task", "meeting", "updates")]
    return thing.get("version")  # parting words have none


def test_a_task_that_is_passed_on_and_on(live, api, owner, people):
    editors = {f"editor {n}": people.editor() for n in range(4)}
    listeners = Listeners(live, {"owner": owner, **editors})
    first = editors["editor 0"]
    task = made(api.post("/api/tasks", owner, JOB | {"assignedTo": first.id}))["id"]
    path, dice = f"/tasks/{task}", random.Random(4)
    ids = [editor.id for editor in editors.values()]
    pass_on = [put(api, path, owner, assignedTo=dice.choice(ids)) for _ in range(30)]
    rename = [put(api, path, owner, name=f"Cut {n}") for n in range(30)]
    at_once(pass_on[::2], pass_on[1::2], rename)
    listeners.settle()

    assigned = history(api, owner, "task", task, "assignedTo", first.id)
    last = max(assigned)
    assert last > 40
    told = {version_of(event): event for event in listeners.heard("owner") if event["event"].startswith("task")}
    assert sorted(told) == list(assigned)
    for name, editor in editors.items():
        mine = [version for version, who in assigned.items() if who == editor.id]
        since_last = [v for v in mine if all(assigned[later] == editor.id for later in range(v, last + 1))]
        heard = [event for event in listeners.heard(name) if event["event"].startswith("task")]
        full = [event for event in heard if version_of(event)]
        # Nothing of a time when it was another's; and all of it since it was theirs for good.
        assert {version_of(event) for event in full} <= set(mine)
        assert set(since_last) <= {version_of(event) for event in full}
        for event in full:
            came = event["event"] == "task_created"
            before = assigned.get(version_of(event) - 1)
            assert came == (before != editor.id), event
            assert came or event == told[version_of(event)]
        partings = [event["data"]["updates"] for event in heard if not version_of(event)]
        assert partings == [{"assignedTo": assigned[v + 1]} for v in mine if v < last and assigned[v + 1] != editor.id]
        places = [int(event["eventId"][1:].partition("-")[0]) for event in heard]
        assert places == sorted(places)


def test_a_meeting_of_all_or_of_few_by_turns(live, api, owner, editor, other_editor):
    listeners = Listeners(live, {"owner": owner, "editor": editor, "other": other_editor})
    meeting = made(api.post("/api/meetings", owner, AT_TEN | {"attendees": [editor.id]}))["id"]
    path = f"/meetings/{meeting}"
    by_turns = [put(api, path, owner, attendees=["All Team"] if n % 2 == 0 else [editor.id]) for n in range(24)]
    rename = [put(api, path, owner, title=f"Cut {n}") for n in range(24)]
    at_once(by_turns, rename)
    listeners.settle()

    for_all = history(api, owner, "meeting", meeting, "allTeam", False)
    heard = [event for event in listeners.heard("other") if event["event"].startswith("meeting")]
    full = [event for event in heard if version_of(event)]
    assert all(for_all[version_of(event)] for event in full)
    partings = [event["data"]["updates"] for event in heard if not version_of(event)]
    ends = [version for version, open_ in for_all.items() if version > 1 and for_all[version - 1] and not open_]
    assert partings == [{"attendees": [editor.id]}] * len(ends)
    assert len(ends) == 12
    # Who attends all the time hears all of it.
    constant = [event for event in listeners.heard("editor") if event["event"].startswith("meeting")]
    assert [version_of(event) for event in constant] == list(for_all)


def test_managers_demoted_in_the_midst_of_it_hear_all_until_then_and_nothing_after(live, api, owner, people):
    moderators = {f"moderator {n}": people.moderator() for n in range(3)}
    tabs = {f"{name}, tab {tab}": who for name, who in moderators.items() for tab in (1, 2)}
    listeners = Listeners(live, {"owner": owner, **tabs}, {name: ["management"] for name in ("owner", *tabs)})
    money = {"projectName": "Rent", "amount": 1}
    requests = [lambda: made(api.post("/api/payouts", owner, money))] * 25
    words = [lambda: made(api.post("/api/tasks", owner, JOB))] * 25
    demotions = [put(api, f"/users/{who.id}", owner, role="editor") for who in moderators.values()]
    at_once(requests, words, [call for demotion in demotions for call in (*words[:5], demotion)])
    listeners.settle()
    team = [event for event in listeners.heard("owner") if event["event"] != "new_notification"]
    assert len(team) == 25 + 25 + 15 + 3
    for name, who in tabs.items():
        tab = listeners.ears[name]
        until(lambda tab=tab: not tab.is_connected)
        assert tab.events()[-1].name == "token_expired"
        [end] = [n for n, event in enumerate(team) if event["data"].get("userId") == who.id]
        heard = [event for event in listeners.heard(name) if event["event"] != "new_notification"]
        assert heard == team[: len(heard)]
        assert len(heard) <= end


def test_words_that_were_taken_back_are_not_heard_after_it_was_said(live, api, owner, people):
    authors = [people.editor() for _ in range(4)]
    listeners = Listeners(live, {"owner": owner, **{f"author {n}": author for n, author in enumerate(authors)}})

    def talk(author):
        for n in range(8):
            key = made(api.post("/api/chat/messages", author, {"message": f"Secret {n}"}))["id"]
            if n % 2:
                made(api.put(f"/api/chat/messages/{key}", author, {"message": f"Secret still {n}"}))
            made(api.delete(f"/api/chat/messages/{key}", author))

    at_once(*[[lambda author=author: talk(author)] for author in authors])
    listeners.settle()
    for name in listeners.people:
        gone = set()
        for event in listeners.heard(name):
            message = event["data"].get("message")
            key = event["data"].get("messageId") or (
                message["id"] if isinstance(message, dict) else event["data"]["id"]
            )
            assert key not in gone, event
            if event["event"] == "message_deleted":
                gone.add(key)
        assert len(gone) == 32
        assert names(listeners.missed(name)) == ["message_deleted"] * 32
