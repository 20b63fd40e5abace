"""Whether both servers do the same work: one answer of each, compared before anything is measured."""

import json
import secrets
from queue import Empty, SimpleQueue
from typing import Any

from driver import Driver, NoAck

from .client import call, log_in
from .endpoints import Endpoint, log_ins, reads, writes
from .stage import Server

# Its members are named by each server's own permissions; and every server seals its cursors in its own way.
FREE = ("can", "nextCursor")
PATIENCE = 10  # seconds, for what a socket is told


class Different(Exception):
    """The servers don't do the same work; the message says where."""


def check_same_work(product: Server, peer: Server) -> None:
    tokens = {
        (server.name, login): log_in(server.url, login).token
        for server in (product, peer)
        for login in ("owner", "editor1")
    }
    for endpoint in [*reads(), log_ins(), *writes()]:
        answers = []
        for server in (product, peer):
            status, answer = _ask(server, endpoint, tokens.get((server.name, endpoint.who), ""))
            if status != endpoint.status:
                raise Different(f"{endpoint.title}: the {server.name} answers {status}: {answer}")
            answers.append(answer)
        _compare(endpoint, *answers)
    check_same_talk(product, peer)


def check_same_talk(product: Server, peer: Server) -> None:
    """The fields of what is told of a message that a socket sends: its acknowledgement, and the event."""
    driver = Driver()
    try:
        ours, theirs = (_said(driver, server) for server in (product, peer))
    finally:
        driver.end()
    if where := _difference(ours, theirs, values=False):
        raise Different(f"a message by socket: {where}")


def _said(driver: Driver, server: Server) -> dict[str, Any]:
    person, name = log_in(server.url, "owner"), driver.new_name()
    heard: SimpleQueue[Any] = SimpleQueue()

    def listen(_kind: str, event: str, _at: float, text: str) -> None:
        if event == "new_message":
            heard.put(json.loads(text)[0])

    def ask(event: str, **payload: str) -> Any:
        return driver.ask("emit", name, event=event, payload=[payload], timeout=PATIENCE * 1000).result(2 * PATIENCE)

    driver.listen(name, listen)
    options = {"transports": ["websocket"], "reconnection": False}
    driver.tell("open", name, url=server.url, namespace="/", auth={"token": person.token}, options=options)
    told = {}
    try:
        ask("join_room", userId=person.id, role=person.role)
        told["send_message"] = ask(
            "send_message", message="The same to both", room="team", clientId=f"same-{secrets.token_hex(4)}"
        )
        told["new_message"] = heard.get(timeout=PATIENCE)
    except (NoAck, Empty) as error:
        raise Different(f"a message by socket: from the {server.name} came no more than {told}") from error
    return told


def _ask(server: Server, endpoint: Endpoint, token: str) -> tuple[int, Any]:
    words = {"$n": "0", "$run": secrets.token_hex(4), "$id": endpoint.ids[0] if endpoint.ids else ""}

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    if not endpoint.bodies:
        return call(server.url + endpoint.path, token=token)
    body = filled(endpoint.bodies[0]).encode()
    return call(server.url + filled(endpoint.path), endpoint.method, token=token, body=body)


def _compare(endpoint: Endpoint, ours: Any, theirs: Any) -> None:
    if "data" in theirs:
        if len(ours["data"]) != len(theirs["data"]) or len(theirs["data"]) < 50:  # whole pages
            raise Different(f"{endpoint.title}: pages of {len(ours['data'])} and {len(theirs['data'])} rows")
        if [row["id"] for row in ours["data"]] != [row["id"] for row in theirs["data"]]:
            raise Different(f"{endpoint.title}: other rows, or in another order")
        if (ours["nextCursor"] is None) != (theirs["nextCursor"] is None):
            raise Different(f"{endpoint.title}: only one of them has a next page")
    where = _difference(ours, theirs, values=endpoint.method == "GET")
    if where:
        raise Different(f"{endpoint.title}: {where}")


def _difference(ours: Any, theirs: Any, *, values: bool, path: str = "") -> str:
    """What the peer's answer has and the product's has not, or has otherwise; it may have more."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict) or (missing := theirs.keys() - ours.keys()):
            return f"{path or 'the answer'} lacks {', '.join(sorted(missing)) if isinstance(ours, dict) else theirs}"
        inner = ((ours[name], theirs[name], f"{path}.{name}".lstrip(".")) for name in theirs if name not in FREE)
    elif isinstance(theirs, list) and isinstance(ours, list):
        inner = ((a, b, f"{path}[{n}]") for n, (a, b) in enumerate(zip(ours, theirs, strict=True)))
    else:
        return f"{path} is {ours!r} here and {theirs!r} there" if values and ours != theirs else ""
    return next((found for a, b, at in inner if (found := _difference(a, b, values=values, path=at))), "")
