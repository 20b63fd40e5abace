"""Meetings: when (in which zone), who comes, who sees them, and who is told."""

from datetime import UTC, datetime, timedelta

import pytest

from idyll.ids import uuid7

pytestmark = pytest.mark.database

MEETINGS = "/api/meetings"
AT_TEN = {"title": "Monday round", "date": "2030-01-07", "time": "10:00"}


def schedule(api, by, **fields):
    made = api.post(MEETINGS, by, AT_TEN | fields)
    assert made.status_code == 201, made.get_data(as_text=True)
    return made.json


def edit(api, by, meeting, status=200, **changes):
    answer = api.put(f"{MEETINGS}/{meeting['id']}", by, changes)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.json


def wall(meeting):
    return meeting["date"], meeting["time"], meeting["timezone"], meeting["startsAt"][:16]


def told(api, by, kind="meeting"):
    return [note["title"] for note in api.get("/api/notifications", by).json["data"] if note["type"] == kind]


# -- when ------------------------------------------------------------------------------------------------------------


def test_a_meeting_answers_with_both_ways_of_its_beginning(api, owner, editor):
    made = schedule(api, owner, description="Bring\nclips", meetingLink="https://meet.example.com/m")
    assert made == {
        "id": made["id"],
        "title": "Monday round",
        "description": "Bring\nclips",
        "startsAt": "2030-01-07T04:30:00.000Z",
        "endsAt": "2030-01-07T05:30:00.000Z",
        "timezone": "Asia/Kolkata",
        "date": "2030-01-07",
        "time": "10:00",
        "durationMinutes": 60,
        "meetingLink": "https://meet.example.com/m",
        "allTeam": False,
        "attendees": [],
        "organizer": {"id": owner.id, "displayName": "Olga Owner"},
        "version": 1,
        "createdAt": made["createdAt"],
        "updatedAt": made["createdAt"],
        "cancelledAt": None,
    }
    assert api.get(f"{MEETINGS}/{made['id']}", owner).json == made


@pytest.mark.parametrize(
    ("sent", "starts", "date", "time"),
    [
        ({"startsAt": "2030-01-07T04:30:00Z"}, "2030-01-07T04:30", "2030-01-07", "10:00"),
        ({"startsAt": "2030-01-07T23:00:00-05:00"}, "2030-01-08T04:00", "2030-01-08", "09:30"),
        ({"startsAt": "2030-07-01T12:00:00Z", "timezone": "Europe/Berlin"}, "2030-07-01T12:00", "2030-07-01", "14:00"),
        ({"date": "2030-07-01", "time": "14:00", "timezone": "Europe/Berlin"}, "2030-07-01T12:00", None, None),
        ({"date": "2030-12-01", "time": "14:00", "timezone": "Europe/Berlin"}, "2030-12-01T13:00", None, None),
        ({"date": "2030-01-01", "time": "00:15"}, "2029-12-31T18:45", None, None),
        # Spring forward: 02:30 is not there and becomes 03:30. Back: the first of the two 02:30.
        ({"date": "2030-03-31", "time": "02:30", "timezone": "Europe/Berlin"}, "2030-03-31T01:30", None, "03:30"),
        ({"date": "2030-10-27", "time": "02:30", "timezone": "Europe/Berlin"}, "2030-10-27T00:30", None, None),
    ],
)
def test_either_way_of_writing_the_beginning_says_the_same(api, owner, sent, starts, date, time):
    made = api.post(MEETINGS, owner, {"title": "Round", **sent}).json
    assert made["startsAt"] == f"{starts}:00.000Z"
    assert made["date"] == (date or sent["date"])
    assert made["time"] == (time or sent["time"])
    assert made["timezone"] == sent.get("timezone", "Asia/Kolkata")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "Other"}, ("2030-03-29", "10:00", "Europe/Berlin", "2030-03-29T09:00")),
        ({"date": "2030-04-01"}, ("2030-04-01", "10:00", "Europe/Berlin", "2030-04-01T08:00")),
        ({"time": "11:15"}, ("2030-03-29", "11:15", "Europe/Berlin", "2030-03-29T10:15")),
        ({"timezone": "Asia/Tokyo"}, ("2030-03-29", "10:00", "Asia/Tokyo", "2030-03-29T01:00")),
        ({"startsAt": "2030-04-01T08:00:00Z"}, ("2030-04-01", "10:00", "Europe/Berlin", "2030-04-01T08:00")),
        (
            {"startsAt": "2030-03-29T09:00:00Z", "timezone": "Asia/Tokyo"},
            ("2030-03-29", "18:00", "Asia/Tokyo", "2030-03-29T09:00"),
        ),
    ],
)
def test_an_edit_keeps_the_wall_clock_across_a_change_of_summer_time(api, owner, changes, expected):
    made = schedule(api, owner, date="2030-03-29", timezone="Europe/Berlin", durationMinutes=90)
    edited = edit(api, owner, made, **changes)
    assert wall(edited) == expected
    starts, ends = (datetime.fromisoformat(edited[name]) for name in ("startsAt", "endsAt"))
    assert ends - starts == timedelta(minutes=90)
    assert edited["version"] == 2


