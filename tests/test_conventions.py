"""What holds for every route: the shape of refusals, ETags, texts and links, unknown fields."""

import re

import pytest
from conftest import Api, Someone

from idyll.ids import uuid7

pytestmark = pytest.mark.database

TASK = {"name": "Wedding", "deadline": "2030-01-01"}
MEETING = {"title": "Round", "startsAt": "2030-01-01T10:00:00Z"}
PAYOUT = {"projectName": "Wedding", "amount": 100}
APPLICATION = {"fullName": "Asif", "email": "asif@example.com"}
UNKNOWN = "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"


def task(api: Api, owner: Someone, **fields) -> dict:
    return api.post("/api/tasks", owner, TASK | fields).json


# -- refusals ----------------------------------------------------------------------------------------------------------


def refusals(api: Api, owner: Someone) -> dict[str, tuple]:
    path = f"/api/tasks/{task(api, owner)['id']}"
    return {
        "malformed_json": (400, api.post("/api/tasks", owner, data="{", content_type="application/json")),
        "invalid_token": (401, api.get("/api/tasks")),
        "invalid_credentials": (401, api.post("/api/auth/login", json={"login": "who", "password": "what"})),
        "forbidden": (403, api.put(f"/api/users/{owner.id}", owner, {"role": "editor"})),
        "not_found": (404, api.get(f"/api/tasks/{UNKNOWN}", owner)),
        "method_not_allowed": (405, api.post(path, owner, {})),
        "task_not_completed": (409, api.put(path, owner, {"approvalStatus": "approved"})),
        "stale": (412, api.put(path, owner, {"name": "New"}, headers={"If-Match": '"old"'})),
        "request_entity_too_large": (413, api.post("/api/tasks", owner, {"name": "x" * 1_100_000})),
        "unsupported_media_type": (415, api.post("/api/tasks", owner, data="name=x", content_type="text/plain")),
        "invalid": (422, api.post("/api/tasks", owner, {"name": "", "deadline": "soon"})),
    }


def test_every_refusal_is_a_problem_with_a_code_to_switch_on(api, owner):
    for code, (status, answer) in refusals(api, owner).items():
        problem = answer.json
        assert (answer.status_code, problem["code"]) == (status, code)
        assert problem["status"] == status
        assert problem["instance"] == answer.request.path
        assert problem["requestId"] == answer.headers["X-Request-Id"]
        assert problem["title"]
        assert problem["detail"]
        assert not re.search(r"Traceback|SELECT|sqlalchemy|idyll\.", answer.get_data(as_text=True), re.IGNORECASE)


def test_a_refusal_names_the_fields_at_fault_and_the_state_that_forbids(api, owner):
    found = refusals(api, owner)
    assert found["invalid"][1].json["errors"].keys() == {"name", "deadline"}
    assert found["forbidden"][1].json["errors"].keys() == {"role"}
    assert found["task_not_completed"][1].json["current"] == "pending"
    assert found["invalid_token"][1].headers["WWW-Authenticate"] == "Bearer"
    assert found["method_not_allowed"][1].headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


NOT_THERE = ["/nothing", "/api/nothing", "/api/tasks/7", "/api/tasks/undefined", "/api/tasks/%00"]
NOT_THERE += [f"/api/tasks/{UNKNOWN}x", *(f"/api/{name}/{UNKNOWN}" for name in ("users", "meetings", "payouts"))]


@pytest.mark.parametrize("path", NOT_THERE)
def test_an_unknown_or_malformed_id_is_not_found(path, api, owner):
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = api(method, path, owner, json=None if method == "GET" else {})
        assert (answer.status_code, answer.json["code"]) == (404, "not_found"), method


def test_an_id_in_capitals_is_the_same_id(api, owner):
    made = task(api, owner)
    assert api.get(f"/api/tasks/{made['id'].upper()}", owner).json == made


@pytest.mark.parametrize("sent", ["abc", "A.b_c-9", "x" * 128])
def test_the_callers_request_id_comes_back(sent, api):
    answer = api.get("/api/tasks", headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] == answer.json["requestId"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "<script>", "ä"])
