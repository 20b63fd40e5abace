"""Forms send every field: empty ones are null, and null where something is made is as if it were left out."""

from io import BytesIO

import pytest
from doors import log_in
from jsonschema import Draft202012Validator

from idyll.openapi import document

pytestmark = pytest.mark.database


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_fields_of_a_new_thing_take_their_defaults(api, owner, editor, blank):
    task = {"name": "Film", "deadline": "2031-01-01", "priority": blank, "status": blank, "assignedTo": blank}
    made = api.post("/api/tasks", owner, task).json
    assert (made["priority"], made["status"], made["assignedTo"]) == ("medium", "pending", None)
    payout = {"projectName": "Film", "amount": 1, "currency": blank, "taskId": blank, "editorId": blank}
    made = api.post("/api/payouts", owner, payout).json
    assert (made["currency"], made["taskId"], made["editorId"]) == ("INR", None, owner.id)
    meeting = {"title": "Round", "date": "2031-01-01", "time": "10:00", "timezone": blank, "startsAt": blank}
    made = api.post("/api/meetings", owner, meeting).json
    assert (made["timezone"], made["startsAt"]) == ("Asia/Kolkata", "2031-01-01T04:30:00.000Z")
    said = api.post("/api/chat/messages", editor, {"message": "Hi", "room": blank, "clientId": blank}).json
    assert (said["room"], said["clientId"]) == ("team", None)


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_field_that_a_new_thing_needs_is_refused(api, owner, blank):
    for path, needed in (("tasks", ["deadline", "name"]), ("payouts", ["amount", "projectName"])):
        refused = api.post(f"/api/{path}", owner, dict.fromkeys(needed, blank))
        assert (refused.status_code, sorted(refused.json["errors"])) == (422, needed)


@pytest.mark.parametrize("text", ["\x0b", " \x1f ", "\x85"])
def test_control_characters_alone_are_no_blank(api, owner, text):
    task = {"name": "Film", "deadline": "2031-01-01", "description": text, "assignedTo": text}
    refused = api.post("/api/tasks", owner, task)
    assert (refused.status_code, sorted(refused.json["errors"])) == (422, ["assignedTo", "description"])


def test_a_blank_password_of_a_new_person_asks_for_an_invite_and_blanks_are_a_password(api, owner):
    new = {"email": "n@example.com", "displayName": "N", "role": "", "username": ""}
    assert "invite" in api.post("/api/users", owner, new | {"password": ""}).json
    new |= {"email": "m@example.com"}
    assert "invite" not in api.post("/api/users", owner, new | {"password": " " * 8}).json
    assert log_in(api, "m@example.com", " " * 8).status_code == 200


@pytest.mark.parametrize(("field", "blank"), [("priority", ""), ("priority", None), ("deadline", ""), ("status", "")])
def test_what_can_not_be_cleared_is_refused_where_a_thing_is_changed(api, owner, field, blank):
    task = api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01"}).json
    refused = api.put(f"/api/tasks/{task['id']}", owner, {field: blank})
    assert (refused.status_code, list(refused.json["errors"])) == (422, [field])


def test_a_blank_task_is_taken_off_a_pending_payout(api, editor):
    made = api.post("/api/payouts", editor, {"projectName": "Film", "amount": 1}).json
    assert api.put(f"/api/payouts/{made['id']}", editor, {"taskId": ""}).json["taskId"] is None


def test_a_body_or_a_query_that_a_route_does_not_take_is_named(api, owner):
    task = api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01"}).json
    filed = api.post("/api/applications", json={"fullName": "R", "email": "r@example.com"}).json
    approve = f"/api/applications/{filed['id']}/approve"
    for answer, name in (
        (api.get(f"/api/tasks/{task['id']}?foo=1", owner), "foo"),
        (api.get("/api/auth/me?foo=1", owner), "foo"),
        (api.post("/api/tasks?foo=1", owner, {"name": "Film", "deadline": "2031-01-01"}), "foo"),
        (api.get("/api/tasks?limit=1&limit=2", owner), "limit"),
        (api.put(approve, owner, {"foo": 1}), "foo"),
    ):
        assert (answer.status_code, list(answer.json["errors"])) == (422, [name])
    assert api.put(approve, owner, data="{", content_type="application/json").status_code == 400
    assert api.put(approve, owner, {}).status_code == 200