def test_a_form_that_sends_everything_back_moves_nothing(api, owner):
    """Also in the hour that comes twice, where the wall clock alone doesn't say which."""
    for starts in ("2030-10-27T00:30:00.000Z", "2030-10-27T01:30:00.000Z", "2030-01-07T04:30:00.000Z"):
        made = api.post(MEETINGS, owner, {"title": "Round", "startsAt": starts, "timezone": "Europe/Berlin"}).json
        names = ("title", "description", "date", "time", "timezone", "durationMinutes", "meetingLink", "attendees")
        assert edit(api, owner, made, **{name: made[name] for name in names}) == made


def test_another_duration_moves_the_end_alone(api, owner):
    edited = edit(api, owner, schedule(api, owner), durationMinutes=15)
    assert (edited["startsAt"][11:16], edited["endsAt"][11:16]) == ("04:30", "04:45")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"title": ""}, "title"),
        ({"title": None}, "title"),
        ({"date": None}, "date"),
        ({"date": "2030-02-30"}, "date"),
        ({"date": "07.01.2030"}, "date"),
        ({"time": "24:00"}, "time"),
        ({"time": "9:00"}, "time"),
        ({"time": "10:00:00"}, "time"),
        ({"startsAt": "2030-01-07T04:30:00Z"}, "startsAt"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"durationMinutes": 0}, "durationMinutes"),
        ({"durationMinutes": 1.5}, "durationMinutes"),
        ({"durationMinutes": "60"}, "durationMinutes"),
        ({"meetingLink": "javascript:alert(1)"}, "meetingLink"),
        ({"attendees": "Everybody"}, "attendees"),
        ({"attendees": ["nobody"]}, "attendees"),
        ({"attendees": [7]}, "attendees"),
        ({"allTeam": True}, "allTeam"),
        ({"endsAt": "2030-01-07T05:30:00Z"}, "endsAt"),
        ({"organizer": None}, "organizer"),
        ({"version": 1}, "version"),
        ({"date": "9999-12-31", "time": "23:30", "timezone": "UTC"}, "date"),
    ],
)
def test_what_makes_no_meeting_is_refused_by_name(api, owner, fields, named):
    refused = api.post(MEETINGS, owner, AT_TEN | fields)
    assert (refused.status_code, list(refused.json["errors"])) == (422, [named])
    assert api.get(MEETINGS, owner).json["data"] == []


@pytest.mark.parametrize(
    ("missing", "named"), [(("date", "time"), "startsAt"), (("date",), "date"), (("time",), "time")]
)
def test_a_meeting_needs_a_beginning(api, owner, missing, named):
    sent = {name: value for name, value in AT_TEN.items() if name not in missing}
    assert list(api.post(MEETINGS, owner, sent).json["errors"]) == [named]


# -- who comes -------------------------------------------------------------------------------------------------------


def test_attendees_are_named_by_id_email_or_username_in_any_case_and_read_as_ids(api, owner, moderator, editor, people):
    fourth = people.editor()
    names = [editor.id.upper(), moderator.email.upper(), f" {fourth.username.title()} ", editor.email]
    made = schedule(api, owner, attendees=names)
    assert made["allTeam"] is False
    assert sorted(made["attendees"]) == sorted([editor.id, moderator.id, fourth.id])
    assert edit(api, owner, made, attendees=[owner.username])["attendees"] == [owner.id]
    assert edit(api, owner, made, attendees=[])["attendees"] == []


def test_naming_the_same_people_again_changes_nothing(api, owner, moderator, editor, other_editor):
    made = schedule(api, owner, attendees=[owner.id, moderator.id, editor.id, other_editor.id])
    same = [other_editor.email, editor.username, moderator.id, owner.id]
    edited = edit(api, owner, made, attendees=same)
    assert edited["version"] == 1
    assert told(api, editor) == ["Meeting scheduled"]


def test_only_members_can_be_named(api, owner, editor, pending):
    for somebody in (pending.id, pending.email, uuid7(), "all team"):
        refused = api.post(MEETINGS, owner, AT_TEN | {"attendees": [editor.id, somebody]})
        assert (refused.status_code, list(refused.json["errors"])) == (422, ["attendees"])
    made = schedule(api, owner, attendees=[editor.id])
    assert edit(api, owner, made, attendees=["nobody"], status=422)["errors"].keys() == {"attendees"}
    assert api.get(f"{MEETINGS}/{made['id']}", owner).json == made


