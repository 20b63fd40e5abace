"""The rules of the house that can be read off the code: who imports whom, who commits, who reads the environment."""

import ast
import importlib
import re
import tokenize
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from idyll import RESOURCES
from idyll.blueprints import Blueprint
from idyll.openapi import document

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("idyll/**/*.py"), *ROOT.glob("*.py")])
NAMES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES}
TREES = {path: ast.parse(path.read_text()) for path in FILES}
SERVICES = [path for path in FILES if path.name == "service.py" or path.parent.name == "membership"]
SCHEMAS = [path for path in FILES if path.name == "schemas.py"]
ROUTES = [path for path in FILES if path.name == "routes.py"]

COMMITTERS = {
    "idyll.transactions": {"transaction"},
    # What transaction() is made of.
    "idyll.database": {"commit", "roll_back"},
    # The settings of a connection that nobody has yet, and the end of what somebody left open.
    "idyll.connections": {"prepare", "configure", "_roll_back_on_postgresql", "_rest_on_mysql", "_rest_on_sqlite"},
}
OWN_TRANSACTIONS = {
    "idyll.events.sealing": "events get their place after their transaction, whoever asks for it",
    "idyll.events.service": "sweeping the log is work of its own",
    "idyll.auth.service": "what `forgot` does comes after the answer, so that its time tells nothing",
    "idyll.ledger.service": "books of any size are compared in one pass, without the time-out of requests",
}
# Before anybody is signed in: a `caller`, or the token itself, says who knocks.
NOBODY_YET = {"open_session", "refresh", "reset_password", "register"}
# What routes know services by.
RULES = ("service", "decisions", "removal", "invitations", "registration", "two_step")
LONGER = {"gunicorn.conf.py": "one file is what gunicorn reads, and it can't import the package"}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_service = pytest.mark.parametrize("path", SERVICES, ids=ids)
each_routes = pytest.mark.parametrize("path", ROUTES, ids=ids)


