"""The rights matrix of the sockets: every event for every kind of caller, against one table written by hand."""

import pytest
from talk import token_for

from idyll.live.events import EVENTS

CALLERS = ("pending", "editor", "another", "moderator", "owner")
# A word after "#" names one of several payloads of an event; `editors` is the room of the editor. A cell is "ok" or
# the status of the refusal.
POLICY = """
                              pending editor another moderator owner
join_room                         403     ok      ok        ok    ok
join_room #management             403    403     403        ok    ok
join_room #editors                403     ok     403        ok    ok
join_room #nowhere                422    422     422       422   422
join_room #as_themselves          403     ok      ok        ok    ok
join_room #as_the_owner           403    403     403       403    ok
join_room #as_a_manager           403    403     403       403    ok
leave_room                        403     ok      ok        ok    ok
leave_room #management            403     ok      ok        ok    ok
send_message                      403     ok      ok        ok    ok
send_message #management          403    403     403        ok    ok
send_message #editors             403     ok     403        ok    ok
send_message #of_the_owner        403     ok      ok        ok    ok
send_message #empty               422    422     422       422   422
typing                            403     ok      ok        ok    ok
typing #management                403    403     403        ok    ok
typing #editors                   403     ok     403        ok    ok
authenticate                       ok     ok      ok        ok    ok
authenticate #as_the_owner        403    403     403       403    ok
authenticate #with_nonsense       401    401     401       401   401
sync                              403     ok      ok        ok    ok
sync #since_nonsense              403    422     422       422   422
"""
ROLES = {"editor": "editor", "another": "editor", "pending": "editor", "moderator": "moderator", "owner": "owner"}


def rows() -> list[tuple[str, str, dict[str, str]]]:
    found = []
    for line in POLICY.strip().splitlines()[1:]:
        *words, a, b, c, d, e = line.split()
        event, what = [*words, "#"][:2]
        found.append((event, what.removeprefix("#"), dict(zip(CALLERS, (a, b, c, d, e), strict=True))))
    return found


def payload(live, people, caller, event, what):
    """What a line sends."""
    me, owner = people[caller], people["owner"]
    rooms = {"management": "management", "editors": f"editor:{people['editor'].id}", "nowhere": "kitchen"}
    base = {"send_message": {"message": "Hello"}, "typing": {"typing": True}}.get(event, {})
    if event == "authenticate":
        tokens = {"as_the_owner": owner, "": me}
        return {"token": token_for(live.inside, tokens[what], 600) if what in tokens else "nonsense"}
    more = {
        "as_themselves": {"userId": me.id, "role": ROLES[caller]},
        "as_the_owner": {"userId": owner.id},
        "as_a_manager": {"role": "owner"},
        "of_the_owner": {"sender": owner.name, "clientId": f"of-{caller}"},
        "empty": {"message": " "},
        "since_nonsense": {"since": "nonsense"},
    }
    return base | ({"room": rooms[what]} if what in rooms else more.get(what, {}))


@pytest.mark.parametrize("space", ["/", "/ws/chat"])
def test_every_event_answers_every_caller_as_the_policy_says(space, live):
    people = {
        "pending": live.people.pending(),
        "editor": live.people.editor(name="Asha Editor"),
        "another": live.people.editor(),
        "moderator": live.people.moderator(),
        "owner": live.people.owner(name="Olga Owner"),
    }
    there = live.start(CHAT_FLOOD_LIMIT="1000")
    for caller, someone in people.items():
        client = there.connect(someone, namespace=space)
        found, expected = {}, {}
        for event, what, cells in rows():
            answer = client.emit(event, payload(live, people, caller, event, what))
            line = f"{event} {what}"
            found[line], expected[line] = str(answer["status"]) if "code" in answer else "ok", cells[caller]
            if what == "of_the_owner" and "code" not in answer:
                assert (answer["senderId"], answer["sender"]) == (someone.id, someone.name)
            if caller == "pending" and answer.get("status") == 403 and event != "authenticate":
                assert answer["code"] == "account_pending"
        assert found == expected, caller
        assert client.gone == []


def test_every_event_has_a_row_and_every_row_an_event():
    assert {event for event, _, _ in rows()} == set(EVENTS)


def test_nobody_without_a_token_sends_anything(live):
    assert live.connect(None, wait=False).refused().data["status"] == 401
