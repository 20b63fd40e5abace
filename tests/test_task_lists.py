"""Lists of tasks: whose they are, what filters and searches find, in which order, and page after page."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from conftest import Api, People, Someone
from test_tasks import change, handed_out

pytestmark = pytest.mark.database

NOBODY = "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82"
SORTS = ("-createdAt", "deadline", "-deadline", "priority")


def names(api: Api, by: Someone, path: str = "/api/tasks", **query: Any) -> list[str]:
    found = api.get(path, by, query_string=query)
    assert found.status_code == 200, found.json
    assert found.json["nextCursor"] is None
    return [task["name"] for task in found.json["data"]]


# -- whose -----------------------------------------------------------------------------------------------------------


def test_managers_see_all_tasks_and_editors_their_own_newest_first(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, other_editor: Someone
) -> None:
    for name, who in (("a", editor), ("b", other_editor), ("c", None), ("d", moderator), ("e", editor)):
        handed_out(api, owner, who, name=name)
    assert names(api, owner) == names(api, moderator) == ["e", "d", "c", "b", "a"]
    assert names(api, editor) == ["e", "a"]
    assert names(api, editor, assignedTo=editor.id) == ["e", "a"]
    assert names(api, editor, assignedTo=other_editor.id) == []
    assert names(api, owner, assignedTo=other_editor.id) == ["b"]
    assert names(api, owner, assignedTo=NOBODY) == []


def test_somebodys_list_is_open_to_them_and_to_managers(
    api: Api, owner: Someone, moderator: Someone, editor: Someone, other_editor: Someone
) -> None:
    handed_out(api, owner, editor, name="mine", status="completed")
    handed_out(api, owner, other_editor, name="theirs")
    path = f"/api/tasks/user/{editor.id}"
    for viewer in (owner, moderator, editor):
        assert names(api, viewer, path) == ["mine"]
        assert names(api, viewer, path, status="pending") == []
        assert names(api, viewer, path, assignedTo=other_editor.id) == []
    assert names(api, owner, f"/api/tasks/user/{moderator.id}") == []
    for key in (editor.id, owner.id, NOBODY):
        assert api.get(f"/api/tasks/user/{key}", other_editor).status_code == 403
    for key in (NOBODY, "me"):
        assert api.get(f"/api/tasks/user/{key}", owner).status_code == 404


def test_a_former_members_finished_work_stays_in_their_list(api: Api, owner: Someone, people: People) -> None:
    goer = people.editor()
    handed_out(api, owner, goer, name="open")
    handed_out(api, owner, goer, name="done", status="completed")
    assert api.delete(f"/api/users/{goer.id}", owner).status_code == 204
    assert names(api, owner, f"/api/tasks/user/{goer.id}") == ["done"]
    tasks = {task["name"]: task for task in api.get("/api/tasks", owner).json["data"]}
    assert tasks["open"]["assignedTo"] is None
    assert tasks["done"]["assignee"] == {"id": goer.id, "displayName": "Former member", "photoURL": None}


# -- which -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def work(api: Api, owner: Someone, editor: Someone) -> None:
    """One task of each kind, oldest first."""
    today = datetime.now(UTC).date()
    for name, fields in {
        "late": {"deadline": str(today - timedelta(days=3)), "priority": "high"},
        "late but done": {"deadline": str(today - timedelta(days=3)), "status": "completed"},
        "stuck": {"deadline": "2031-05-01", "status": "blocked", "blockedReason": "No footage", "priority": "low"},
        "approved": {"deadline": "2031-05-02", "status": "completed", "approvalStatus": "approved"},
        "again": {"deadline": "2031-05-03", "status": "completed", "approvalStatus": "need-changes"},
    }.items():
        handed_out(api, owner, None if name == "stuck" else editor, name=name, **fields)
    gone = handed_out(api, owner, editor, name="gone")
    assert api.delete(f"/api/tasks/{gone['id']}", owner).status_code == 204


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "pending"}, ["late"]),
        ({"status": "completed"}, ["approved", "late but done"]),
        ({"status": "blocked"}, ["stuck"]),
        ({"status": "in-progress"}, ["again"]),
        ({"priority": "high"}, ["late"]),
        ({"priority": "low"}, ["stuck"]),
        ({"approvalStatus": "reviewing"}, ["stuck", "late but done", "late"]),
        ({"approvalStatus": "need-changes"}, ["again"]),
        ({"approvalStatus": "approved"}, ["approved"]),
        ({"overdue": "true"}, ["late"]),
        ({"overdue": "false"}, ["again", "approved", "stuck", "late but done"]),
        ({"deadlineFrom": "2031-05-02"}, ["again", "approved"]),
        ({"deadlineFrom": "2031-05-02", "deadlineTo": "2031-05-02"}, ["approved"]),
        ({"deadlineTo": "2031-05-01"}, ["stuck", "late but done", "late"]),
        ({"deadlineFrom": "2031-05-03", "deadlineTo": "2031-05-01"}, []),
        ({"status": "completed", "approvalStatus": "reviewing", "priority": "medium"}, ["late but done"]),
        ({"status": "completed", "overdue": "true"}, []),
        ({"q": "late", "status": "completed"}, ["late but done"]),
    ],
)
def test_filters_find_what_they_name(api: Api, owner: Someone, query: dict[str, str], found: list[str]) -> None:
    assert names(api, owner, **query) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("wedding", ["Wedding film"]),
        ("WED fi", ["Wedding film"]),
        ("film wed", ["Wedding film"]),
        ("edding", []),
        ("wedding trailer", []),
        ("speech", ["Wedding film"]),
        ("t00", ["Été à Zürich 100%", "Wedding film"]),
        ("T002", ["Été à Zürich 100%"]),
        ("été zür", ["Été à Zürich 100%"]),
        ("ÉTÉ", ["Été à Zürich 100%"]),
        ("100%", ["Été à Zürich 100%"]),
        ("%", ["Été à Zürich 100%", "Wedding film"]),
        ("w_dding", []),
        ("o'neill's", ["Wedding film"]),
        ("'; DROP TABLE tasks; --", []),
        ("a & b | !c:*", []),
        ("asha", []),
    ],
)
def test_q_finds_beginnings_of_words_in_name_number_and_description(
    api: Api, owner: Someone, editor: Someone, query: str, found: list[str]
) -> None:
    handed_out(api, owner, editor, name="Wedding film", description="Keep the speeches,\nO'Neill's too.")
    handed_out(api, owner, name="Été à Zürich 100%")
    assert names(api, owner, q=query) == found


def test_q_finds_a_task_by_what_it_says_now(api: Api, owner: Someone) -> None:
    task = handed_out(api, owner, name="Wedding", description="Speeches")
    change(api, owner, task, name="Trailer", description=None)
    assert names(api, owner, q="wedding") == names(api, owner, q="speeches") == []
    assert names(api, owner, q="trai") == ["Trailer"]


@pytest.mark.parametrize(
    "query",
    [
        *[{name: "x"} for name in ("status", "priority", "approvalStatus", "assignedTo", "overdue", "sort")],
        *[{name: value} for name in ("deadlineFrom", "deadlineTo") for value in ("", "2031-02-30", "yesterday")],
        *[{"limit": value} for value in ("0", "101", "-1", "1.5", "", "ten", "9" * 20)],
        *[{"sort": value} for value in ("createdAt", "name", "deadline,priority", "")],
        {"q": "x" * 201},
        {"q": "a\x00b"},
        {"cursor": ""},
        {"cursor": "bm90IG91cnM"},
        {"cursor": "é"},
        {"page": "2"},
        {"assigned_to": NOBODY},
    ],
)
@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks/user/{}"])
def test_a_query_that_is_not_valid_is_named(api: Api, owner: Someone, path: str, query: dict[str, str]) -> None:
    refused = api.get(path.format(owner.id), owner, query_string=query)
    assert refused.status_code == 422
    assert list(refused.json["errors"]) == list(query)


# -- in which order, page after page ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("-createdAt", ["again", "approved", "stuck", "late but done", "late"]),
        ("deadline", ["late", "late but done", "stuck", "approved", "again"]),
        ("-deadline", ["again", "approved", "stuck", "late but done", "late"]),
        ("priority", ["late", "again", "approved", "late but done", "stuck"]),
    ],
)
def test_lists_sort_by_age_deadline_or_priority(api: Api, owner: Someone, sort: str, order: list[str]) -> None:
    assert names(api, owner, sort=sort) == order


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_show_every_row_once_though_others_are_added_meanwhile(
    api: Api, owner: Someone, sort: str, limit: int
) -> None:
    """Many rows share a deadline and a priority: the order among those must be as firm as the rest."""
    before = [
        handed_out(api, owner, deadline=f"2031-05-0{1 + i % 3}", priority=("low", "medium", "high")[i % 2])["id"]
        for i in range(10)
    ]
    whole = [task["id"] for task in api.get("/api/tasks", owner, query_string={"sort": sort}).json["data"]]
    pages = api.pages("/api/tasks", owner, sort=sort, limit=limit)
    seen = [task["id"] for task in islice(pages, limit)]
    for deadline, priority in (("2031-05-01", "high"), ("2031-05-02", "low"), ("2031-05-09", "medium")):
        handed_out(api, owner, deadline=deadline, priority=priority)
    seen += [task["id"] for task in pages]
    assert len(seen) == len(set(seen))
    assert [key for key in seen if key in before] == whole


@pytest.mark.parametrize(
    "far", [{"deadlineTo": "2031-05-03"}, {"deadlineFrom": "2031-05-02", "deadlineTo": "2031-05-04"}]
)
@pytest.mark.parametrize(
    ("few", "walk", "limit"),
    [(10, 2, 4), (1, 2, 5), (1, 8, 6)],
    ids=["few days", "many days, and a walk that is too short", "many days, and a walk that is not"],
)
def test_days_that_are_far_down_the_list_show_what_they_would_higher_up(
    api: Api, owner: Someone, monkeypatch: pytest.MonkeyPatch, far: dict[str, str], few: int, walk: int, limit: int
) -> None:
    """Nobody else asks for pages of so many: their statements are made here, and kept."""
    monkeypatch.setattr("idyll.far_down.FEW_DAYS", few)
    monkeypatch.setattr("idyll.far_down.NEAR", walk)
    days = [f"2031-05-0{1 + i % 5}" for i in range(25)] + ["2031-06-01", "2031-05-03", "2031-06-02"]
    made = [(handed_out(api, owner, deadline=day)["id"], day) for day in days]
    api.delete(f"/api/tasks/{made[6][0]}", owner)
    least, most = far.get("deadlineFrom", ""), far["deadlineTo"]
    wanted = [key for key, day in reversed(made) if least <= day <= most and key != made[6][0]]
    assert [task["id"] for task in api.pages("/api/tasks", owner, limit=limit, **far)] == wanted


def test_a_page_links_to_the_next_until_the_last(api: Api, owner: Someone) -> None:
    for _ in range(3):
        handed_out(api, owner)
    first = api.get("/api/tasks?limit=2&status=pending", owner)
    assert len(first.json["data"]) == 2
    link = first.headers["Link"]
    assert link.endswith('>; rel="next"')
    second = api.get(link[1 : link.index(">")], owner)
    assert [task["taskNumber"] for task in second.json["data"]] == ["T001"]
    assert (second.json["nextCursor"], second.headers.get("Link")) == (None, None)
    exact = api.get("/api/tasks?limit=3", owner)
    assert (len(exact.json["data"]), exact.json["nextCursor"]) == (3, None)


def test_a_cursor_is_good_for_its_own_list_and_order_alone(api: Api, owner: Someone) -> None:
    for _ in range(2):
        handed_out(api, owner, owner)
    cursor = api.get("/api/tasks?limit=1&sort=deadline", owner).json["nextCursor"]
    assert api.get("/api/tasks", owner, query_string={"cursor": cursor, "sort": "deadline"}).status_code == 200
    changed = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for path, query in (
        ("/api/tasks", {"cursor": cursor}),
        ("/api/tasks", {"cursor": cursor, "sort": "priority"}),
        (f"/api/tasks/user/{owner.id}", {"cursor": cursor, "sort": "deadline"}),
        ("/api/tasks", {"cursor": changed, "sort": "deadline"}),
    ):
        refused = api.get(path, owner, query_string=query)
        assert (refused.status_code, list(refused.json["errors"])) == (422, ["cursor"])
