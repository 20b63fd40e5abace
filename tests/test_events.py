"""The event log as `GET /api/events` replays it: what each change says, in which order, and what is left out."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update

from idyll.clock import now
from idyll.database import asked, execute
from idyll.events import sealing, service
from idyll.events.models import Event
from idyll.extensions import db
from idyll.ids import uuid7
from idyll.transactions import record, transaction

pytestmark = pytest.mark.database

EVENTS = "/api/events"
LINK = "https://drive.example.com/edited"
PASSWORD = "four-minutes-of-film"
AT_TEN = {"title": "M", "date": "2030-01-01", "time": "10:00"}


def mark(api, by):
    answer = api.get(EVENTS, by).json
    assert (answer["events"], answer["more"]) == ([], False)
    return answer["lastEventId"]


def replay(api, by, since, **query):
    answer = api.get(EVENTS, by, query_string={"since": since, **query})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


def since(api, by, place):
    """What was missed: (name, payload without its `eventId`)."""
    found = []
    for event in replay(api, by, place)["events"]:
        assert event.keys() == {"eventId", "event", "data"}
        assert event["data"].pop("eventId") == event["eventId"]
        found.append((event["event"], event["data"]))
    return found


def done(answer):
    assert answer.status_code < 300, answer.get_data(as_text=True)
    return answer.json


def names(events):
    return [name for name, _ in events]


def changed(before, after):
    return {name: value for name, value in after.items() if before.get(name) != value}


def make_task(api, by, **fields):
    return done(api.post("/api/tasks", by, {"name": "T", "deadline": "2030-01-01", **fields}))


@pytest.fixture
def beginning(app):
    """The place before the first event."""
    with app.app_context():
        return service.event_id(0)


# -- what an event says ----------------------------------------------------------------------------------------------


def test_a_task_says_what_rest_answers_then_what_changed_then_that_it_is_gone(api, owner, moderator, editor):
    place = mark(api, moderator)
    made = make_task(api, owner, assignedTo=editor.id)
    path = f"/api/tasks/{made['id']}"
    edited = done(api.put(path, editor, {"editedFileLink": LINK}))
    created, updated, told = since(api, moderator, place)
    assert created == ("task_created", {"task": made})
    assert updated == ("task_updated", {"taskId": made["id"], "updates": changed(made, edited)})
    assert {"status", "editedFileLink", "completedAt", "version"} <= updated[1]["updates"].keys()
    [note] = api.get("/api/notifications", moderator).json["data"]
    assert told == ("new_notification", {"notification": note})
    place = mark(api, moderator)
    done(api.delete(path, owner))
    assert since(api, moderator, place) == since(api, editor, place) == [("task_deleted", {"taskId": made["id"]})]


def test_a_payout(api, owner, editor):
    place = mark(api, owner)
    made = done(api.post("/api/payouts", editor, {"projectName": "P", "amount": 10.5}))
    paths = f"/api/payouts/{made['id']}"
    approved = done(api.put(paths, owner, {"status": "approved"}))
    paid = done(api.put(paths, owner, {"status": "paid", "reference": "R"}))
    events = [event for event in since(api, owner, place) if event[0] != "new_notification"]
    assert events == [
        ("payout_created", {"payout": made}),
        (
            "payout_updated",
            {"payoutId": made["id"], "status": "approved", "updates": changed(made, approved)},
        ),
        ("payout_updated", {"payoutId": made["id"], "status": "paid", "updates": changed(approved, paid)}),
    ]
    assert [event for event in since(api, editor, place) if event[0] != "new_notification"] == events


def test_a_meeting(api, owner, editor):
    place = mark(api, owner)
    made = done(api.post("/api/meetings", owner, AT_TEN | {"attendees": [editor.id]}))
    path = f"/api/meetings/{made['id']}"
    edited = done(api.put(path, owner, {"time": "11:00"}))
    events = [
        ("meeting_created", {"meeting": made}),
        ("meeting_updated", {"meetingId": made["id"], "updates": changed(made, edited)}),
    ]
    assert since(api, owner, place) == events
    assert [event for event in since(api, editor, place) if event[0] != "new_notification"] == events
    done(api.delete(path, owner))
    assert since(api, owner, place) == [("meeting_deleted", {"meetingId": made["id"]})]


def test_a_message(api, owner, editor):
    place = mark(api, owner)
    sent = done(api.post("/api/chat/messages", editor, {"message": "Hello", "clientId": "c-1"}))
    assert done(api.post("/api/chat/messages", editor, {"message": "Hello", "clientId": "c-1"})) == sent
    assert since(api, owner, place) == [("new_message", sent)]
    edited = done(api.put(f"/api/chat/messages/{sent['id']}", editor, {"message": "Hi"}))
    assert since(api, owner, place) == [("new_message", edited), ("message_updated", {"message": edited})]
    done(api.delete(f"/api/chat/messages/{sent['id']}", editor))
    assert since(api, owner, place) == [("message_deleted", {"messageId": sent["id"], "room": "team"})]


def test_an_application_and_a_person(api, owner):
    place = mark(api, owner)
    filed = done(api.post("/api/applications", json={"fullName": "Nila", "email": "nila@example.com"}))["id"]
    application = api.get(f"/api/applications/{filed}", owner).json
    user = done(api.put(f"/api/applications/{filed}/approve", owner))["userId"]
    before = api.get(f"/api/users/{user}", owner).json
    after = done(api.put(f"/api/users/{user}", owner, {"location": "Pune"}))
    found = dict(event for event in since(api, owner, place) if event[0] != "new_notification")
    assert found == {
        "application_created": {"application": application},
        "user_created": {"user": before},
        "application_updated": {"applicationId": filed, "status": "approved"},
        "user_updated": {"userId": user, "updates": changed(before, after)},
    }


def test_a_person_hears_of_their_own_approval(api, owner, pending):
    place = mark(api, owner)
    assert api.get(EVENTS, pending).json["code"] == "account_pending"
    before = api.get(f"/api/users/{pending.id}", owner).json
    after = done(api.put(f"/api/users/{pending.id}", owner, {"status": "approved"}))
    updated, told = since(api, pending, place)
    assert updated == ("user_updated", {"userId": pending.id, "updates": changed(before, after)})
    assert updated[1]["updates"].keys() == {"status", "approved", "updatedAt"}
    assert told[0] == "new_notification"
    assert since(api, owner, place) == [updated]


def test_a_refused_or_idle_change_says_nothing(api, owner, editor):
    task = make_task(api, owner, assignedTo=editor.id)
    place = mark(api, owner)
    path = f"/api/tasks/{task['id']}"
    assert api.put(path, editor, {"name": "Mine"}).status_code == 403
    assert api.put(path, owner, {"approvalStatus": "approved"}).status_code == 409
    assert api.put(path, owner, {"name": "Other"}, headers={"If-Match": '"old"'}).status_code == 412
    assert api.put(path, owner, {"name": "T"}).json == task
    assert api.post("/api/tasks", owner, {"name": "T", "deadline": "soon"}).status_code == 422
    assert since(api, owner, place) == since(api, editor, place) == []
    assert mark(api, owner) == place


# -- parting words ---------------------------------------------------------------------------------------------------


def test_who_loses_a_task_hears_only_that(api, owner, editor, other_editor, beginning):
    made = make_task(api, owner, assignedTo=editor.id)
    place = mark(api, owner)
    edited = done(api.put(f"/api/tasks/{made['id']}", owner, {"assignedTo": other_editor.id, "name": "Secret"}))
    parting = ("task_updated", {"taskId": made["id"], "updates": {"assignedTo": other_editor.id}})
    assert since(api, editor, place) == [parting]
    assert names(since(api, editor, beginning)) == ["new_notification", "task_updated"]
    assert since(api, other_editor, place)[0] == ("task_created", {"task": edited})
    assert since(api, owner, place) == [
        ("task_updated", {"taskId": made["id"], "updates": changed(made, edited)}),
    ]
    done(api.put(f"/api/tasks/{made['id']}", owner, {"description": "Even more secret"}))
    done(api.delete(f"/api/tasks/{made['id']}", owner))
    assert since(api, editor, place) == [parting]
    assert names(since(api, editor, beginning)) == ["new_notification", "task_updated"]


def test_who_drops_out_of_a_meeting_hears_only_that(api, owner, moderator, editor, other_editor, beginning):
    made = done(api.post("/api/meetings", owner, AT_TEN | {"attendees": [editor.id, moderator.id]}))
    path = f"/api/meetings/{made['id']}"
    place = mark(api, owner)
    edited = done(api.put(path, owner, {"attendees": [other_editor.id], "title": "Secret"}))
    parting = {"meetingId": made["id"], "updates": {"attendees": [other_editor.id]}}
    assert since(api, editor, place) == [("meeting_updated", parting)]
    assert names(since(api, editor, beginning)) == ["new_notification", "meeting_updated"]
    assert since(api, other_editor, place)[0] == ("meeting_created", {"meeting": edited})
    full = ("meeting_updated", {"meetingId": made["id"], "updates": changed(made, edited)})
    assert since(api, owner, place) == since(api, moderator, place) == [full]
    done(api.delete(path, owner))
    assert since(api, editor, place) == [("meeting_updated", parting)]


# -- order and places ------------------------------------------------------------------------------------------------


def test_pages_join_to_the_whole_in_order_whatever_lies_between(api, owner, editor):
    place = mark(api, editor)
    for n in range(4):
        make_task(api, owner, name=f"{n}", assignedTo=editor.id)
        make_task(api, owner, name="not theirs")
    whole = replay(api, editor, place)
    assert whole["more"] is False
    tasks = [event["data"]["task"]["name"] for event in whole["events"] if event["event"] == "task_created"]
    assert tasks == ["0", "1", "2", "3"]
    read, at, more = [], place, True
    while more:
        page = replay(api, editor, at, limit=3)
        assert len(page["events"]) == 3 or not page["more"]
        read, at, more = read + page["events"], page["lastEventId"], page["more"]
    assert read == whole["events"]
    assert at == whole["lastEventId"] == mark(api, editor) == mark(api, owner)
    assert replay(api, editor, read[4]["eventId"])["events"] == read[5:]
    assert len({event["eventId"] for event in read}) == len(read)


def test_a_forged_place_is_refused(api, owner):
    make_task(api, owner)
    place = mark(api, owner)
    forged = [
        place[:-1] + ("0" if place[-1] != "0" else "1"),
        place + "0",
        place.upper(),
        f" {place}",
        "e0",
        "1",
        "",
        "x" * 5000,
    ]
    forged += [
        "e" + str(int(place[1:].split("-")[0]) + 1) + "-" + place.split("-")[1],
        "e0-00000000",
        f"e-1-{place[-8:]}",
    ]
    for forgery in forged:
        answer = api.get(EVENTS, owner, query_string={"since": forgery})
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["since"]), forgery


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 501}, {"limit": "x"}, {"room": "team"}, {"cursor": "x"}])
def test_other_questions_are_refused(api, owner, query):
    assert list(api.get(EVENTS, owner, query_string=query).json["errors"]) == list(query)


def test_a_poller_misses_nothing_while_many_write_at_once(api, app, owner, editor):
    """Numbers taken inside of transactions become visible out of order; a reader must not run past the late ones."""
    place, seen, written = mark(api, owner), [], []

    def write(n):
        tab = type(api)(app)
        for _ in range(4):
            task = make_task(tab, owner)
            done(tab.put(f"/api/tasks/{task['id']}", owner, {"name": f"Tab {n}"}))
            written.append(task["id"])

    with ThreadPoolExecutor(4) as tabs:
        writing = [tabs.submit(write, n) for n in range(4)]
        while True:
            over = all(one.done() for one in writing)
            found = replay(api, owner, place, limit=5)
            place, seen = found["lastEventId"], seen + found["events"]
            if over and not found["more"]:
                break
    for one in writing:
        one.result()
    by_task = {key: [] for key in written}
    for event in seen:
        key = event["data"]["task"]["id"] if "task" in event["data"] else event["data"]["taskId"]
        by_task[key].append(event["event"])
    assert list(by_task.values()) == [["task_created", "task_updated"]] * 16


@pytest.mark.only_on("postgresql", "mariadb")
def test_a_reader_waits_for_nobody_who_writes_later(api, app, owner):
    """Under steady writing something always waits for its place in the log."""
    later = []

    def write(_, statement, **__):
        if "UPDATE events SET" in statement and len(later) < 20:
            later.append(one_more.submit(make_task, type(api)(app), owner).result())

    make_task(api, owner)
    with app.app_context():
        engine = db.engine
    with ThreadPoolExecutor(1) as one_more, asked.connected_to(write, engine):
        mark(api, owner)
    assert len(later) == 1


@pytest.mark.only_on("postgresql")
def test_giving_places_never_reads_the_whole_log_though_it_was_empty_when_last_analysed(api, app, owner):
    def times_read():
        execute(text("SELECT pg_stat_force_next_flush()"))
        return execute(text("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'events'")).scalar()

    with app.app_context():
        execute(delete(Event))
        execute(text("ANALYZE events"))
    make_task(api, owner)
    with app.app_context():
        before = times_read()
        assert sealing.seal().sealed == 1
        assert times_read() == before


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("tell", [True, False], ids=["told", "not told"])
def test_giving_many_their_places_goes_through_each_of_them_a_few_times(api, app, owner, tell):
    def gone_through(plan):
        rows = [plan["Actual Rows"], *[n for name, n in plan.items() if name.startswith("Rows Removed by")]]
        return max([sum(rows) * plan["Actual Loops"], *map(gone_through, plan.get("Plans", []))])

    def tell_of(many):
        with transaction():
            for _ in range(many):
                record("task_deleted", {"taskId": uuid7()}, about="parting", of=uuid7(), audience=["managers"])

    many = 200
    with app.app_context():
        tell_of(10 * many)
        sealing.seal()
        execute(text("ANALYZE events"))
        seen = []
        with asked.connected_to(lambda _, statement, parameters: seen.append((statement, parameters))):
            sealing.seal_some(tell=tell)
        tell_of(many)
        [(statement, parameters)] = [one for one in seen if "UPDATE events" in one[0]]
        with db.engine.connect() as connection:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            [found] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    assert many <= gone_through(found["Plan"]) <= 3 * many


# -- too old ---------------------------------------------------------------------------------------------------------


def age(app, *, but_last=0):
    with app.app_context(), transaction():
        ids = list(execute(select(Event.id).order_by(Event.id)).scalars())
        old = ids[: len(ids) - but_last]
        execute(update(Event.__table__).where(Event.id.in_(old)).values(created_at=now() - timedelta(days=8)))


def test_after_a_sweep_who_was_away_too_long_begins_anew(api, app, owner, beginning):
    make_task(api, owner)
    first = mark(api, owner)
    make_task(api, owner)
    second = mark(api, owner)
    make_task(api, owner)
    age(app, but_last=1)
    with app.app_context():
        assert service.sweep() == 2
    last = mark(api, owner)
    for place in (beginning, first):
        assert replay(api, owner, place) == {"resync": True, "lastEventId": last}
    assert names(since(api, owner, second)) == ["task_created"]
    assert since(api, owner, last) == []
    with app.app_context():
        assert service.sweep() == 0


def test_events_that_nobody_asked_for_are_swept_too(api, app, owner, beginning):
    make_task(api, owner)
    age(app)
    with app.app_context():
        assert service.sweep() == 1
    assert replay(api, owner, beginning)["resync"] is True


# -- what may be seen today ------------------------------------------------------------------------------------------


def login(api, someone):
    answer = done(api.post("/api/auth/login", json={"login": someone.email, "password": PASSWORD}))
    return answer["accessToken"]


def test_a_replay_is_filtered_by_todays_rights(api, owner, moderator, editor):
    place = mark(api, moderator)
    make_task(api, owner, assignedTo=editor.id)
    make_task(api, owner, assignedTo=moderator.id)
    done(api.post("/api/payouts", editor, {"projectName": "P", "amount": 1}))
    done(api.post("/api/meetings", owner, AT_TEN | {"attendees": [editor.id]}))
    done(api.post("/api/meetings", owner, AT_TEN | {"attendees": "All Team"}))
    done(api.post("/api/applications", json={"fullName": "Nila", "email": "nila@example.com"}))
    for room in ("team", "management", f"editor:{editor.id}"):
        done(api.post("/api/chat/messages", owner, {"message": room, "room": room}))
    gone = done(api.post("/api/chat/messages", owner, {"message": "x", "room": "management"}))["id"]
    done(api.delete(f"/api/chat/messages/{gone}", owner))
    as_manager = names(since(api, moderator, place))
    assert {"payout_created", "application_created", "message_deleted"} <= set(as_manager)
    done(api.put(f"/api/users/{moderator.id}", owner, {"role": "editor"}))
    token = login(api, moderator)
    found = [(name, data) for name, data in since(api, token, place) if name != "new_notification"]
    assert names(found) == ["task_created", "meeting_created", "new_message", "user_updated"]
    assert found[0][1]["task"]["assignedTo"] == moderator.id
    assert found[1][1]["meeting"]["allTeam"] is True
    assert found[2][1]["room"] == "team"
    done(api.put(f"/api/users/{editor.id}", owner, {"role": "moderator"}))
    promoted = {name for name, _ in since(api, editor, place)}
    assert {"payout_created", "application_created", "message_deleted"} <= promoted


def test_nothing_deleted_or_edited_away_is_replayed(api, owner, editor, beginning):
    task = make_task(api, owner, name="gone task", assignedTo=editor.id)["id"]
    done(api.put(f"/api/tasks/{task}", owner, {"name": "gone as well"}))
    meeting = done(api.post("/api/meetings", owner, AT_TEN | {"title": "gone meeting", "attendees": "All Team"}))["id"]
    application = done(api.post("/api/applications", json={"fullName": "Gone Nila", "email": "gone@example.com"}))["id"]
    said = done(api.post("/api/chat/messages", editor, {"message": "gone words"}))["id"]
    kept = done(api.post("/api/chat/messages", editor, {"message": "taken back"}))["id"]
    done(api.put(f"/api/chat/messages/{said}", editor, {"message": "gone as well"}))
    for words in ("taken back too", "these stand"):
        done(api.put(f"/api/chat/messages/{kept}", editor, {"message": words}))
    for path, by in (
        (f"tasks/{task}", owner),
        (f"meetings/{meeting}", owner),
        (f"applications/{application}", owner),
        (f"chat/messages/{said}", editor),
    ):
        done(api.delete(f"/api/{path}", by))
    for by in (owner, editor):
        for note in api.get("/api/notifications", by).json["data"]:
            done(api.delete(f"/api/notifications/{note['id']}", by))
        found = since(api, by, beginning)
        assert "these stand" in str(found)
        assert [words for words in ("gone", "Gone", "taken back") if words in str(found)] == []
        assert "new_notification" not in names(found)
        assert names(found).count("new_message") == 1
    assert set(names(since(api, owner, beginning))) == {
        "new_message",
        "message_updated",
        "task_deleted",
        "meeting_deleted",
        "application_deleted",
        "message_deleted",
    }


@pytest.mark.parametrize("role", ["editor", "moderator"])
def test_nothing_of_a_removed_person_is_replayed(api, app, people, owner, other_editor, beginning, role):
    leaver = getattr(people, role)(name="Lena Leaver")
    profile = {"contact": "+91 555", "photoURL": "https://photos.example.com/lena", "username": "lena.l"}
    done(api.put(f"/api/users/{leaver.id}", leaver, profile))
    done(api.put(f"/api/users/{leaver.id}", owner, {"displayName": "Lena Left", "email": "lena@example.com"}))
    task = make_task(api, owner, assignedTo=leaver.id)["id"]
    done(api.put(f"/api/tasks/{task}", owner, {"assignedTo": other_editor.id}))
    done(api.put(f"/api/tasks/{task}", owner, {"assignedTo": leaver.id}))
    payout = done(api.post("/api/payouts", leaver, {"projectName": "P", "amount": 1}))["id"]
    done(api.put(f"/api/payouts/{payout}", owner, {"status": "approved"}))
    done(api.post("/api/chat/messages", leaver, {"message": "Goodbye"}))
    done(api.post("/api/applications", json={"fullName": "Lena L", "email": "lena@example.com", "message": "Hi"}))
    by = leaver if role == "moderator" else owner
    done(api.post("/api/meetings", by, AT_TEN | {"attendees": [leaver.id, other_editor.id]}))
    assert "Lena" in str(since(api, owner, beginning))
    done(api.delete(f"/api/users/{leaver.id}", owner))
    assert api.get(EVENTS, leaver).status_code == 401
    personal = ("Lena", "lena", leaver.email, leaver.username, "+91 555", "photos.example.com")
    for viewer in (owner, other_editor):
        found = since(api, viewer, beginning)
        assert [word for word in personal if word in str(found)] == []
        [message] = [data for name, data in found if name == "new_message"]
        assert (message["message"], message["sender"]) == ("Goodbye", "Former member")
    with app.app_context(), transaction():
        kept = " ".join(execute(select(Event.data)).scalars())
    assert [word for word in personal if word in kept] == []
    found = since(api, owner, beginning)
    assert "user_updated" not in names(found)
    assert found[-1] == ("user_removed", {"userId": leaver.id})
    [created] = [data["payout"] for name, data in found if name == "payout_created"]
    assert created["editor"] == {"id": leaver.id, "displayName": "Former member"}
    [updated] = [data["updates"] for name, data in found if name == "meeting_updated"]
    assert updated["attendees"] == [other_editor.id]


def test_a_removed_person_leaves_a_cancelled_meeting_quietly(api, owner, editor):
    made = done(api.post("/api/meetings", owner, AT_TEN | {"attendees": [editor.id]}))
    done(api.delete(f"/api/meetings/{made['id']}", owner))
    place = mark(api, owner)
    done(api.delete(f"/api/users/{editor.id}", owner))
    assert names(since(api, owner, place)) == ["user_removed"]
    assert api.get(f"/api/meetings/{made['id']}", owner).json["attendees"] == []