@pytest.mark.parametrize("written", ["All Team", ["All Team"], ["All Team", "EDITOR"]])
def test_all_team_is_every_member_at_the_moment_of_reading(api, people, owner, editor, pending, written):
    written = [editor.email if name == "EDITOR" else name for name in written] if isinstance(written, list) else written
    made = schedule(api, owner, attendees=written)
    assert made["allTeam"] is True
    assert sorted(made["attendees"]) == sorted([owner.id, editor.id])
    tag = api.get(f"{MEETINGS}/{made['id']}", owner).headers["ETag"]
    late = people.moderator()
    api.put(f"/api/users/{pending.id}", owner, {"status": "approved"})
    api.delete(f"/api/users/{editor.id}", owner)
    for found in (api.get(f"{MEETINGS}/{made['id']}", pending).json, api.get(MEETINGS, pending).json["data"][0]):
        assert sorted(found["attendees"]) == sorted([owner.id, late.id, pending.id])
    assert api.get(f"{MEETINGS}/{made['id']}", owner).headers["ETag"] != tag


def test_all_team_can_be_narrowed_to_some_and_widened_again(api, owner, editor, other_editor):
    made = schedule(api, owner, attendees="All Team")
    narrow = edit(api, owner, made, attendees=[editor.id])
    assert (narrow["allTeam"], narrow["attendees"]) == (False, [editor.id])
    assert api.get(f"{MEETINGS}/{made['id']}", other_editor).status_code == 404
    wide = edit(api, owner, made, attendees=["All Team"])
    assert (wide["allTeam"], len(wide["attendees"])) == (True, 3)
    assert api.get(f"{MEETINGS}/{made['id']}", other_editor).status_code == 200


def test_a_removed_person_is_no_attendee_and_the_organizer_keeps_no_name(api, owner, moderator, editor, other_editor):
    made = schedule(api, moderator, attendees=[editor.id, other_editor.id])
    api.delete(f"/api/users/{editor.id}", owner)
    api.delete(f"/api/users/{moderator.id}", owner)
    left = api.get(f"{MEETINGS}/{made['id']}", owner).json
    assert left["attendees"] == [other_editor.id]
    assert left["organizer"] == {"id": moderator.id, "displayName": "Former member"}


# -- who sees, who writes --------------------------------------------------------------------------------------------


def test_managers_see_all_meetings_and_editors_theirs(api, owner, moderator, editor, other_editor, pending):
    everybody = schedule(api, owner, title="All", attendees="All Team")
    private = schedule(api, owner, title="Some", attendees=[editor.id], time="11:00")

    def titles(by):
        return [meeting["title"] for meeting in api.get(MEETINGS, by).json["data"]]

    assert titles(owner) == titles(moderator) == titles(editor) == ["All", "Some"]
    assert titles(other_editor) == ["All"]
    assert api.get(f"{MEETINGS}/{private['id']}", other_editor).status_code == 404
    assert api.get(f"{MEETINGS}/{everybody['id']}", other_editor).json == everybody
    assert api.get(MEETINGS, pending).json["code"] == "account_pending"
    for path in (f"{MEETINGS}/{uuid7()}", f"{MEETINGS}/nonsense"):
        assert api.get(path, owner).status_code == 404


def test_only_managers_write_meetings(api, moderator, editor):
    made = schedule(api, moderator, attendees=[editor.id])
    path = f"{MEETINGS}/{made['id']}"
    answers = [api.post(MEETINGS, editor, AT_TEN), api.put(path, editor, {"title": "Mine"}), api.delete(path, editor)]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert api.get(path, editor).json == made


def test_the_list_ascends_by_the_start_in_pages(api, owner):
    for n, time in enumerate(("15:00", "09:00", "12:00", "09:00")):
        schedule(api, owner, title=f"{n}", time=time)
    assert [meeting["title"] for meeting in api.pages(MEETINGS, owner, limit=1)] == ["1", "3", "2", "0"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "abc"),
        ({"from": "2030-01-07"}, "bc"),
        ({"to": "2030-01-07"}, "ab"),
        ({"from": "2030-01-07", "to": "2030-01-07"}, "b"),
        ({"from": "2030-01-06T18:29:00Z"}, "abc"),
        ({"from": "2030-01-06T18:29:01Z"}, "bc"),
        ({"to": "2030-01-08T18:31:00+00:00"}, "abc"),
        ({"to": "2030-01-08T18:30:59Z"}, "ab"),
        ({"from": "2030-01-08", "to": "2030-01-07"}, ""),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "abc"),
        ({"to": "0001-01-01"}, ""),
        ({"from": "9999-12-31"}, ""),
    ],
)
def test_from_and_to_are_moments_or_days_of_the_agency(api, owner, query, found):
    for title, date, time in (
        ("a", "2030-01-06", "23:59"),
        ("b", "2030-01-07", "00:00"),
        ("c", "2030-01-09", "00:01"),
    ):
        schedule(api, owner, title=title, date=date, time=time)
    meetings = api.get(MEETINGS, owner, query_string=query).json["data"]
    assert "".join(meeting["title"] for meeting in meetings) == found


