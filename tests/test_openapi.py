"""The OpenAPI document: current, valid, and with an example for everything."""

import ast
import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from idyll.extensions import api as smorest
from idyll.openapi import document

ROOT = Path(__file__).parent.parent
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def spec(app) -> dict[str, Any]:
    # As a client gets it: text, parsed again.
    return json.loads(json.dumps(document(app)))


def operations(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": item[method]
        for path, item in spec["paths"].items()
        for method in METHODS
        if method in item
    }


def contents(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every body that is sent or answered: (where, media type, what is said of it)."""
    found = []
    for name, operation in operations(spec).items():
        bodies = {"request": operation.get("requestBody", {})}
        bodies |= {status: answered(spec, operation, status) for status in operation["responses"]}
        found += [(f"{name} {k}", m, c) for k, body in bodies.items() for m, c in body.get("content", {}).items()]
    return found


def answered(spec: dict[str, Any], operation: dict[str, Any], status: str) -> dict[str, Any]:
    response = operation["responses"][status]
    return spec["components"]["responses"][status] if "$ref" in response else response


def examples(spec: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    named = content.get("examples", {}).values()
    resolved = [spec["components"]["examples"][one["$ref"].rsplit("/", 1)[1]] for one in named]
    return [one["value"] for one in resolved] + ([content["example"]] if "example" in content else [])


def test_the_committed_document_is_current(spec):
    committed = json.loads((ROOT / "docs/openapi.json").read_text())
    assert committed == spec, "run `make openapi`"
    assert list(committed["paths"]) == list(spec["paths"])


def test_it_is_valid_openapi_3_1(spec):
    errors = OpenAPIV31SpecValidator(spec).iter_errors()
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
    for name, schema in spec["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert set(schema.get("required", ())) <= schema["properties"].keys(), name
    for where, _, content in contents(spec):
        jsonschema.Draft202012Validator.check_schema(content["schema"]), where
    for pointer in set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(spec))):
        _, _, kind, name = pointer.split("/")
        assert name in spec["components"][kind], pointer


def test_every_part_of_a_path_is_a_parameter(spec):
    for path, item in spec["paths"].items():
        named = {p["name"] for p in item.get("parameters", []) if p["in"] == "path" and p["required"]}
        assert named == set(re.findall(r"\{(\w+)\}", path)), path


def test_it_is_what_the_app_serves(api, spec):
    served = api.get("/api/openapi.json")
    assert served.status_code == 200
    assert served.content_type == "application/json"
    assert served.json == spec


def test_it_names_itself_and_where_it_is_served(spec):
    assert spec["info"]["title"] == "Idyll"
    assert re.fullmatch(r"\d+\.\d+\.\d+", spec["info"]["version"])
    for word in ("Bearer", "nextCursor", "Idempotency-Key", "If-Match", "problem+json"):
        assert word in spec["info"]["description"]
    assert [server["url"] for server in spec["servers"]] == ["/"], "paths begin with /api already"
    assert all(path.startswith("/api/") for path in spec["paths"])


def test_every_route_is_in_it(app, spec):
    served = {
        f"{method} {smorest.flask_plugin.flaskpath2openapi(str(rule))}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if str(rule).startswith("/api/") and not str(rule).endswith("api.json")
    }
    assert set(operations(spec)) == served


def test_every_operation_has_a_name_a_summary_and_a_tag(spec):
    found = operations(spec)
    names = [operation["operationId"] for operation in found.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)
    tags = {tag["name"] for tag in spec["tags"] if tag["description"]}
    for name, operation in found.items():
        assert len(operation["summary"]) > 5, name
        assert "\n" not in operation["summary"], name
        assert set(operation["tags"]) <= tags, name


def test_every_body_has_an_example_that_its_schema_takes(spec):
    for where, media, content in contents(spec):
        found = examples(spec, content)
        assert found, f"{where}: no example of {media}"
        for example in found:
            _check(spec, content["schema"], example, where)


def test_every_parameter_has_a_schema_that_takes_its_example_and_default(spec):
    for name, operation in operations(spec).items():
        path = name.split(" ")[1]
        for parameter in [*operation["parameters"], *spec["paths"][path].get("parameters", [])]:
            assert parameter["schema"].get("type"), f"{name}: {parameter['name']}"
            for value in [parameter[key] for key in ("example",) if key in parameter]:
                _check(spec, parameter["schema"], value, f"{name}: {parameter['name']}")
            if "default" in parameter["schema"]:
                _check(spec, parameter["schema"], parameter["schema"]["default"], f"{name}: {parameter['name']}")


def _check(spec: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> None:
    faults = [error.message for error in _validator({**schema, "components": spec["components"]}).iter_errors(value)]
    assert faults == [], where


def _validator(schema: dict[str, Any]) -> Any:
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_no_schema_is_empty_or_unused(spec):
    text = json.dumps(spec)
    for kind in ("schemas", "headers", "examples", "responses"):
        for name, schema in spec["components"][kind].items():
            assert f'"#/components/{kind}/{name}"' in text, f"nothing refers to {name}"
            for field, of in schema.get("properties", {}).items():
                assert of.keys() - {"description"}, f"{name}.{field} says nothing"


@pytest.mark.parametrize("name", ["amount", "from", "attendees", "description", "id"])
def test_what_is_hard_to_say_is_said(spec, name):
    """Of fields whose types are our own."""
    schemas = spec["components"]["schemas"]
    since = next(p for p in spec["paths"]["/api/payouts"]["get"]["parameters"] if p["name"] == "from")["schema"]
    attendees = schemas["MeetingIn"]["properties"]["attendees"]
    schema, good, bad = {
        "amount": (schemas["PayoutIn"]["properties"]["amount"], [0.01, 1500.5, 10_000_000], [0, -1, 10_000_001, "5"]),
        "from": (since, ["2026-01-31", "2026-01-31T09:30:00Z"], ["yesterday", 5]),
        "attendees": (attendees, ["All Team", ["asha", "All Team"], []], [5, [5], {"a": 1}]),
        "description": (schemas["TaskEdit"]["properties"]["description"], ["", None, "x"], ["x" * 10_001, 5]),
        "id": (schemas["PayoutIn"]["properties"]["taskId"], ["01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82", None], ["x"]),
    }[name]
    assert [value for value in good if not _validator(schema).is_valid(value)] == []
    assert [value for value in bad if _validator(schema).is_valid(value)] == []


# -- what an answer carries --------------------------------------------------------------------------------------------


def test_headers_are_promised_where_they_are_sent(api, spec, owner):
    task = api.post("/api/tasks", owner, {"name": "Film", "deadline": "2030-01-01"}, headers={"Idempotency-Key": "k"})
    again = api.post("/api/tasks", owner, {"name": "Film", "deadline": "2030-01-01"}, headers={"Idempotency-Key": "k"})
    api.post("/api/tasks", owner, {"name": "Film 2", "deadline": "2030-01-01"})
    path = f"/api/tasks/{task.json['id']}"
    shown = api.get(path, owner)
    same = api.get(path, owner, headers={"If-None-Match": shown.headers["ETag"]})
    answers = {
        "POST /api/tasks": again,
        "GET /api/tasks/{task_id}": shown,
        "GET /api/tasks": api.get("/api/tasks?limit=1", owner),
        "DELETE /api/tasks/{task_id}": api.delete(path, owner, headers={"If-Match": '"stale"'}),
        "PUT /api/tasks/{task_id}": api.put(path, None, {}),
        "GET /api/payouts": api.get("/api/payouts", owner, headers={"Accept": "text/csv"}),
    }
    assert same.status_code == 304
    named = set(spec["components"]["headers"])
    for name, answer in [*answers.items(), ("GET /api/tasks/{task_id}", same)]:
        promised = set(answered(spec, operations(spec)[name], str(answer.status_code))["headers"])
        sent = {header for header in named if header in answer.headers}
        # The client of these tests has no limits.
        assert sent <= promised, f"{name} {answer.status_code}"
    assert "Link" in answers["GET /api/tasks"].headers
    assert "Idempotency-Replayed" in again.headers
    assert answers["DELETE /api/tasks/{task_id}"].status_code == 412
    assert answers["PUT /api/tasks/{task_id}"].headers["WWW-Authenticate"] == "Bearer"


def test_every_request_header_of_the_contract_is_offered(spec):
    def takes(operation: dict[str, Any], header: str) -> bool:
        return header in {parameter["name"] for parameter in operation["parameters"]}

    for name, operation in operations(spec).items():
        method, path = name.split(" ")
        assert takes(operation, "Idempotency-Key") == (method == "POST" and not path.startswith("/api/auth")), name
        assert takes(operation, "If-None-Match") == ("304" in operation["responses"]), name
        assert takes(operation, "If-Match") == ("412" in operation["responses"]), name
        if method in ("PUT", "PATCH", "DELETE") and "get" in spec["paths"][path]:
            assert takes(operation, "If-Match"), name


def test_strangers_are_promised_only_what_is_public(api, spec):
    """Where no token is asked for, none is needed; everywhere else a stranger gets 401."""
    for name, operation in operations(spec).items():
        method, path = name.split(" ")
        wanted = operation.get("security", spec["security"])
        answer = api(method, re.sub(r"\{\w+\}", "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c82", path))
        assert (answer.status_code == 401) == (wanted == [{"token": []}] or path == "/api/auth/refresh"), name


def test_every_code_of_a_refusal_is_explained(spec):
    told = set(re.findall(r"- `(\w+)`", spec["components"]["schemas"]["Problem"]["properties"]["code"]["description"]))
    named = {HTTPStatus(status).name.lower() for status in (405, 413)}
    for path in ROOT.glob("idyll/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            pairs = {k.arg: k.value for k in node.keywords} if isinstance(node, ast.Call) else {}
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                pairs = {node.targets[0].id: node.value}
            value = pairs.get("code")
            named |= {value.value} if isinstance(value, ast.Constant) and value.value else set()
    assert told == named


def test_the_limits_of_python_versions_do_not_reach_it(spec):
    """Python 3.13 renamed two statuses: the document is the same on every version."""
    titles = {example["value"]["title"] for example in spec["components"]["examples"].values()}
    assert {"Content Too Large", "Unprocessable Content"} < titles
