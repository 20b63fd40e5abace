"""The rights matrix: every route for every kind of caller, against one table written by hand."""

import pytest
from conftest import PASSWORD, Api, People, Someone
from flask import Flask

from idyll.permissions import GENERAL

pytestmark = pytest.mark.database

CALLERS = ("nobody", "pending", "editor", "another", "moderator", "owner")

# A line is a route, then what each caller gets. Things in a path are the editor's: their account, session, task,
# payout, message, notification and a meeting that they attend; "another" is another editor. A word after "#" names
# one of several requests of a route. PATCH is PUT, see below.
POLICY = """
                                                       nobody pending editor another moderator owner
GET    /healthz                                           200     200    200     200       200   200
GET    /readyz                                            200     200    200     200       200   200
GET    /docs                                              308     308    308     308       308   308
GET    /docs/                                             200     200    200     200       200   200
GET    /docs/events                                       200     200    200     200       200   200
GET    /docs/<path:name>                                  200     200    200     200       200   200
GET    /api/openapi.json                                  200     200    200     200       200   200
GET    /api/asyncapi.json                                 200     200    200     200       200   200

POST   /api/auth/register                                 201     201    201     201       201   201
POST   /api/auth/login                                    200     200    200     200       200   200
POST   /api/auth/refresh                                  200     200    200     200       200   200
POST   /api/auth/password/forgot                          202     202    202     202       202   202
POST   /api/auth/password/reset                           204     204    204     204       204   204
POST   /api/auth/logout                                   401     204    204     204       204   204
POST   /api/auth/logout/everywhere                        401     204    204     204       204   204
GET    /api/auth/me                                       401     200    200     200       200   200
GET    /api/auth/sessions                                 401     200    200     200       200   200
DELETE /api/auth/sessions/<id:session_id>                 401     404    204     404       404   404
GET    /api/auth/two-step                                 401     403    200     200       200   200
POST   /api/auth/two-step                                 401     403    201     201       201   201
POST   /api/auth/two-step/confirm                         401     403    409     409       409   409
POST   /api/auth/two-step/prove                           401     403    409     409       409   409
DELETE /api/auth/two-step                                 401     403    204     204       204   204

GET    /api/users                                         401     403    200     200       200   200
POST   /api/users                                         401     403    403     403       201   201
POST   /api/users #moderator                              401     403    403     403       403   201
GET    /api/users/<id:user_id>                            401     403    200     200       200   200
PUT    /api/users/<id:user_id>                            401     403    200     403       200   200
PUT    /api/users/<id:user_id> #role                      401     403    403     403       403   200
PUT    /api/users/<id:user_id> #password                  401     403    200     403       403   403
DELETE /api/users/<id:user_id>                            401     403    204     403       204   204
POST   /api/users/<id:user_id>/invite                     401     403    403     403       201   201

POST   /api/applications                                  201     201    201     201       201   201
GET    /api/applications/status/<status_token>            200     200    200     200       200   200
GET    /api/applications                                  401     403    403     403       200   200
GET    /api/applications/<id:application_id>              401     403    403     403       200   200
DELETE /api/applications/<id:application_id>              401     403    403     403       204   204
PUT    /api/applications/<id:application_id>/approve      401     403    403     403       200   200
PUT    /api/applications/<id:application_id>/reject       401     403    403     403       200   200

GET    /api/tasks                                         401     403    200     200       200   200
GET    /api/tasks #csv                                    401     403    403     403       200   200
GET    /api/tasks/user/<id:user_id>                       401     403    200     403       200   200
POST   /api/tasks                                         401     403    403     403       201   201
GET    /api/tasks/<id:task_id>                            401     403    200     404       200   200
PUT    /api/tasks/<id:task_id>                            401     403    200     404       200   200
PUT    /api/tasks/<id:task_id> #name                      401     403    403     404       200   200
PUT    /api/tasks/<id:task_id> #approval                  401     403    403     404       200   200
DELETE /api/tasks/<id:task_id>                            401     403    403     403       204   204

GET    /api/meetings                                      401     403    200     200       200   200
POST   /api/meetings                                      401     403    403     403       201   201
GET    /api/meetings/<id:meeting_id>                      401     403    200     404       200   200
PUT    /api/meetings/<id:meeting_id>                      401     403    403     403       200   200
DELETE /api/meetings/<id:meeting_id>                      401     403    403     403       204   204

GET    /api/payouts                                       401     403    200     200       200   200
GET    /api/payouts #csv                                  401     403    403     403       200   200
GET    /api/payouts/user/<id:user_id>                     401     403    200     403       200   200
POST   /api/payouts                                       401     403    201     201       201   201
POST   /api/payouts #other                                401     403    403     403       201   201
GET    /api/payouts/<id:payout_id>                        401     403    200     404       200   200
PUT    /api/payouts/<id:payout_id>                        401     403    200     404       403   403
PUT    /api/payouts/<id:payout_id> #decide                401     403    403     404       200   200
DELETE /api/payouts/<id:payout_id>                        401     403    204     404       403   403

GET    /api/chat/rooms                                    401     403    200     200       200   200
GET    /api/chat/messages                                 401     403    200     200       200   200
GET    /api/chat/messages #management                     401     403    403     403       200   200
GET    /api/chat/messages #editors                        401     403    200     403       200   200
POST   /api/chat/messages                                 401     403    201     201       201   201
POST   /api/chat/messages #management                     401     403    403     403       201   201
POST   /api/chat/messages #editors                        401     403    201     403       201   201
PUT    /api/chat/messages/<id:message_id>                 401     403    200     403       403   403
DELETE /api/chat/messages/<id:message_id>                 401     403    204     403       204   204
PUT    /api/chat/rooms/<room>/read                        401     403    200     200       200   200
PUT    /api/chat/rooms/<room>/read #editors               401     403    200     403       200   200

GET    /api/notifications                                 401     403    200     200       200   200
POST   /api/notifications                                 401     403    403     403       201   201
PUT    /api/notifications/<id:notification_id>/read       401     403    200     404       404   404
PUT    /api/notifications/read-all                        401     403    204     204       204   204
DELETE /api/notifications/<id:notification_id>            401     403    204     404       404   404

GET    /api/stats/summary                                 401     403    200     200       200   200
GET    /api/stats/summary #other                          401     403    200     403       200   200
GET    /api/audit                                         401     403    403     403       200   200
GET    /api/audit #csv                                    401     403    403     403       200   200
GET    /api/events                                        401     403    200     200       200   200
"""

