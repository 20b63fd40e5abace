"""What measures the product knows it as it is: its rows fit the tables, and its page has a place for every result."""

import json
import re
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from conftest import Api, make_database, settings
from flask_migrate import upgrade
from servers import ROOT

from bench import __main__ as command
from bench import crowded, data, http_rows, model, pictures, plans, report, same, socket_rows, stage
from bench.client import Person
from bench.compare import attempt
from bench.endpoints import reads, writes
from bench.http_rows import Failed, Plan
from bench.rows import Aim, Row
from idyll import create_app
from idyll.audit import chain
from idyll.events import sealing
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


def test_one_pair_has_no_span():
    row = Row("memory", "memory", [Aim("rps")], {name: samples[:1] for name, samples in PAIRS.items()})
    shown = "\n".join(row.lines()) + report.peer_table({**CIRCUMSTANCES, "rows": [row.as_json()]})
    assert "3.00" in shown
    assert "…" not in shown.replace("least … most", "")


# -- a row that says nothing -----------------------------------------------------------------------------------------

QUICK = Plan(seconds=1, warm_up=0, rounds=2)
SERVERS = [SimpleNamespace(name=name, url="", settle=lambda: 0, memory=lambda: 1.0) for name in ("product", "peer")]


def beside_log_ins(monkeypatch, log_in, *, seconds=0.6):
    def run(server, *_):
        time.sleep(seconds)
        return {"rps": 1.0, "p99": 1.0}

    monkeypatch.setattr("bench.client.log_in", log_in)
    row, endpoint, busy = next(planned for planned in http_rows.planned() if planned[0].key == "me_busy")
    attempt(lambda row: http_rows.measure(row, SimpleNamespace(run=run), endpoint, SERVERS, QUICK, busy=busy), row)
    return row


def test_a_refused_log_in_fails_the_row_that_it_was_sent_beside(monkeypatch):
    answers = iter([True, True, False])

    def log_in(*_):
        if not next(answers, True):
            raise RuntimeError("503 too many")

    row = beside_log_ins(monkeypatch, log_in)
    assert re.fullmatch(r"1 of \d+ log-ins at the product came to nothing: 503 too many", row.failed)


def test_a_log_in_that_is_refused_after_the_round_fails_it_too(monkeypatch):
    def log_in(*_):
        time.sleep(1)
        raise RuntimeError("503 too late")

    assert "503 too late" in beside_log_ins(monkeypatch, log_in, seconds=0.1).failed


def test_how_many_log_ins_were_answered_meanwhile_and_how_soon_is_said_of_both(monkeypatch):
    row = beside_log_ins(monkeypatch, lambda *_: time.sleep(0.2))
    shown = [line for line in row.lines() if re.search(r" [1-3]\.[05] log-ins/s   0\.[2-9] s a log-in", line)]
    assert [line.split()[0] for line in shown] == ["product", "peer"]
    table = report.peer_table({**CIRCUMSTANCES, "rows": [row.as_json()]})
    words = r"answered [1-3]\.[05] log-ins a second, half of them within 0\.[2-9] s"
    assert re.search(f"{row.title}: the product {words}; the peer {words}.", table)


def test_rows_that_are_filled_together_fail_together_and_the_page_says_so():
    idle, storm = (Row(key, key, [Aim("seconds")]) for key in ("idle", "storm"))

    def fill(_):
        storm.add("product", {"seconds": 1.0})
        raise Failed("nobody came in")

    attempt(fill, idle, storm)
    table = report.peer_table({**CIRCUMSTANCES, "rows": [idle.as_json(), storm.as_json()]})
    assert table.count("failed: nobody came in") == 2


# -- what is fair ----------------------------------------------------------------------------------------------------


def test_nobody_begins_a_round_while_another_still_works_off_what_came_before():
    done = []

    def server(name):
        return SimpleNamespace(name=name, settle=lambda: done.append(f"{name} is done") or 0)

    both = [server("product"), server("peer")]
    done.extend(f"round of {one.name}" for one in http_rows.rounds(both, QUICK))
    ready = ["product is done", "peer is done"]
    turns = ("product", "peer", "peer", "product")
    assert done == [step for name in turns for step in (*ready, f"round of {name}")]
    late = SimpleNamespace(name="product", settle=lambda: 7)
    with pytest.raises(Failed, match="the product had 7 rows left"):
        next(http_rows.rounds([late], QUICK))


