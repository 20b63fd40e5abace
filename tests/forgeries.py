"""Access tokens that nobody made: every one must be refused, by whatever door it comes."""

import base64
import hashlib
import hmac
import json
import time
import warnings

import jwt

NOBODY = "01929e5c-8a10-7c3e-9b1d-5d7f4a2b6c80"
OTHER_SECRET = "another-secret-of-a-good-length-000000"
# In the token of `someone`; `other` is another person who is signed in, too.
CLAIMS = {
    "ended": {"exp": 1_700_000_000},
    "ended a second ago": {"exp": int(time.time()) - 1},
    "an end that is none": {"exp": None},
    "an end in words": {"exp": "soon"},
    "an end as a text": {"exp": str(10**10)},
    "an end that is infinite": {"exp": 1e400},
    "an end with a fraction": {"exp": 10**10 + 0.5},
    "an end beyond numbers": {"exp": 10**400},
    "an end far away": {"exp": int(time.time()) + 86_400},
    "made at no moment": {"iat": None},
    "made at half a second": {"iat": time.time()},
    "made in the future": {"iat": 10**10},
    "not good yet": {"nbf": 10**10},
    "of another kind": {"type": "refresh"},
    "of no kind": {"type": None},
    "of two kinds": {"type": ["access", "refresh"]},
    "by somebody else": {"iss": "somebody"},
    "by nobody": {"iss": None},
    "by several": {"iss": ["idyll"]},
    "for another API": {"aud": "another-api"},
    "for nobody": {"aud": []},
    "for null": {"aud": None},
    "of nobody": {"sub": NOBODY},
    "of a number": {"sub": 7},
    "of null": {"sub": None},
    "of a word": {"sub": "nobody"},
    "of a session that isn't there": {"sid": NOBODY},
    "of no session": {"sid": None},
    "of a number for a session": {"sid": 7},
    "of an injected session": {"sid": "x' OR 1=1 --"},
    "of many sessions": {"sid": ["x"]},
}
REQUIRED = ("exp", "iat", "jti", "type", "iss", "aud", "sub", "sid")
HEADERS = {
    "no algorithm": {"typ": "JWT"},
    "a list of algorithms": {"alg": ["HS256"]},
    "an algorithm in lower case": {"alg": "hs256"},
    "a number for a key id": {"alg": "HS256", "kid": 7},
    "a key that it brings along": {"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}},
    "a key from elsewhere": {"alg": "HS256", "jku": "https://evil.example/keys"},
    "a critical extension": {"alg": "HS256", "crit": ["x"], "x": 1},
    "an unencoded payload": {"alg": "HS256", "crit": ["b64"], "b64": False},
    "an asymmetric algorithm": {"alg": "RS256"},
    "encryption": {"alg": "dir", "enc": "A256GCM"},
    "no algorithm, in capitals": {"alg": "None"},
}


def forgeries(app, someone, other):
    """By what is wrong with each."""
    secret = app.config["JWT_SECRET_KEY"]
    head, body, signature = someone.token.split(".")
    claims = json.loads(_decoded(body))
    others = json.loads(_decoded(other.token.split(".")[1]))

    def signed(header, payload, key=secret, digest=hashlib.sha256):
        text = f"{_segment(header)}.{_segment(payload)}"
        return f"{text}.{_encoded(hmac.digest(key.encode(), text.encode(), digest))}"

    usual = {"alg": "HS256", "typ": "JWT"}
    made = {f"with {name}": signed(usual, claims | wrong) for name, wrong in CLAIMS.items()}
    made |= {f"without {name}": signed(usual, {k: v for k, v in claims.items() if k != name}) for name in REQUIRED}
    # What is ignored in a header is signed by another key, so that only what is in the header could let it in.
    made |= {f"saying {name}": signed(header, claims, OTHER_SECRET) for name, header in HEADERS.items()}
    made |= {f"saying {name}, unsigned": f"{_segment(header)}.{body}." for name, header in HEADERS.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the key is short for them; nobody verifies these
        made |= {f"by {name}": jwt.encode(claims, secret, algorithm=name) for name in ("HS384", "HS512")}
    return made | {
        "by another secret": signed(usual, claims, OTHER_SECRET),
        "by no secret": signed(usual, claims, ""),
        "by the secret of something else": signed(usual, claims, app.config["SECRET_KEY"]),
        "by the name of the secret": signed(usual, claims, "JWT_SECRET_KEY"),
        "HS512 under the name of HS256": signed(usual, claims, digest=hashlib.sha512),
        "another's session": signed(usual, claims | {"sid": others["sid"]}),
        "another person in one's own session": signed(usual, claims | {"sub": others["sub"]}),
        "another's claims under one's own signature": f"{head}.{other.token.split('.')[1]}.{signature}",
        "the signature cut off": f"{head}.{body}.",
        "without its last part": f"{head}.{body}",
        "a signature cut short": f"{head}.{body}.{signature[:-4]}",
        "a signature changed": f"{head}.{body}.{signature[:-4]}AAAA",
        "a signature lengthened": f"{head}.{body}.{signature}AAAA",
        "four parts": f"{head}.{body}.{signature}.{signature}",
        "five parts": f"{head}..{body}.{signature}.{signature}",
        "its parts in another order": f"{body}.{head}.{signature}",
        "an empty payload": f"{head}.{_encoded(b'{}')}.{signature}",
        "a payload that is a list": signed(usual, [claims]),
        "a payload that is no JSON": f"{head}.{_encoded(b'nonsense')}.{signature}",
        "a header that is no JSON": f"{_encoded(b'nonsense')}.{body}.{signature}",
        "a header without an end": f"{_encoded(b'[' * 4000)}.{body}.{signature}",
        "claims twice": _twice(claims, secret),
        "a refresh token": someone.refresh_token,
        "its own digest": hashlib.sha256(someone.token.encode()).hexdigest(),
        "very long": "x" * 8_000,
    }


def _twice(claims, secret):
    """Two kinds, of which the last is what a reader takes."""
    text = json.dumps(claims)[:-1] + ', "type": "refresh"}'
    signed = f"{_segment({'alg': 'HS256'})}.{_encoded(text.encode())}"
    return f"{signed}.{_encoded(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def _segment(value):
    return _encoded(json.dumps(value).encode())


def _encoded(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