NEW_PERSON = {"email": "new@example.com", "displayName": "Neha New"}
CSV = {"headers": {"Accept": "text/csv"}}


class World:
    """The editor's things, made when a request needs them; `boss` hands them out."""

    def __init__(self, api: Api, people: People, editor: Someone) -> None:
        self.api, self.editor, self.boss = api, editor, people.owner()

    def _made(self, path: str, body: dict, by: Someone) -> str:
        return self.api.post(path, by, body).json["id"]

    def user_id(self) -> str:
        return self.editor.id

    def session_id(self) -> str:
        return self.api.get("/api/auth/sessions", self.editor).json["data"][0]["id"]

    def application_id(self) -> str:
        return self._made("/api/applications", {"fullName": "Asif", "email": "asif@example.com"}, self.boss)

    def status_token(self) -> str:
        body = {"fullName": "Asif", "email": "asif@example.com"}
        return self.api.post("/api/applications", json=body).json["statusToken"]

    def task_id(self) -> str:
        body = {"name": "Wedding", "deadline": "2030-01-01", "assignedTo": self.editor.id, "status": "completed"}
        return self._made("/api/tasks", body, self.boss)

    def meeting_id(self) -> str:
        body = {"title": "Round", "startsAt": "2030-01-01T10:00:00Z", "attendees": [self.editor.id]}
        return self._made("/api/meetings", body, self.boss)

    def payout_id(self) -> str:
        return self._made("/api/payouts", {"projectName": "Wedding", "amount": 100}, self.editor)

    def message_id(self, room: str = "team") -> str:
        return self._made("/api/chat/messages", {"message": "Hello", "room": room}, self.editor)

    def notification_id(self) -> str:
        self.api.post("/api/notifications", self.boss, {"title": "Note", "message": "Read it", "to": self.editor.id})
        return self.api.get("/api/notifications", self.editor).json["data"][0]["id"]

    def room(self) -> str:
        return "team"

    def name(self) -> str:
        return "start.js"

    def path(self, rule: str) -> str:
        parts = [part.strip("<>").split(":")[-1] if part.startswith("<") else None for part in rule.split("/")]
        return "/".join(
            getattr(self, name)() if name else part for name, part in zip(parts, rule.split("/"), strict=True)
        )

    def reset_token(self) -> str:
        link = self.api.post(f"/api/users/{self.editor.id}/invite", self.boss).json["invite"]["url"]
        return link.partition("token=")[2]

    def request(self, line: str) -> dict:
        """What else goes with the request of a line: a body, a query or headers."""
        editors = f"editor:{self.editor.id}"
        bodies = {
            "POST /api/auth/register": NEW_PERSON | {"username": "neha", "password": PASSWORD},
            "POST /api/auth/login": {"login": self.editor.email, "password": PASSWORD},
            "POST /api/auth/refresh": {"refreshToken": self.editor.refresh_token},
            "POST /api/auth/password/forgot": {"email": self.editor.email},
            "POST /api/auth/two-step": {"currentPassword": PASSWORD},
            "POST /api/auth/two-step/confirm": {"code": "123456"},
            "POST /api/auth/two-step/prove": {"code": "123456"},
            "DELETE /api/auth/two-step": {"currentPassword": PASSWORD},
            "POST /api/users": NEW_PERSON,
            "POST /api/users #moderator": NEW_PERSON | {"role": "moderator"},
            "PUT /api/users/<id:user_id>": {"location": "Pune"},
            "PUT /api/users/<id:user_id> #role": {"role": "moderator"},
            "PUT /api/users/<id:user_id> #password": {"password": "a-new-night-at-sea", "currentPassword": PASSWORD},
            "DELETE /api/users/<id:user_id>": {"currentPassword": PASSWORD},
            "POST /api/applications": {"fullName": "Neha", "email": "new@example.com"},
            "PUT /api/applications/<id:application_id>/reject": {"reason": "Too early."},
            "POST /api/tasks": {"name": "Wedding", "deadline": "2030-01-01"},
            "PUT /api/tasks/<id:task_id>": {"status": "in-progress"},
            "PUT /api/tasks/<id:task_id> #name": {"name": "Another"},
            "PUT /api/tasks/<id:task_id> #approval": {"approvalStatus": "approved"},
            "POST /api/meetings": {"title": "Round", "startsAt": "2030-01-01T10:00:00Z"},
            "PUT /api/meetings/<id:meeting_id>": {"title": "Another"},
            "POST /api/payouts": {"projectName": "Wedding", "amount": 5},
            "POST /api/payouts #other": {"projectName": "Wedding", "amount": 5, "editorId": self.boss.id},
            "PUT /api/payouts/<id:payout_id>": {"note": "By Friday, please"},
            "PUT /api/payouts/<id:payout_id> #decide": {"status": "approved"},
            "POST /api/chat/messages": {"message": "Hello"},
            "POST /api/chat/messages #management": {"message": "Hello", "room": "management"},
            "POST /api/chat/messages #editors": {"message": "Hello", "room": editors},
            "PUT /api/chat/messages/<id:message_id>": {"message": "Hello again"},
            "POST /api/notifications": {"title": "Note", "message": "Read it", "to": "all"},
        }
        queries = {
            "GET /api/chat/messages #management": {"room": "management"},
            "GET /api/chat/messages #editors": {"room": editors},
            "GET /api/stats/summary #other": {"userId": self.editor.id},
        }
        if line == "POST /api/auth/password/reset":
            return {"json": {"token": self.reset_token(), "password": "a-new-night-at-sea"}}
        if line.startswith("PUT /api/chat/rooms/"):
            return {"json": {"messageId": self.message_id(editors if line.endswith("#editors") else "team")}}
        if line.endswith("#csv"):
            return CSV
        return {"query_string": queries[line]} if line in queries else {"json": bodies.get(line)}