def offenders(offence: Callable[[Path], object]) -> dict[str, object]:
    """The files with something to say against them, and what."""
    return {ids(path): found for path in FILES if (found := offence(path))}


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every imported (module, name), absolute; the name is empty for `import module`."""
    package = NAMES[path].split(".") if path.name == "__init__.py" else NAMES[path].split(".")[:-1]
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def imported_modules(path: Path) -> set[str]:
    """The modules of this code base that it imports."""
    known = set(NAMES.values())
    found = {f"{module}.{name}" if f"{module}.{name}" in known else module for module, name in imports(path)}
    return found & known


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(TREES[path]) if isinstance(node, ast.FunctionDef))


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The last name of everything that is called, as in `db.session.commit()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield node.func.id, node


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """Some cycle, or nothing."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in done:
            for following in sorted(graph.get(name, ())):
                if found := walk(following, [*trail, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


# -- who imports whom ------------------------------------------------------------------------------------------------


@each_service
def test_a_service_knows_no_request(path):
    assert "flask" not in {module for module, _ in imports(path)}
    assert {name for module, name in imports(path) if module == "idyll.scope"} <= {"this_app", "this_engine"}
    assert not {module for module, _ in imports(path) if module.startswith(("flask_jwt", "flask_smorest", "webargs"))}
    assert "idyll.blueprints" not in imported_modules(path)
    assert not {module for module in imported_modules(path) if module.endswith((".routes", ".sockets"))}


def test_what_belongs_to_a_request_is_found_in_one_way():
    """By scope.py: Flask's proxies find it anew for each attribute, which cost a message most of a fifth."""
    proxies = {"g", "request", "current_app", "session"}
    taken = offenders(lambda path: {name for module, name in imports(path) if module == "flask"} & proxies)
    assert taken == {"idyll/scope.py": {"g", "request", "current_app"}}


@each_service
def test_a_service_leaves_the_transaction_to_its_caller(path):
    taken = {name for module, name in imports(path) if module == "idyll.transactions"}
    assert taken <= {"owe", "record", "rights_changed", "last_look", "more_follows"} or NAMES[path] in OWN_TRANSACTIONS


@pytest.mark.parametrize("path", SCHEMAS, ids=ids)
def test_a_schema_takes_only_enumerations_from_models(path):
    for module, name in imports(path):
        if module.endswith((".models", ".roles")):
            found = getattr(importlib.import_module(module), name)
            assert isinstance(found, type), f"{module}.{name}"
            assert issubclass(found, StrEnum), f"{module}.{name}"
        assert not module.startswith(("sqlalchemy", "flask")), f"{module}: schemas only shape data"
        assert not module.endswith((".service", ".routes", ".extensions", ".database")), module


def test_permissions_are_pure_questions():
    path = ROOT / "idyll/permissions.py"
    assert imported_modules(path) == {"idyll.users.roles"}
    assert {module for module, _ in imports(path)} == {"typing", "idyll.users.roles"}


def test_imports_stand_at_the_top():
    def inside(path):
        nodes = [node for function in functions(path) for node in ast.walk(function)]
        return [node.lineno for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]

    # It asks after a driver that it must not import before the worker is patched.
    late = {"gunicorn.conf.py"}
    # These load a library of many MiB for the few who want it; tests/test_start.py sees to it.
    late |= {"idyll/shared.py", "idyll/auth/two_step.py"}
    assert offenders(inside).keys() == late


def test_no_module_imports_itself_by_a_detour():
    # A package's own __init__ runs before its modules: those of the resources are empty, the application's is the top.
    graph = {NAMES[path]: imported_modules(path) - {"idyll"} for path in FILES}
    assert cycle_in(graph) == []


def test_services_call_each_other_in_one_direction():
    """Rows of another resource may be read both ways; rules call rules only downwards."""

    def package(module: str) -> str:
        return module.split(".")[1]

    graph: dict[str, set[str]] = {}
    for path in SERVICES:
        others = {m for m in imported_modules(path) if m.endswith(".service") or m.startswith("idyll.membership")}
        graph.setdefault(package(NAMES[path]), set()).update({package(m) for m in others} - {package(NAMES[path])})
    assert cycle_in(graph) == []
    assert not [name for name, below in graph.items() if "membership" in below], "membership spans them from above"


@each_service
def test_a_service_writes_its_own_rows_alone(path):
    foreign = {
        name
        for module, name in imports(path)
        if module.endswith(".models") and module != f"idyll.{path.parent.name}.models" and name[:1].isupper()
    }
    written = [name for name, _ in called(TREES[path]) if name in foreign]
    for verb, call in called(TREES[path]):
        if verb in ("insert", "update", "delete") and call.args and isinstance(call.args[0], ast.Name):
            written += [call.args[0].id] if call.args[0].id in foreign else []
    # An enumeration or a value may be made of its word.
    made = [name for name in written if not _is_enumeration(path, name)]
    assert made == []


def _is_enumeration(path: Path, name: str) -> bool:
    found = getattr(importlib.import_module(NAMES[path]), name)
    return isinstance(found, type) and issubclass(found, StrEnum)


# -- who may do what is rare -----------------------------------------------------------------------------------------


def test_only_the_transaction_commits():
    def commits(path):
        return {
            (function.name, verb)
            for function in functions(path)
            for verb, call in called(function)
            if verb in ("commit", "rollback", "begin") and isinstance(call.func, ast.Attribute)
            if function.name not in COMMITTERS.get(NAMES[path], ())
        }

    assert offenders(commits) == {}


def test_the_environment_is_read_in_one_place():
    def reads(path):
        named = {name for module, name in imports(path) if module == "os"} & {"environ", "environb", "getenv"}
        nodes = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.Attribute)]
        # Only of `os`: a WSGI request has an `environ` too.
        return named | {n.attr for n in nodes if ast.unparse(n) in ("os.environ", "os.environb", "os.getenv")}

    assert offenders(reads).keys() == {"config.py", "gunicorn.conf.py"}


def test_eventlet_is_named_in_one_place():
    def names(path):
        return {module for module, _ in imports(path)} & {"eventlet", "eventlet.patcher", "eventlet.tpool", "greenlet"}

    assert offenders(names).keys() == {"idyll/concurrency.py", "gunicorn.conf.py"}


def test_nothing_is_paged_by_counting_rows():
    assert offenders(lambda path: "offset" in {verb for verb, _ in called(TREES[path])}) == {}