@pytest.mark.parametrize("query", [{"from": "today"}, {"to": "2030-02-30"}, {"cancelled": "yes"}, {"q": "x"}])
def test_other_filters_are_refused(api, owner, query):
    assert list(api.get(MEETINGS, owner, query_string=query).json["errors"]) == list(query)


# -- cancellation ----------------------------------------------------------------------------------------------------


def test_a_cancelled_meeting_stays_but_leaves_the_list(api, owner, editor):
    made = schedule(api, owner, attendees=[editor.id])
    path = f"{MEETINGS}/{made['id']}"
    assert [api.delete(path, owner).status_code for _ in range(2)] == [204, 204]
    left = api.get(path, editor).json
    assert datetime.fromisoformat(left["cancelledAt"]) <= datetime.now(UTC)
    assert left["version"] == 2
    assert api.get(MEETINGS, editor).json["data"] == []
    assert api.get(MEETINGS, editor, query_string={"cancelled": "true"}).json["data"] == [left]
    refused = edit(api, owner, made, title="Again", status=409)
    assert (refused["code"], refused["current"]) == ("meeting_cancelled", "cancelled")


def test_a_stale_edit_or_cancellation_is_refused(api, owner):
    made = schedule(api, owner)
    path = f"{MEETINGS}/{made['id']}"
    tag = {"If-Match": api.get(path, owner).headers["ETag"]}
    assert api.put(path, owner, {"title": "One"}, headers=tag).status_code == 200
    assert api.put(path, owner, {"title": "Two"}, headers=tag).status_code == 412
    assert api.delete(path, owner, headers=tag).status_code == 412
    assert api.get(path, owner).json["title"] == "One"


# -- who is told -----------------------------------------------------------------------------------------------------


def test_attendees_are_told_of_schedule_change_and_cancellation(api, owner, editor, other_editor, moderator):
    made = schedule(api, owner, attendees=[editor.id, owner.id])
    [note] = api.get("/api/notifications", editor).json["data"]
    assert note | {"id": "", "createdAt": ""} == {
        "id": "",
        "type": "meeting",
        "title": "Meeting scheduled",
        "message": "Monday round: 07 Jan 2030 10:00 (Asia/Kolkata)",
        "urgent": False,
        "read": False,
        "readAt": None,
        "entityType": "meeting",
        "entityId": made["id"],
        "createdAt": "",
    }
    edit(api, owner, made, time="11:00", attendees=[editor.id, other_editor.id])
    assert told(api, editor) == told(api, other_editor) == ["Meeting changed"]
    api.delete(f"{MEETINGS}/{made['id']}", owner)
    assert told(api, editor) == told(api, other_editor) == ["Meeting cancelled"]
    assert told(api, moderator) == []


def test_all_team_tells_every_member_of_that_moment(api, owner, moderator, editor, pending):
    schedule(api, moderator, attendees="All Team")
    assert told(api, owner) == told(api, moderator) == told(api, editor) == ["Meeting scheduled"]
    api.put(f"/api/users/{pending.id}", owner, {"status": "approved"})
    assert told(api, pending) == []


def test_a_meeting_is_the_same_whatever_happens_to_the_rows_of_who_attends(api, owner, people):
    editors = [people.editor() for _ in range(5)]
    named = {"attendees": [editor.id for editor in reversed(editors)]}
    for who in ({"attendees": "All Team"}, named):
        meeting = api.post("/api/meetings", owner, {"title": "M", "date": "2030-01-01", "time": "10:00", **who}).json
        path = f"/api/meetings/{meeting['id']}"
        etag = api.get(path, owner).headers["ETag"]
        for editor in editors[:3]:
            assert api.put(f"/api/users/{editor.id}", editor, {"location": "Pune"}).status_code == 200
        assert api.get(path, owner).json == meeting
        assert api.get(path, owner).headers["ETag"] == etag
        assert api.put(path, owner, {"title": "M"}, headers={"If-Match": etag}).json["version"] == 1