def rows() -> list[tuple[str, dict[str, int]]]:
    lines = [line.split() for line in POLICY.strip().splitlines()[1:] if line]
    return [
        (" ".join(words[:-6]), dict(zip(CALLERS, map(int, words[-6:]), strict=True)))
        for words in lines
    ]  # fmt: skip


CELLS = [(line, caller, cells[caller]) for line, cells in rows() for caller in CALLERS]


@pytest.mark.parametrize(("line", "caller", "expected"), CELLS, ids=[f"{c[0]} as {c[1]}" for c in CELLS])
def test_every_route_answers_every_caller_as_the_policy_says(
    line, caller, expected, api, people, editor, other_editor, request
):
    fixtures = {"nobody": None, "editor": "editor", "another": "other_editor"}
    name = fixtures.get(caller, caller)
    by = request.getfixturevalue(name) if name else None
    world = World(api, people, editor)
    method, rule = line.split(" #")[0].split()
    if line.endswith("#editors") and "<room>" in rule:
        rule = rule.replace("<room>", f"editor:{editor.id}")
    answer = api(method, world.path(rule), by, **world.request(line))
    assert answer.status_code == expected, answer.get_data(as_text=True)
    if caller == "pending" and expected == 403:
        assert answer.json["code"] == "account_pending"


