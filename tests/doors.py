"""What the tests of log-in and tokens share."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from conftest import PASSWORD

from idyll import clock


def log_in(api, login, password=PASSWORD):
    return api.post("/api/auth/login", json={"login": login, "password": password})


def refresh(api, token):
    return api.post("/api/auth/refresh", json={"refreshToken": token})


def token_of(invite):
    return parse_qs(urlsplit(invite["url"]).query)["token"][0]


def later(seconds):
    return clock.at(clock.now() + timedelta(seconds=seconds))


def refused(response, code="invalid_token"):
    """A 401 as every one of them must be."""
    assert response.status_code == 401, response.json
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json["code"] == code
    return True
