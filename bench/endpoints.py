"""The compared requests, and what is aimed at for each."""

from dataclasses import dataclass

from .data import EDITORS, MODERATORS, PASSWORD, people, tasks
from .rows import NO_SLOWER, Aim

EDITOR = 1 + MODERATORS  # the first of them, who has tasks, payouts and notifications
TASK = (
    '{"name":"Bench task $n","description":"Cut to four minutes, keep the speeches","priority":"high",'
    '"deadline":"2031-12-24","rawFileLink":"https://drive.example.com/raw/$n","assignedTo":"$id"}'
)
PAYOUT = (
    '{"projectName":"Bench payout $n","amount":512.25,"paymentMethod":"UPI",'
    '"editedLink":"https://drive.example.com/edited/$n"}'
)


@dataclass(frozen=True)
class Endpoint:
    """One kind of request. `$n`, `$run` and `$id` in path and bodies are filled in by wrk.lua."""

    key: str
    title: str
    method: str
    path: str
    at_least: float
    who: str = "owner"
    bodies: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    status: int = 200

    @property
    def aims(self) -> list[Aim]:
        return [Aim("rps", at_least=self.at_least), NO_SLOWER]


def reads() -> list[Endpoint]:
    editor = people()[EDITOR]["id"]
    return [
        Endpoint("me", "GET /auth/me", "GET", "/api/auth/me", 1.3),
        Endpoint("tasks", "GET /tasks?limit=50", "GET", "/api/tasks?limit=50", 2.0),
        Endpoint(
            "user_tasks", "GET /tasks/user/:id?limit=50", "GET", f"/api/tasks/user/{editor}?limit=50", 2.0, "editor1"
        ),
        Endpoint("messages", "GET /chat/messages?limit=50", "GET", "/api/chat/messages?limit=50", 2.0),
        Endpoint("notifications", "GET /notifications", "GET", "/api/notifications", 2.0),
        Endpoint("user_payouts", "GET /payouts/user/:id", "GET", f"/api/payouts/user/{editor}", 2.0, "editor1"),
    ]


def writes() -> list[Endpoint]:
    own = [task for task in tasks() if task["assigned_to"] == people()[EDITOR]["id"]]
    return [
        Endpoint(
            "create_task",
            "POST /tasks",
            "POST",
            "/api/tasks",
            1.5,
            bodies=(TASK,),
            ids=tuple(person["id"] for person in people()[EDITOR:]),
            status=201,
        ),
        # Both are legal in whatever state the task is, and each changes the decision, of which its editor is told.
        Endpoint(
            "decide_task",
            "PUT /tasks/:id, a manager's decision",
            "PUT",
            "/api/tasks/$id",
            1.5,
            bodies=(
                '{"approvalStatus":"need-changes","description":"Bench change $run-$n"}',
                '{"status":"completed","approvalStatus":"approved","description":"Bench change $run-$n"}',
            ),
            ids=tuple(task["id"] for task in tasks()[-2 * EDITORS :]),
        ),
        # Only tasks that aren't approved: the others are closed to their editor. Ten managers are told of each.
        Endpoint(
            "move_task",
            "PUT /tasks/:id, its editor's status",
            "PUT",
            "/api/tasks/$id",
            1.5,
            "editor1",
            bodies=('{"status":"in-progress"}', '{"status":"completed"}', '{"status":"pending"}'),
            # Not those that a manager decided on, which may be approved now.
            ids=tuple(task["id"] for task in own[:-2] if task["approval_status"] != "approved"),
        ),
        Endpoint(
            "request_payout",
            "POST /payouts",
            "POST",
            "/api/payouts",
            1.5,
            "editor1",
            bodies=(PAYOUT,),
            status=201,
        ),
        Endpoint(
            "post_message",
            "POST /chat/messages",
            "POST",
            "/api/chat/messages",
            1.5,
            bodies=('{"message":"Bench message $n the colour grade looks good","clientId":"$run-$n"}',),
            status=201,
        ),
    ]


def log_ins() -> Endpoint:
    body = f'{{"login":"moderator1","password":"{PASSWORD}"}}'
    return Endpoint("log_in", "POST /auth/login, 8 at a time", "POST", "/api/auth/login", 0.85, "", bodies=(body,))
