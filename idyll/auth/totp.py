"""The codes that an authenticator app shows (TOTP, RFC 6238), and the encryption of what it shares with us.

two_step.py loads it when it is first wanted, for the 9 MiB of `cryptography`.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.twofactor.totp import TOTP

NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2.1
DIGITS, STEP_SECONDS = 6, 30
DRIFT = (0, -1, 1)  # a clock may be one step off


class Unreadable(ValueError):
    """Sealed under another key, or for somebody else."""


def steps(secret: bytes, code: str, seconds: int) -> list[int]:
    """Of the steps around a moment (both counted from 1970) those in which the app shows this code."""
    totp, now = _totp(secret), seconds // STEP_SECONDS
    near = [now + drift for drift in DRIFT]
    return [step for step in near if hmac.compare_digest(totp.generate(step * STEP_SECONDS), code.encode())]


def url(secret: bytes, name: str, issuer: str) -> str:
    """What the app reads as a QR code."""
    return _totp(secret).get_provisioning_uri(name, issuer)


def sealed(secret: bytes, user_id: str, secret_key: str) -> str:
    """Bound to its person: a row that is moved to another one opens nothing."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return urlsafe_b64encode(nonce + _cipher(secret_key).encrypt(nonce, secret, user_id.encode())).decode()


def opened(text: str, user_id: str, secret_key: str) -> bytes:
    """Raises `Unreadable`."""
    raw = urlsafe_b64decode(text)
    try:
        return _cipher(secret_key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], user_id.encode())
    except InvalidTag as error:
        raise Unreadable from error


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303 - what every authenticator app speaks  # nosec B303


@lru_cache(maxsize=4)
def _cipher(secret_key: str) -> AESGCM:
    key = HKDF(SHA256(), 32, salt=None, info=b"idyll two-step secrets").derive(secret_key.encode())
    return AESGCM(key)
