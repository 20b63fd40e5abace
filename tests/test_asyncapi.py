"""The AsyncAPI document of the sockets: current, valid, complete, and the measure of every event that tests cause."""

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from messages import check_ack, check_log, check_message
from servers import ROOT

from idyll import openapi
from idyll.asyncapi import document
from idyll.events.catalogue import CATALOGUE
from idyll.live.events import EVENTS
from idyll.transactions import record, transaction

SPECIFICATION = ROOT / "tests/js/node_modules/@asyncapi/specs/schemas/3.0.0.json"
NAMESPACES = {"/", "/ws/chat"}
# What the contract promises of each event, in both directions; payloads may carry more.
EMITTED = {
    "join_room": ("userId role room", "room members lastEventId"),
    "leave_room": ("room", "room"),
    "send_message": (
        "message sender room clientId",
        "id room message sender senderId senderRole type clientId timestamp editedAt deletedAt",
    ),
    "typing": ("room typing", ""),
    "authenticate": ("token", "expiresAt"),
    "sync": ("since", "events lastEventId more resync"),
}
HEARD = {
    "new_message": "message sender timestamp id room senderId clientId type eventId",
    "message_updated": "message eventId",
    "message_deleted": "messageId room eventId",
    "user_joined": "user room",
    "user_left": "user room",
    "typing": "room user typing",
    "task_created": "task eventId",
    "task_updated": "taskId updates eventId",
    "task_deleted": "taskId eventId",
    "payout_created": "payout eventId",
    "payout_updated": "payoutId status updates eventId",
    "meeting_created": "meeting eventId",
    "meeting_updated": "meetingId updates eventId",
    "meeting_deleted": "meetingId eventId",
    "application_created": "application eventId",
    "application_updated": "applicationId status eventId",
    "user_updated": "userId updates eventId",
    "new_notification": "notification eventId",
    "token_expired": "",
}
# Of ours: what else managers hear of people.
MORE = {
    "user_created": "user eventId",
    "user_removed": "userId eventId",
    "application_deleted": "applicationId eventId",
}
NOT_KEPT = {"typing", "user_joined", "user_left", "token_expired"}


@pytest.fixture(scope="module")
def spec(app) -> dict[str, Any]:
    # As a client gets it: text, parsed again.
    return json.loads(json.dumps(document(app)))


def resolved(spec: dict[str, Any], pointer: str) -> Any:
    found: Any = spec
    for part in pointer.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/")]
    return found


def payload(spec: dict[str, Any], message: str) -> dict[str, Any]:
    return resolved(spec, spec["components"]["messages"][message]["payload"]["$ref"])


def operations(spec: dict[str, Any], action: str) -> dict[tuple[str, str], dict[str, Any]]:
    """By namespace and name of the event."""
    found = {}
    for operation in spec["operations"].values():
        if operation["action"] == action:
            channel = resolved(spec, operation["channel"]["$ref"])
            [reference] = operation["messages"]
            message = resolved(spec, resolved(spec, reference["$ref"])["$ref"])
            assert (channel["address"], message["name"]) not in found
            found[channel["address"], message["name"]] = operation
    return found


# -- the document ------------------------------------------------------------------------------------------------------


def test_the_committed_document_is_current(spec):
    assert json.loads((ROOT / "docs/asyncapi.json").read_text()) == spec, "run `make openapi`"


def test_it_is_what_the_app_serves_to_anybody(api, spec):
    served = api.get("/api/asyncapi.json")
    assert served.content_type == "application/json"
    assert served.json == spec


def test_it_is_valid_asyncapi_3(spec):
    subprocess.run([ROOT / "bin" / "node"], check=True, timeout=300)
    official = jsonschema.Draft7Validator(json.loads(SPECIFICATION.read_text()))
    assert [f"{error.json_path}: {error.message}" for error in official.iter_errors(spec)] == []
    spec = json.loads(json.dumps(spec))
    spec["operations"]["default_send_typing"]["action"] = "publish"
    assert not official.is_valid(spec), "it takes anything"


def test_every_reference_leads_somewhere_and_every_component_is_used(spec):
    text = json.dumps(spec)
    pointers = set(re.findall(r'"\$ref": "([^"]+)"', text))
    for pointer in pointers:
        assert resolved(spec, pointer), pointer
    for kind in ("messages", "schemas", "securitySchemes"):
        assert {f"#/components/{kind}/{name}" for name in spec["components"][kind]} <= pointers
    for operation in spec["operations"].values():
        own = operation["channel"]["$ref"]
        for reference in [*operation["messages"], *operation.get("reply", {}).get("messages", [])]:
            assert reference["$ref"].startswith(f"{own}/messages/"), "of its own channel"


def test_its_schemas_are_those_of_rest(app, spec):
    rest = openapi.document(app)["components"]["schemas"]
    mine = spec["components"]["schemas"]
    shared = mine.keys() & rest.keys()
    assert shared >= {"TaskOut", "PayoutOut", "MeetingOut", "MessageOut", "NotificationOut", "UserOut", "Problem"}
    assert {name: mine[name] for name in shared} == {name: rest[name] for name in shared}
    for name, schema in mine.items():
        jsonschema.Draft7Validator.check_schema(schema)
        # Draft 7, which AsyncAPI builds on, reads nothing beside a reference.
        siblings = [part.keys() - {"$ref", "description"} for part in schema["properties"].values() if "$ref" in part]
        assert not any(siblings), name