@pytest.mark.only_on("postgresql")
def test_the_product_is_done_when_its_events_have_their_places_and_its_audit_its_seals(app, api, owner):
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    server = stage.Server("product", "", ROOT, {"DATABASE_URL": url}, backlog=stage.BACKLOG)
    with app.app_context():
        sealing.seal()
        chain.seal()
    assert server.settle(within=0) == 0
    api.post("/api/tasks", owner, {"name": "Film", "deadline": "2031-01-01"})
    both = server.settle(within=0)
    with app.app_context():
        sealing.seal()
        audit = server.settle(within=0)
        assert both > audit > 0
        chain.seal()
    assert server.settle(within=0) == 0
    # The peer does all of its work before it answers.
    assert replace(server, backlog="", env={}).settle() == 0


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("told", ["send_message", "new_message"])
def test_servers_that_tell_other_fields_of_a_message_are_not_compared(live, monkeypatch, told):
    signed_in(monkeypatch, live.people.owner())
    product, peer = (SimpleNamespace(name=name, url=live.url) for name in ("product", "peer"))
    same.check_same_talk(product, peer)
    said = same._said

    def more(driver, server):
        heard = said(driver, server)
        return heard | {told: heard[told] | {"colour": "red"}} if server is peer else heard

    monkeypatch.setattr(same, "_said", more)
    with pytest.raises(same.Different, match=f"{told} lacks colour"):
        same.check_same_talk(product, peer)


@pytest.mark.only_on("postgresql")
def test_a_server_that_refuses_the_message_is_not_compared(live, monkeypatch):
    signed_in(monkeypatch, live.people.pending())
    monkeypatch.setattr(same, "PATIENCE", 1)
    server = SimpleNamespace(name="product", url=live.url)
    with pytest.raises(same.Different, match=r"from the product came no more than .*account_pending"):
        same.check_same_talk(server, server)


def signed_in(monkeypatch, who):
    monkeypatch.setattr(same, "log_in", lambda *_: Person(who.username, who.token, who.id, who.role.value))


# -- cpu and memory --------------------------------------------------------------------------------------------------


def test_socket_rows_show_the_cpu_and_the_memory_of_both(monkeypatch):
    monkeypatch.setattr(socket_rows, "SETTLE_SECONDS", 0)
    said = {
        "fanout.mjs": [{"got": 10, "deliveredPerSecond": 5, "p50": 1, "p99": 2, "max": 3}],
        "idle.mjs": [{"up": 100, "failed": 0, "seconds": 1.5}, {"stillUp": 100, "got": 100, "p99": 2}],
    }
    scripts = SimpleNamespace(command=lambda script, *_: ["printf", r"%s\n", *map(json.dumps, said[script])])
    cpu = count(step=0.5)
    for server in SERVERS:
        monkeypatch.setattr(server, "cpu_seconds", lambda: next(cpu), raising=False)
        monkeypatch.setattr(server, "restart", lambda: None, raising=False)
    everybody = {"scripts": scripts, "servers": SERVERS, "people": {"product": "", "peer": ""}, "plan": QUICK}
    fan_out, idle, storm = (Row(key, key, []) for key in ("fan-out", "idle", "storm"))
    socket_rows.measure_fan_out(fan_out, fanout=socket_rows.FANOUTS[0], **everybody)
    socket_rows.measure_idle(idle, storm, clients=100, **everybody)
    for row, each in ((fan_out, 50), (idle, 5), (storm, 5)):
        shown = [line for line in row.lines() if f"{each:.3f} s CPU per 1,000" in line and "1.0 MiB" in line]
        assert [line.split()[0] for line in shown] == ["product", "peer"], list(row.lines())


@pytest.mark.parametrize("section", RESULTS)
def test_each_result_finds_its_place_in_the_page(section):
    table, _ = report.SECTIONS[section]
    page = (ROOT / "docs" / report.PAGE).read_text()
    content = table({**CIRCUMSTANCES, **RESULTS[section]})
    once = report.between_markers(page, section, content)
    assert content in once
    assert report.between_markers(once, section, "other") == report.between_markers(page, section, "other")


# -- the model on paper ----------------------------------------------------------------------------------------------

ONE_REQUEST = {"application": 1.0, "PostgreSQL": 0.5, "nginx": 0.25, "Valkey": 0.25}  # ms of CPU
FOLLOWING = {"application": [0.0, 0.2, 0.2], "PostgreSQL": [0.0, 0.1, 0.1]}