def test_a_file_can_be_read_at_one_sitting():
    def lines(path):
        return max(0, len(path.read_text().splitlines()) - 300)

    assert offenders(lines).keys() <= LONGER.keys()


def test_every_ignored_rule_carries_its_reason():
    def bare(path):
        with path.open("rb") as source:
            comments = [token for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT]
        return [
            f"{token.start[0]}: {token.string}"
            for token in comments
            if re.search(r"noqa(?!: [A-Z0-9, ]+ - \w)|type: ignore(?!\[[a-z, -]+\]  # \w)", token.string)
        ]

    assert offenders(bare) == {}


# -- routes ----------------------------------------------------------------------------------------------------------


@each_routes
def test_a_route_is_short(path):
    def length(function: ast.FunctionDef) -> int:
        body = function.body[1:] if ast.get_docstring(function) else function.body
        return (function.end_lineno or 0) - body[0].lineno + 1

    views = [f for f in functions(path) if f.decorator_list]
    assert {f.name: length(f) for f in views if length(f) > 12} == {}


def test_every_resource_is_registered_and_guarded(app):
    made = [importlib.import_module(NAMES[path]).bp for path in ROUTES]
    assert {bp.name for bp in RESOURCES} == {bp.name for bp in made}
    assert all(isinstance(bp, Blueprint) for bp in made), "a plain blueprint lets strangers in"
    served = {rule.endpoint for rule in app.url_map.iter_rules() if str(rule).startswith("/api")}
    assert {endpoint.split(".")[0] for endpoint in served} == {bp.name for bp in RESOURCES} | {"docs"}
    documents = {endpoint for endpoint in served if endpoint.startswith("docs.")}
    assert documents == {"docs.openapi_json", "docs.asyncapi_json"}


@each_routes
def test_a_route_gives_a_listing_or_one_object(path):
    """No rows by another door: what a route annotates is what its decorator makes of it."""
    for view in functions(path):
        decorators = {verb for decorator in view.decorator_list for verb, _ in called(decorator)}
        if "route" not in decorators and "edit" not in decorators:
            continue
        given = ast.unparse(view.returns) if view.returns else ""
        assert given in ("Listing", "str", "None", "Response"), view.name
        assert ("lists" in decorators) == (given == "Listing"), view.name
        assert ("answers" in decorators) == (given != "Listing"), view.name


def test_every_list_is_a_page(app):
    """An array of objects leaves in the envelope of `pagination.page` alone."""
    schemas = document(app)["components"]["schemas"]
    listed = {
        name
        for name, schema in schemas.items()
        for part in schema.get("properties", {}).values()
        if part.get("type") == "array" and "$ref" in part.get("items", {})
    }
    # The replay is bounded by its own `limit`, and `sync` answers the same.
    assert {name for name in listed if not name.endswith("Page")} == {"EventsOut"}


# -- who acts --------------------------------------------------------------------------------------------------------


@each_service
def test_whatever_notes_a_change_is_told_who_made_it(path):
    writers = [f for f in functions(path) if {"note", "record"} & {verb for verb, _ in called(f)}]
    for function in writers:
        if not function.name.startswith("_") and function.name not in NOBODY_YET:
            assert "by" in {argument.arg for argument in function.args.kwonlyargs}, function.name


@each_routes
def test_a_route_says_who_acts_when_it_changes_something(path):
    for block in [node for node in ast.walk(TREES[path]) if isinstance(node, ast.With)]:
        [opened] = [ast.unparse(item) for item in block.items]
        assert opened == "transaction()" or (opened == "transaction(of_one=True)" and len(block.body) == 1)
        changes = {
            verb: {keyword.arg for keyword in call.keywords}
            for verb, call in called(ast.Module(block.body, []))
            if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in RULES
            if not verb.startswith(("lock", "guard", "show"))
        }
        assert changes, f"line {block.lineno}: a transaction for nothing"
        # A link is made for a person whom the line above it made.
        missing = [verb for verb, told in changes.items() if "by" not in told and verb not in NOBODY_YET | {"link"}]
        assert missing == [], f"line {block.lineno}"
