"""What holds for every list: pages by cursors, limits, unknown query parameters."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import PASSWORD, Api, People, Someone

pytestmark = pytest.mark.database

TASK = {"name": "Wedding", "deadline": "2030-01-01"}
MEETING = {"title": "Round", "startsAt": "2030-01-01T10:00:00Z"}
LISTS = ["tasks", "users", "applications", "meetings", "payouts", "notifications", "audit", "auth/sessions"]
LISTS += ["chat/rooms", "chat/messages"]


@pytest.fixture
def full(api: Api, owner: Someone, people: People) -> Someone:
    """An agency with at least four rows in every list of the owner."""
    for n in range(4):
        people.editor()
        api.post("/api/tasks", owner, TASK | {"name": f"Film {n}"})
        api.post("/api/applications", json={"fullName": "Asif", "email": "asif@example.com"})
        api.post("/api/meetings", owner, MEETING)
        api.post("/api/payouts", owner, {"projectName": "Wedding", "amount": 100})
        api.post("/api/notifications", owner, {"title": "Note", "message": "Read it", "to": "all"})
        api.post("/api/chat/messages", owner, {"message": f"Hello {n}"})
        api.post("/api/auth/login", json={"login": owner.email, "password": PASSWORD})
    return owner


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_walked_page_by_page_without_gaps_or_repeats(name, api, full):
    path = f"/api/{name}"
    whole = api.get(path, full, query_string={"limit": 100}).json
    assert len(whole["data"]) >= 4
    assert whole["nextCursor"] is None
    pages = list(api.pages(path, full, limit=1))
    assert pages == (whole["data"][::-1] if name == "chat/messages" else whole["data"])


@pytest.mark.parametrize("name", LISTS)
def test_a_cursor_stays_true_while_rows_come(name, api, full):
    path = f"/api/{name}"
    first = api.get(path, full, query_string={"limit": 3}).json
    rest = api.get(path, full, query_string={"cursor": first["nextCursor"]}).json["data"]
    before = {row.get("id", row.get("room")) for row in rest}
    api.post("/api/tasks", full, TASK)
    api.post("/api/meetings", full, MEETING | {"startsAt": "2029-01-01T10:00:00Z"})
    api.post("/api/chat/messages", full, {"message": "Newest"})
    again = api.get(path, full, query_string={"cursor": first["nextCursor"]}).json["data"]
    assert {row.get("id", row.get("room")) for row in again} == before


@pytest.mark.parametrize("name", LISTS)
def test_the_link_header_leads_where_the_cursor_does(name, api, full):
    answer = api.get(f"/api/{name}", full, query_string={"limit": 2})
    link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers["Link"])[1]
    assert parse_qs(urlsplit(link).query) == {"limit": ["2"], "cursor": [answer.json["nextCursor"]]}
    assert api.get(link, full).json["data"]
    assert "Link" not in api.get(f"/api/{name}", full, query_string={"limit": 100}).headers


@pytest.mark.parametrize("name", LISTS)
def test_forged_and_foreign_cursors_are_refused(name, api, full):
    path = f"/api/{name}"
    cursor = api.get(path, full, query_string={"limit": 1}).json["nextCursor"]
    foreign = api.get("/api/users" if name != "users" else "/api/payouts", full, query_string={"limit": 1}).json
    assert api.get(path, full, query_string={"cursor": cursor}).status_code == 200
    swapped = chr(ord(cursor[-1]) + 1)  # differs in bits that base64 may leave unused
    forged = [
        cursor[:-1] + swapped,
        "A" + cursor,
        cursor + "A",
        cursor + "!",
        f" {cursor}",
        cursor[:-2],
        "",
        "7",
        "é\0",
    ]
    for wrong in [*forged, foreign["nextCursor"]]:
        answer = api.get(path, full, query_string={"cursor": wrong})
        assert (answer.status_code, list(answer.json.get("errors", {}))) == (422, ["cursor"]), wrong


def test_a_cursor_belongs_to_one_order(api, full):
    cursor = api.get("/api/tasks?sort=deadline&limit=1", full).json["nextCursor"]
    assert api.get("/api/tasks", full, query_string={"sort": "deadline", "cursor": cursor}).status_code == 200
    for sort in ("-deadline", "priority", "-createdAt"):
        assert api.get("/api/tasks", full, query_string={"sort": sort, "cursor": cursor}).status_code == 422


@pytest.mark.parametrize("name", [*LISTS, "events", "stats/summary"])
def test_unknown_query_parameters_are_refused(name, api, owner):
    for query in ("colour=red", "Limit=5", "offset=10", "page=2"):
        answer = api.get(f"/api/{name}?{query}", owner)
        assert answer.status_code == 422
        assert list(answer.json["errors"]) == [query.split("=")[0]]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "", "ten", "1e2", "+5", "9" * 30, "%EF%BC%95", "5%00"])
def test_a_limit_out_of_range_is_refused(name, limit, api, owner):
    answer = api.get(f"/api/{name}?limit={limit}", owner)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["limit"])


@pytest.mark.parametrize("name", ["tasks", "users", "applications"])
def test_an_empty_search_is_no_search(name, api, full):
    for empty in ("", "%20"):
        assert api.get(f"/api/{name}?q={empty}", full).json["data"] == api.get(f"/api/{name}", full).json["data"]