def test_an_empty_body_is_no_body_whatever_its_type(api, editor):
    json = {"content_type": "application/json", "data": b""}
    assert api.post("/api/auth/refresh", editor.refresh_token, **json).status_code == 200
    assert list(api.post("/api/payouts", editor, **json).json["errors"]) == ["projectName", "amount"]


def test_a_chunked_body_over_the_limit_is_refused_and_not_cut(api, owner):
    for path in ("/api/tasks", "/api/auth/login"):
        body = b'{"name": "Film", "deadline": "2031-01-01"' + b" " * 1_100_000 + b"}"
        environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        sent = {"content_type": "application/json", "environ_overrides": environ}
        answer = api.post(path, owner, input_stream=BytesIO(body), **sent)
        assert answer.status_code == 413


@pytest.mark.parametrize("text", ["1.0000000000000000001", "1.005", "1e-3", "1E+999999999", "0.00", "10000000.001"])
def test_an_amount_has_two_decimals_by_its_digits(api, editor, text):
    body = f'{{"projectName": "Film", "amount": {text}}}'
    answer = api.post("/api/payouts", editor, data=body, content_type="application/json")
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["amount"])


@pytest.mark.parametrize(("text", "amount"), [("1.50", 1.5), ("1.5000000000", 1.5), ("1e2", 100), ("0.01", 0.01)])
def test_zeros_and_exponents_say_nothing_new(api, editor, text, amount):
    body = f'{{"projectName": "Film", "amount": {text}}}'
    assert api.post("/api/payouts", editor, data=body, content_type="application/json").json["amount"] == amount


def lasting(api, owner, text):
    body = f'{{"title": "R", "date": "2031-01-01", "time": "10:00", "durationMinutes": {text}}}'
    return api.post("/api/meetings", owner, data=body, content_type="application/json")


@pytest.mark.parametrize("text", ["90.0", "9e1", "90.0000000000000000000000000000000000"])
def test_a_whole_number_may_be_written_as_a_fraction(api, owner, text):
    assert lasting(api, owner, text).json["durationMinutes"] == 90


@pytest.mark.parametrize("text", ["90.5", "90.0000000000000000000000000000000001", "1e-9", "1E+999999999", "-9e1"])
def test_a_duration_is_whole_by_its_digits(api, owner, text):
    assert list(lasting(api, owner, text).json["errors"]) == ["durationMinutes"]


@pytest.mark.parametrize("zone", ["localtime", "Factory", "Asia/Nowhere"])
def test_a_time_zone_is_a_place(api, owner, zone):
    meeting = {"title": "R", "date": "2031-01-01", "time": "10:00", "timezone": zone}
    assert list(api.post("/api/meetings", owner, meeting).json["errors"]) == ["timezone"]


def test_a_task_of_a_payout_is_cleared_as_the_document_says(app, api, editor):
    sent = {"projectName": "Film", "amount": 5, "taskId": ""}
    made = api.post("/api/payouts", editor, sent)
    assert (made.status_code, made.json["taskId"]) == (201, None)
    assert api.put(f"/api/payouts/{made.json['id']}", editor, {"taskId": ""}).json["taskId"] is None
    schemas = document(app)["components"]["schemas"]
    for name in ("PayoutIn", "PayoutEdit"):
        forms = schemas[name]["properties"]["taskId"]["anyOf"]
        assert forms == [{"format": "uuid"}, {"maxLength": 0}]


def test_of_every_body_the_document_says_that_an_empty_text_is_null(app):
    described = document(app)
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        for path in described["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    }
    fields = {
        f"{body}.{name}": said
        for body in bodies
        for name, said in described["components"]["schemas"][body]["properties"].items()
        if "null" in said.get("type", ())
    }
    assert len(fields) > 40
    assert [name for name, said in fields.items() if not Draft202012Validator(said).is_valid("")] == []