def test_it_says_where_and_how_to_connect(spec):
    assert {server["pathname"] for server in spec["servers"].values()} == {"/socket.io", "/ws/chat"}
    assert {channel["address"] for channel in spec["channels"].values()} == NAMESPACES
    for server in spec["servers"].values():
        [security] = server["security"]
        assert "auth" in resolved(spec, security["$ref"])["description"]
    for word in ("connect_error", "token_expired", "sync", "eventId", "resync", "authenticate", "Authorization"):
        assert f"{word}" in spec["info"]["description"], word


# -- its events --------------------------------------------------------------------------------------------------------


def test_every_event_of_the_contract_is_in_it_in_both_namespaces(spec):
    assert operations(spec, "receive").keys() == {(space, name) for space in NAMESPACES for name in EMITTED}
    assert operations(spec, "send").keys() == {(space, name) for space in NAMESPACES for name in HEARD | MORE}


@pytest.mark.parametrize("name", EMITTED)
def test_what_clients_say_and_how_it_is_acknowledged(spec, name):
    asked, answered = EMITTED[name]
    assert set(asked.split()) <= payload(spec, f"client_{name}")["properties"].keys()
    assert set(answered.split()) <= payload(spec, f"ack_{name}")["properties"].keys()
    # What the document shows is what the server takes.
    example = spec["components"]["messages"][f"client_{name}"]["examples"][0]["payload"]
    assert EVENTS[name].schema().load(example)
    for space in NAMESPACES:
        reply = operations(spec, "receive")[space, name]["reply"]["messages"]
        assert {reference["$ref"].rsplit("/", 1)[1] for reference in reply} == {f"ack_{name}", "refusal"}


@pytest.mark.parametrize("name", HEARD | MORE)
def test_what_clients_hear(spec, name):
    message, schema = spec["components"]["messages"][f"server_{name}"], payload(spec, f"server_{name}")
    assert set((HEARD | MORE)[name].split()) <= set(schema.get("required", ()))
    assert ("eventId" in schema["properties"]) == message["x-kept"] == (name not in NOT_KEPT)
    assert message["x-recipients"]
    assert len(message["summary"]) > 10


@pytest.mark.parametrize("thing", ["Task", "Payout", "Meeting", "User"])
def test_updates_are_some_of_the_fields_of_an_answer(spec, thing):
    schemas = spec["components"]["schemas"]
    assert schemas[f"{thing}Updates"]["properties"] == schemas[f"{thing}Out"]["properties"]
    assert "required" not in schemas[f"{thing}Updates"]
    updates = schemas[f"{thing}UpdatedEvent"]["properties"]["updates"]
    assert updates["$ref"] == f"#/components/schemas/{thing}Updates"


def test_every_message_has_an_example_that_its_schema_takes(spec):
    for key, message in spec["components"]["messages"].items():
        [example] = message["examples"]
        validator = jsonschema.Draft7Validator(
            {**message["payload"], "components": spec["components"]}, format_checker=jsonschema.FormatChecker()
        )
        assert [error.message for error in validator.iter_errors(example["payload"])] == [], key


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_the_catalogue_has_what_is_recorded_and_nothing_else():
    recorded, words = set(), {"record": 0, "_record": 0, "insert_once": 2}
    for path in Path(ROOT / "idyll").glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in words:
                name = node.args[words[node.func.id]]
                recorded |= {name.value} if isinstance(name, ast.Constant) else set()
    assert recorded == {name for name, event in CATALOGUE.items() if event.kept} == (HEARD | MORE).keys() - NOT_KEPT


@pytest.mark.parametrize("name", ["task_renamed", "typing"])
def test_an_event_that_is_not_kept_cannot_be_recorded(app, name):
    with app.app_context(), transaction(), pytest.raises(ValueError, match=name):
        record(name, {}, about="parting", of="x", audience=["managers"])


TASK = {"taskId": "1", "eventId": "e1-00000000"}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("task_renamed", TASK, "no event task_renamed"),
        ("task_deleted", {"taskId": "1"}, "'eventId' is a required property"),
        ("task_deleted", TASK | {"taskNumber": "T001"}, "'taskNumber' was unexpected"),
        ("task_deleted", [TASK], "is not of type 'object'"),
        ("task_updated", TASK | {"updates": {"status": "done"}}, "'done' is not one of"),
        ("task_updated", TASK | {"updates": {"updatedAt": "today"}}, "is not a 'date-time'"),
        ("task_updated", TASK | {"updates": {"assignee": {"id": "1"}}}, "assignee"),
        ("typing", {"room": "team", "typing": True}, "'user' is a required property"),
        ("token_expired", {"eventId": "e1-00000000"}, "'eventId' was unexpected"),
    ],
)
def test_tests_notice_an_event_that_is_not_as_promised(name, data, said):
    with pytest.raises(AssertionError, match=said):
        check_message(name, data)


def test_tests_notice_it_in_the_log_and_in_acknowledgements_too():
    check_log([("task_deleted", '{"taskId": "1"}')])
    with pytest.raises(AssertionError, match="meetingId"):
        check_log([("task_deleted", '{"taskId": "1"}'), ("meeting_deleted", '{"taskId": "1"}')])
    check_ack("leave_room", {"room": "team"})
    with pytest.raises(AssertionError, match="'room' is a required property"):
        check_ack("leave_room", {})
    with pytest.raises(AssertionError, match="is a required property"):
        check_ack("leave_room", {"code": "forbidden"})


def test_parting_words_are_as_promised():
    check_message("task_updated", TASK | {"updates": {"assignedTo": None}})
    check_message("meeting_updated", {"meetingId": "1", "updates": {"attendees": []}, "eventId": "e1-00000000"})
