"""What measures the product knows it as it is: its rows fit the tables, and its page has a place for every result."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from conftest import Api, make_database, settings
from flask_migrate import upgrade
from servers import ROOT

from bench import __main__ as command
from bench import data, pictures, report
from bench.endpoints import reads, writes
from bench.rows import Aim, Row
from idyll import create_app
from idyll.extensions import db

PAIRS = {"product": [{"rps": 30.0, "p99": 2.0}, {"rps": 20.0, "p99": 4.0}], "peer": [{"rps": 10.0, "p99": 4.0}] * 2}
CIRCUMSTANCES = {
    "at": "2026-01-05T09:30:00+00:00",
    "command": "make bench",
    "commit": "c0ffee",
    "machine": {"processor": "A <fast> one", "cores": 2, "memoryGiB": 24.0, "system": "Linux"},
    "versions": {"python": "3.11"},
}
RESULTS = {
    "peer": {"rows": [Row("me", "GET /auth/me", [Aim("rps", at_least=1.3), Aim("p99", at_most=1)], PAIRS).as_json()]},
    "growth": {
        "sizes": [10, 100],
        "rows": [{"title": "list", "p50": [1.0, 1.1], "read": ["Index Scan pk_tasks"], "plotted": True}],
        "sweep": {
            "events": 5,
            "answers": 1,
            "seconds": 2.0,
            **{name: {"rps": 9.0, "p50": 1.0, "p99": 2.0, "max": 3.0} for name in ("before", "during")},
        },
    },
    "soak": {
        "minutes": 1,
        "requests": 1000,
        "sockets": 50,
        "points": [{"seconds": n * 10, "memory": 150.0} for n in range(8)],
    },
    "cores": {"processes": [1, 2], "rows": [{"title": "GET /tasks", "metric": "rps", "values": [100.0, 180.0]}]},
}


@pytest.mark.only_on("postgresql")
def test_its_rows_are_what_the_api_serves(tmp_path):
    app = create_app(settings(DATABASE_URL=make_database("idyll_bench", tmp_path)))
    with app.app_context():
        upgrade()
        data.fill_product(db.engine.url.render_as_string(hide_password=False))
    api = Api(app)
    tokens = {
        login: api.post("/api/auth/login", json={"login": login, "password": data.PASSWORD}).json["accessToken"]
        for login in ("owner", "editor1")
    }
    for endpoint in [*reads(), *writes()]:
        for body in endpoint.bodies or [None]:
            path, sent = (text and text.replace("$id", (endpoint.ids or [""])[0]) for text in (endpoint.path, body))
            answer = api(
                endpoint.method, path, tokens[endpoint.who], data=sent, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == endpoint.status, (endpoint.title, answer.json)
            assert len(answer.json.get("data", range(50))) == 50, endpoint.title
    with app.app_context():
        db.engine.dispose()


def test_its_rows_are_the_same_at_every_run():
    assert data.tasks()[0]["id"] == "0194b9b1-6bc0-780c-9e9b-fab1ef3a8b7d"
    assert [sum(1 for _ in rows) for rows in (data.tasks(), data.payouts(), data.messages())] == [20_000, 5_000, 50_000]


def test_ratios_are_of_neighbours_and_less_can_be_better():
    row = Row("me", "GET /auth/me", [Aim("rps", at_least=2.6), Aim("p99", at_most=0.7)], PAIRS)
    assert row.ratios("rps") == [3.0, 2.0]
    assert row.ratios("p99") == [0.5, 1.0]
    assert [line.split()[-1] for line in row.lines() if "ratio" in line] == ["MET", "MET"]


@pytest.mark.parametrize("section", RESULTS)
def test_each_result_finds_its_place_in_the_page(section):
    table, _ = report.SECTIONS[section]
    page = (ROOT / "docs" / report.PAGE).read_text()
    content = table({**CIRCUMSTANCES, **RESULTS[section]})
    once = report.between_markers(page, section, content)
    assert content in once
    assert report.between_markers(once, section, "other") == report.between_markers(page, section, "other")


@pytest.mark.parametrize("picture", [pictures.peer, pictures.growth, pictures.soak], ids=lambda draw: draw.__name__)
def test_a_picture_is_well_formed_and_follows_the_readers_scheme(picture):
    drawn = picture({**CIRCUMSTANCES, **RESULTS[picture.__name__]})
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in drawn


def test_without_a_peer_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", "compare"])
    assert command.main() == 2
    assert "PEER_DIR" in capsys.readouterr().err


def test_what_is_kept_for_good_is_a_whole_run():
    def out(*arguments: str) -> Path:
        return command.parse([*arguments]).out

    kept, passing = ROOT / "docs" / "performance.json", ROOT / ".bench" / "last.json"
    whole = ["compare", "--peer", "x"]
    assert out(*whole) == out("soak") == out("growth") == out("cores") == kept
    partly = (["--only", "me"], ["--quick"], ["--rounds", "1"], ["--product", "/"], ["--alone"])
    assert {out(*whole, *more) for more in partly} == {out("soak", "--minutes", "1")} == {passing}