def test_an_unfit_request_id_is_replaced(sent, api):
    found = api.get("/healthz", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
    assert found != sent
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", found)


# -- ETags -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["users", "applications", "tasks", "meetings", "payouts"])
def thing(request, api, owner, editor) -> tuple[str, dict, Someone, dict]:
    """The path of a thing, a change of it, who may change it, and what DELETE takes."""
    kind = request.param
    if kind == "users":
        return f"/api/users/{editor.id}", {"location": "Goa"}, owner, {}
    body, change, by = {
        "applications": (APPLICATION, {}, owner),
        "tasks": (TASK, {"name": "Another"}, owner),
        "meetings": (MEETING, {"title": "Another"}, owner),
        "payouts": (PAYOUT, {"note": "By Friday"}, editor),
    }[kind]
    return f"/api/{kind}/{api.post(f'/api/{kind}', by, body).json['id']}", change, by, None


def test_an_object_answers_304_to_whom_has_it(api, thing):
    path, _, by, _ = thing
    first = api.get(path, by)
    tag = first.headers["ETag"]
    for asked in (tag, f"W/{tag}", f'"other", {tag}', f'"other",{tag}', "*"):
        again = api.get(path, by, headers={"If-None-Match": asked})
        assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", tag), asked
    assert api.get(path, by, headers={"If-None-Match": '"other"'}).json == first.json


def test_if_match_guards_against_lost_updates(api, thing):
    path, change, by, removal = thing
    changed_at = f"{path}/approve" if path.startswith("/api/applications") else path
    tag = api.get(path, by).headers["ETag"]
    assert api.put(changed_at, by, change, headers={"If-Match": f'"other", {tag}'}).status_code == 200
    new = api.get(path, by)
    assert new.headers["ETag"] != tag
    assert api.put(changed_at, by, change, headers={"If-Match": tag}).status_code == 412
    assert api.delete(path, by, removal, headers={"If-Match": tag}).status_code == 412
    assert api.delete(path, by, removal, headers={"If-Match": 'W/"other"'}).status_code == 412
    assert api.get(path, by).json == new.json
    # A proxy that compresses weakens the tag on its way.
    assert api.put(changed_at, by, change, headers={"If-Match": f"W/{new.headers['ETag']}"}).status_code == 200
    assert api.put(changed_at, by, change, headers={"If-Match": "*"}).status_code == 200
    tag = api.get(path, by).headers["ETag"]
    assert api.delete(path, by, removal, headers={"If-Match": tag}).status_code == 204


def test_the_etag_changes_with_every_part_of_the_answer(api, owner, editor):
    made = task(api, owner, assignedTo=editor.id)
    path = f"/api/tasks/{made['id']}"
    before = api.get(path, owner).headers["ETag"]
    api.put(f"/api/users/{editor.id}", editor, {"displayName": "Asha V."})
    assert api.get(path, owner).json["assignee"]["displayName"] == "Asha V."
    assert api.get(path, owner).headers["ETag"] != before


@pytest.mark.parametrize("path", ["/api/auth/me", "/api/stats/summary", "/api/events"])
def test_what_is_computed_has_an_etag_too(path, api, owner):
    tag = api.get(path, owner).headers["ETag"]
    assert api.get(path, owner, headers={"If-None-Match": tag}).status_code == 304
    api.post("/api/notifications", owner, {"title": "Note", "message": "Read it", "to": "all"})
    task(api, owner)
    assert api.get(path, owner, headers={"If-None-Match": tag}).status_code == 200


# -- texts and links ---------------------------------------------------------------------------------------------------


def test_texts_are_trimmed_and_an_empty_optional_one_is_null(api, owner):
    made = task(api, owner, name="  Wedding \n", description="\n Two\n\tlines \n")
    assert (made["name"], made["description"]) == ("Wedding", "Two\n\tlines")
    for empty in ("", "   ", "\n\t", None):
        path = f"/api/tasks/{task(api, owner, description='Old', rawFileLink='https://a.example/1')['id']}"
        answer = api.put(path, owner, {"description": empty, "rawFileLink": empty, "blockedReason": empty})
        assert (answer.json["description"], answer.json["rawFileLink"]) == (None, None)


@pytest.mark.parametrize("empty", ["", "  ", "\u00a0\u3000", None])
def test_an_empty_required_text_is_refused(empty, api, owner):
    path = f"/api/tasks/{task(api, owner)['id']}"
    for answer in (api.post("/api/tasks", owner, TASK | {"name": empty}), api.put(path, owner, {"name": empty})):
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["name"])


@pytest.mark.parametrize("code", [*range(9), *range(11, 13), *range(14, 32), *range(0x7F, 0xA0)])
def test_control_characters_are_refused_wherever_they_stand(code, api, owner):
    for text in (f"Wed{chr(code)}ding", f"{chr(code)}Wedding", f"Wedding{chr(code)}"):
        answer = api.post("/api/tasks", owner, {"name": text, "deadline": "2030-01-01", "description": text})
        assert (answer.status_code, set(answer.json["errors"])) == (422, {"name", "description"})


@pytest.mark.parametrize("between", ["\n", "\t", "\r\n"])
def test_lines_break_in_long_texts_alone(between, api, owner):
    text = f"Wed{between}ding"
    assert task(api, owner, description=text)["description"] == text
    assert api.post("/api/tasks", owner, TASK | {"name": text}).status_code == 422


