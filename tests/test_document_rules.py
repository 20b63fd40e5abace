"""The rules that the OpenAPI document can't say, each with a request that is valid by it and refused all the same."""

from typing import Any

import jsonschema
import pytest
from authenticator import begin
from conftest import Api, Someone
from flask import Flask
from proofs.fuzz_rules import RULES, rule_of
from test_permissions import World

from idyll.openapi import document


def schema_of(app: Flask, rule: Any) -> dict[str, Any]:
    """The schema of what the rule's example sends."""
    operation = document(app)["paths"][rule.path.replace("{payout}", "{payout_id}")][rule.method.lower()]
    components = {"components": document(app)["components"]}
    if rule.method == "GET":
        query = {p["name"]: p["schema"] for p in operation["parameters"] if p["in"] == "query"}
        return {"type": "object", "properties": query, "additionalProperties": False, **components}
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema | components


STRANGERS = ("/api/auth/login", "/api/auth/password/reset")


@pytest.mark.parametrize("rule", RULES, ids=[f"{rule.path} {rule.field}" for rule in RULES])
def test_what_the_document_cannot_say_is_refused_and_named(
    rule, app: Flask, api: Api, owner: Someone, people, editor: Someone
):
    jsonschema.Draft202012Validator(schema_of(app, rule)).validate(rule.sent)
    path = rule.path.format(payout=World(api, people, editor).payout_id())
    if "two-step" in path:
        begin(api, owner)
    sent = {"query_string": rule.sent} if rule.method == "GET" else {"json": rule.sent}
    answer = api(rule.method, path, None if path in STRANGERS else owner, **sent)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    said = [(field, words) for field, all_words in answer.json["errors"].items() for words in all_words]
    assert said
    for field, words in said:
        assert rule.says(field, words), f"{field}: {words}"
        assert rule_of(field, words) is rule


def test_each_rule_says_why():
    assert all(rule.reason.endswith(".") for rule in RULES)
    assert len({rule.reason for rule in RULES}) > len(RULES) / 2