def test_every_route_has_a_row_and_every_row_a_route(app: Flask):
    served = {
        f"{method} {rule}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS", "PATCH"}
    }
    assert served == {line.split(" #")[0] for line, _ in rows()}


def test_patch_stands_wherever_put_stands_and_is_the_same_route(app: Flask):
    for rule in app.url_map.iter_rules():
        assert ("PUT" in rule.methods) == ("PATCH" in rule.methods), rule


# -- whom one may manage -----------------------------------------------------------------------------------------------

OVER = """
                               moderator owner
editor    PUT    profile             200   200
editor    PUT    email               200   200
editor    PUT    to-moderator        403   200
editor    PUT    to-owner            403   200
editor    POST   invite              201   201
editor    DELETE -                   204   204
pending   PUT    profile             200   200
pending   PUT    approve             200   200
pending   PUT    reject              200   200
pending   POST   invite              201   201
pending   DELETE -                   204   204
moderator PUT    profile             403   200
moderator PUT    email               403   200
moderator PUT    to-editor           403   200
moderator PUT    to-owner            403   200
moderator POST   invite              403   201
moderator DELETE -                   403   204
owner     PUT    profile             403   200
owner     PUT    email               403   200
owner     PUT    to-editor           403   200
owner     POST   invite              403   201
owner     DELETE -                   403   204
"""
CHANGES = {
    "profile": {"location": "Goa"},
    "email": {"email": "other@example.com"},
    "approve": {"status": "approved"},
    "reject": {"status": "rejected"},
    "to-editor": {"role": "editor"},
    "to-moderator": {"role": "moderator"},
    "to-owner": {"role": "owner"},
}


@pytest.mark.parametrize("line", OVER.strip().splitlines()[1:], ids=lambda line: "_".join(line.split()[:3]))
@pytest.mark.parametrize("caller", ["moderator", "owner"])
def test_moderators_manage_editors_only_and_the_owner_everybody(line, caller, api, people, request):
    kind, method, what, *cells = line.split()
    by, target = request.getfixturevalue(caller), getattr(people, kind)()
    path = f"/api/users/{target.id}" + ("/invite" if method == "POST" else "")
    answer = api(method, path, by, CHANGES.get(what))
    assert answer.status_code == int(cells[caller == "owner"]), answer.get_data(as_text=True)


@pytest.mark.parametrize("kind", ["editor", "moderator", "owner"])
@pytest.mark.parametrize("role", ["editor", "moderator", "owner"])
def test_nobody_changes_their_own_role(kind, role, api, people):
    people.owner()
    someone = getattr(people, kind)()
    answer = api.put(f"/api/users/{someone.id}", someone, {"role": role, "location": "Goa"})
    assert answer.status_code == 403
    assert "role" in answer.json["errors"]
    assert api.get("/api/auth/me", someone).json["location"] is None