def test_texts_keep_every_script_and_their_length_is_counted_in_characters(api, owner):
    text = "नमस्ते \N{WOMAN}\N{ZERO WIDTH JOINER}🎬 שלום Ω"
    assert task(api, owner, name=text)["name"] == text
    assert len(task(api, owner, name="🎬" * 200)["name"]) == 200
    assert api.post("/api/tasks", owner, TASK | {"name": "🎬" * 201}).status_code == 422


GOOD_LINKS = [
    "http://a.example",
    "https://a.example:8443/x?y=1#z",
    "https://bücher.example/ü",
    "https://[2001:db8::1]/",
]
GOOD_LINKS += [
    "HTTPS://A.EXAMPLE/x",
    "https://drive.example/file/d/1/view?usp=sharing",
    f"https://a.example/{'x' * 2030}",
]
BAD_LINKS = ["ftp://a.example", "javascript:alert(1)", "//a.example/x", "/x", "a.example", "https://", "https:///x"]
BAD_LINKS += ["https://user@a.example", "https://user:secret@a.example/", "https://@a.example", "https://a.example:x/"]
BAD_LINKS += ["https://a.example/a b", "https://a.example:99999", "data:text/html,x", "https://[::1", "https://?x"]
BAD_LINKS += ['https://a.example/"onload=', "https://a.example/<x>", f"https://a.example/{'x' * 2031}", "https://:80/"]
LINK_FIELDS = {
    "rawFileLink": ("/api/tasks", TASK),
    "editedFileLink": ("/api/tasks", TASK),
    "meetingLink": ("/api/meetings", MEETING),
    "editedLink": ("/api/payouts", PAYOUT),
    "portfolioLink": ("/api/applications", APPLICATION),
    "photoURL": ("me", {}),
}


@pytest.mark.parametrize("field", LINK_FIELDS)
def test_links_are_absolute_with_a_host_and_without_a_user(field, api, owner):
    path, body = LINK_FIELDS[field]
    method, path = ("PUT", f"/api/users/{owner.id}") if path == "me" else ("POST", path)
    for link in GOOD_LINKS:
        answer = api(method, path, owner, body | {field: link})
        assert answer.status_code in (200, 201), link
        assert answer.json[field] == link
    for link in BAD_LINKS:
        answer = api(method, path, owner, body | {field: link})
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), link


# -- fields ------------------------------------------------------------------------------------------------------------


def test_put_changes_only_what_it_sends_and_patch_is_the_same(api, owner):
    made = task(api, owner, description="Keep", priority="high")
    for change in (api.put, api.patch):
        answer = change(f"/api/tasks/{made['id']}", owner, {"name": "Renamed"})
        kept = {name: value for name, value in answer.json.items() if name not in ("name", "version", "updatedAt")}
        assert kept.items() <= made.items()
        assert answer.json["name"] == "Renamed"
    assert change(f"/api/tasks/{made['id']}", owner, {}).json == answer.json


@pytest.mark.parametrize(
    "field", ["id", "taskNumber", "createdAt", "createdBy", "version", "overdue", "colour", "Name"]
)
def test_unknown_and_read_only_fields_of_a_task_are_refused_and_nothing_is_done(field, api, owner):
    made = task(api, owner)
    answers = (
        api.post("/api/tasks", owner, TASK | {field: made.get(field, "x")}),
        api.put(f"/api/tasks/{made['id']}", owner, {"name": "New", field: made.get(field, "x")}),
    )
    for answer in answers:
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    assert api.get("/api/tasks", owner).json["data"] == [made]


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/api/meetings", MEETING, ["id", "endsAt", "allTeam", "organizer", "cancelledAt", "version"]),
        ("/api/payouts", PAYOUT, ["id", "status", "reason", "reference", "decidedBy", "paidAt", "editor"]),
        ("/api/applications", APPLICATION, ["id", "status", "source", "userId", "accountExists", "reason"]),
        ("/api/users", {"email": "n@example.com", "displayName": "N"}, ["id", "status", "approved", "createdAt"]),
        ("/api/chat/messages", {"message": "Hello"}, ["sender", "senderId", "type", "timestamp", "id"]),
        ("/api/notifications", {"title": "N", "message": "M", "to": "all"}, ["userId", "read", "entityId"]),
    ],
)
def test_read_only_fields_are_refused_everywhere(path, body, fields, api, owner):
    for field in fields:
        answer = api.post(path, owner, body | {field: None})
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_several_faults_are_named_at_once(api, owner):
    answer = api.post("/api/tasks", owner, {"priority": "now", "deadline": "2030-02-30", "id": uuid7(), "name": 7})
    assert answer.json["errors"].keys() == {"priority", "deadline", "id", "name"}
