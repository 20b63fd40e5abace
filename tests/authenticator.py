"""An authenticator app (RFC 4226 and 6238), written apart from the library that the application checks codes by."""

import hashlib
import hmac
import struct
import time
from base64 import b32decode

from conftest import PASSWORD

from idyll import clock


def code_of(secret, steps=0):
    """The six digits that the app shows, so many steps of thirty seconds from now."""
    step = int(clock.now().timestamp()) // 30 + steps
    mac = hmac.digest(b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at : at + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


def wrong_code(secret):
    """One that is none of the codes of these minutes."""
    near = {code_of(secret, steps) for steps in range(-3, 4)}
    return next(
        code
        for code in ("000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777")
        if code not in near
    )


def steady():
    """Waits for a step that has just begun, where it matters that none ends meanwhile."""
    left = 30 - time.time() % 30
    if left < 15:
        time.sleep(left)


def begin(api, someone):
    answer = api.post("/api/auth/two-step", someone, {"currentPassword": PASSWORD})
    assert answer.status_code == 201, answer.json
    return answer.json["secret"]


def enrol(api, someone):
    """The secret, and the recovery codes. The code that confirms is of the step before: the next is there at once."""
    secret = begin(api, someone)
    answer = api.post("/api/auth/two-step/confirm", someone, {"code": code_of(secret, -1)})
    assert answer.status_code == 200, answer.json
    return secret, answer.json["recoveryCodes"]
