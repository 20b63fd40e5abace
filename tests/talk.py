"""What the tests of sockets say, and what they expect of an answer."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from conftest import Someone
from flask import Flask
from flask_jwt_extended import create_access_token, decode_token
from sockets import Client

SOON = 2.0  # the contract says one second; the machine may be busy


def done(client: Client, event: str, *payload: Any) -> Any:
    """The acknowledgement of what was done."""
    answer = client.emit(event, *payload)
    assert "code" not in answer, answer
    return answer


def refused(client: Client, event: str, *payload: Any) -> tuple[int, str, list[str]]:
    """The status, the code and the fields at fault of a refusal."""
    answer = client.emit(event, *payload)
    assert "code" in answer, answer
    return answer["status"], answer["code"], list(answer.get("errors", {}))


def say(client: Client, text: str, room: str = "team", **more: Any) -> Any:
    """The stored message."""
    return done(client, "send_message", {"message": text, "room": room, **more})


def join(client: Client, room: str = "team") -> set[str]:
    """The ids of those present."""
    return {member["id"] for member in done(client, "join_room", {"room": room})["members"]}


def told(data: dict[str, Any]) -> dict[str, Any]:
    """A payload without its `eventId`, which must be there."""
    assert data["eventId"]
    return {name: value for name, value in data.items() if name != "eventId"}


def made(answer: Any) -> Any:
    """What REST answers to a change."""
    assert answer.status_code < 300, answer.get_data(as_text=True)
    return answer.json


def token_for(inside: Flask, someone: Someone, seconds: float, **claims: Any) -> str:
    """Another access token of the same session, which ends so soon."""
    with inside.app_context():
        session = decode_token(someone.token)["sid"]
        lifetime = timedelta(seconds=seconds)
        return create_access_token(someone.id, additional_claims={"sid": session, **claims}, expires_delta=lifetime)


def stays(client: Client) -> bool:
    """Never was it cut off, and it is still answered."""
    assert done(client, "sync")["lastEventId"]
    assert client.gone == []
    return True


def until(true: Callable[[], object], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"not true in {timeout} s"
        time.sleep(0.02)