def measured_costs():
    """A `cores` section, as far as the model reads it."""
    found = {
        f"{title}, ms of CPU each: {part}": [cost] for title in model.CHECKED for part, cost in ONE_REQUEST.items()
    }
    found |= {f"{title}, requests a second": [900.0] * 3 for title in model.CHECKED}
    found |= {f"a change elsewhere, ms of CPU in each other process: {part}": cost for part, cost in FOLLOWING.items()}
    found |= {
        "a delivery at 20 messages a second, ms of CPU: application": [0.05],
        "memory of all processes, MiB": [100.0],
    }
    return {"rows": [{"title": title, "values": values} for title, values in found.items()]}


@pytest.mark.parametrize(("own", "one", "two"), [(0.5, 1333, 1333), (1.0, 1000, 1000), (3.0, 333, 500)])
def test_one_process_is_bound_by_its_core_and_two_by_both_cores(own, one, two):
    known = model.costs(measured_costs())
    known.found["POST /tasks, ms of CPU each: application"] = [own]
    assert [round(known.predicted("POST /tasks", processes)) for processes in (1, 2)] == [one, two]


def test_each_process_pays_for_what_the_others_do():
    """500 changes and 200 messages a second are 3,200 events: as 533 changes, 0.2 ms each in all processes but one."""
    _, heads, rows = model.paper(measured_costs())
    columns = dict(zip(heads, zip(*[cells for _, *cells in rows], strict=True), strict=True))
    requests, deliveries, cores, processes, memory, *_ = columns["1,000, all in one room"]
    assert (requests, deliveries, cores) == ("57", "2,100", "0.2, and 0.0 to follow the log")
    assert (processes, memory) == ("1", "124 MiB")
    # 201,000 deliveries of 0.05 ms and all else: at most 60 % of each process.
    assert columns["10,000, all in one room"][2:4] == ("10.6, and 0.2 to follow the log", "19")
    assert columns["100,000, rooms of 500"][2:4] == ("11.2, and 2.3 to follow the log", "23")
    assert columns["100,000, rooms of 500"][-1] == "3,200"


def test_the_model_finds_its_place_in_the_page_of_what_was_measured_of_cores(tmp_path):
    page = tmp_path / report.PAGE
    page.write_text((ROOT / "docs" / report.PAGE).read_text())
    cores = {
        **CIRCUMSTANCES,
        "processes": [1, 2, 3],
        "rows": [row | {"metric": "cpu"} for row in measured_costs()["rows"]],
    }
    (tmp_path / "performance.json").write_text(json.dumps({"cores": cores}))
    report.write(tmp_path / "performance.json")
    assert "| POST /tasks | 900 of 1,000 (0.90) | 900 of 1,000 (0.90) | 900 of 1,000 (0.90) |" in page.read_text()


@pytest.mark.parametrize("picture", [pictures.peer, pictures.growth, pictures.soak], ids=lambda draw: draw.__name__)
def test_a_picture_is_well_formed_and_follows_the_readers_scheme(picture):
    drawn = picture({**CIRCUMSTANCES, **RESULTS[picture.__name__]})
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in drawn


def test_the_picture_of_growth_shows_whatever_grows():
    rows = [
        {"title": title, "p50": p50, "read": [], "plotted": False}
        for title, p50 in (("level", [1.0, 1.4]), ("steep", [2.0, 53.0]))
    ]
    drawn = pictures.growth({**RESULTS["growth"], "rows": rows})
    assert "steep" in drawn
    assert "level" not in drawn


@pytest.mark.only_on("postgresql")
def test_the_deadlines_of_a_crowded_agency_follow_its_tasks_and_few_of_them_passed(tmp_path):
    app = create_app(settings(DATABASE_URL=make_database("idyll_bench_crowded", tmp_path)))
    with app.app_context():
        upgrade()
        cursor = data.connect(db.engine.url.render_as_string(hide_password=False)).cursor()
        db.engine.dispose()
    data.copy(cursor, "users", data.people())
    for size in (100, 8_000):
        crowded.hand_out(cursor, size)
        cursor.execute("SELECT count(*), min(deadline - created_at::date), max(deadline - created_at::date) FROM tasks")
        assert cursor.fetchone() == (size, 7, 60)
    cursor.execute("SELECT task_number FROM tasks WHERE status != 'completed' AND deadline < current_date")
    assert cursor.fetchall() == [("C7000",)]
    # All are looked at, though none is found.
    (found,) = plans.explained(cursor, "SELECT id FROM tasks WHERE name = 'Unknown'", "", {"tasks"})
    assert found == {"Seq Scan tasks": 8_000}
    cursor.connection.close()


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