@pytest.mark.parametrize("kind", ["moderator", "owner"])
def test_nobody_decides_on_their_own_payout(kind, api, people):
    someone = getattr(people, kind)()
    payout = api.post("/api/payouts", someone, {"projectName": "Wedding", "amount": 5}).json["id"]
    for decision in ({"status": "approved"}, {"status": "rejected", "reason": "No"}):
        assert api.put(f"/api/payouts/{payout}", someone, decision).status_code == 403


def test_a_pending_person_may_edit_their_own_profile_and_nothing_else(api, pending, editor):
    own, unknown = f"/api/users/{pending.id}", "/api/users/01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"
    assert api.put(own, pending, {"location": "Pune"}).status_code == 200
    assert api.put(own, pending, {"status": "approved"}).status_code == 403
    asked = [("GET", own), ("GET", unknown), ("PUT", unknown), ("PUT", f"/api/users/{editor.id}")]
    for method, path in [*asked, ("GET", "/api/tasks/01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80")]:
        answer = api(method, path, pending, {"location": "Goa"} if method == "PUT" else None)
        assert (answer.status_code, answer.json["code"]) == (403, "account_pending"), path


# -- `can` tells clients the truth -------------------------------------------------------------------------------------


def probes(world: World, people: People) -> dict[str, tuple]:
    """For each permission a request that it stands for: method, path, and body or query."""
    colleague = people.moderator()
    other = world.editor.id
    return {
        "seeUsers": ("GET", "/api/users"),
        "createUsers": ("POST", "/api/users", NEW_PERSON),
        "manageEditors": ("PUT", f"/api/users/{other}", {"location": "Goa"}),
        "manageManagers": ("PUT", f"/api/users/{colleague.id}", {"location": "Goa"}),
        "decideApplications": ("PUT", f"/api/applications/{world.application_id()}/approve"),
        "seeTasks": ("GET", "/api/tasks"),
        "createTasks": ("POST", "/api/tasks", {"name": "Wedding", "deadline": "2030-01-01"}),
        "editTasks": ("PUT", f"/api/tasks/{world.task_id()}", {"name": "Another"}),
        "deleteTasks": ("DELETE", f"/api/tasks/{world.task_id()}"),
        "seeMeetings": ("GET", "/api/meetings"),
        "manageMeetings": ("PUT", f"/api/meetings/{world.meeting_id()}", {"title": "Another"}),
        "requestPayouts": ("POST", "/api/payouts", {"projectName": "Wedding", "amount": 5}),
        "decidePayouts": ("PUT", f"/api/payouts/{world.payout_id()}", {"status": "approved"}),
        "seeAllPayouts": ("GET", f"/api/payouts/user/{other}"),
        "chat": ("POST", "/api/chat/messages", {"message": "Hello"}),
        "chatWithManagement": ("GET", "/api/chat/messages?room=management"),
        "broadcast": ("POST", "/api/notifications", {"title": "Note", "message": "Read it", "to": "all"}),
        "seeNotifications": ("GET", "/api/notifications"),
        "seeStats": ("GET", "/api/stats/summary"),
        "seeAllStats": ("GET", f"/api/stats/summary?userId={other}"),
        "seeAudit": ("GET", "/api/audit"),
        "exportCsv": ("GET", "/api/tasks"),
        "seeEvents": ("GET", "/api/events"),
    }


@pytest.mark.parametrize("kind", ["pending", "other_editor", "moderator", "owner"])
def test_can_agrees_with_what_the_routes_then_do(kind, api, people, editor, request):
    by = request.getfixturevalue(kind)
    can = api.get("/api/auth/me", by).json["can"]
    asked = probes(World(api, people, editor), people)
    assert asked.keys() == can.keys() == GENERAL.keys()
    answers = {
        name: api(*asked[name][:2], by, *asked[name][2:], **(CSV if name == "exportCsv" else {})).status_code
        for name in asked
    }
    # What another editor may not know of is a 404.
    assert {name: status < 400 for name, status in answers.items()} == can
    assert {status for name, status in answers.items() if not can[name]} <= {403, 404}
