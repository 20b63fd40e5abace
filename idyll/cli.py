"""The command line on the host: `flask --app wsgi …`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from time import monotonic
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup, with_appcontext
from flask_migrate import Migrate, upgrade
from sqlalchemy.exc import DBAPIError

from . import actor, asyncapi, doctor, first_owner, health, openapi, sweeping
from .audit import chain
from .auth import two_step
from .demo import agency, logins
from .errors import Problem
from .extensions import db
from .ledger import service as books
from .membership import invitations
from .scope import this_app
from .shapes import parsed
from .transactions import transaction
from .users import service as users_service
from .users.roles import Status

users = AppGroup("users", help="The first owner, links to set a password, and lost two-step log-ins.")
audit = AppGroup("audit", help="The chain over the audit.")
ledger = AppGroup("ledger", help="The books of money.")


def init_app(app: Flask) -> None:
    # `flask db …` comes with it.
    Migrate(app, db, directory=str(health.MIGRATIONS), render_as_batch=True, compare_type=True)
    for command in (users, audit, ledger, demo, prepare, openapi_document, asyncapi_document, doctor_command, sweep):
        app.cli.add_command(command)


def command(name: str, group: Any = click, *, notes: bool = False) -> Callable[[Callable[..., None]], click.Command]:
    """A command with the app around it; a refusal becomes some lines of text and exit code 1.

    With `notes` it writes audit rows, which are sealed at its end: there may be no server to do it.
    """

    def decorator(work: Callable[..., None]) -> click.Command:
        @wraps(work)
        def run(**kwargs: Any) -> None:
            try:
                work(**kwargs)
                if notes:
                    chain.seal()
            except Problem as problem:
                faults = [f"{field}: {' '.join(texts)}" for field, texts in (problem.errors or {}).items()]
                raise click.ClickException("\n  - ".join([problem.detail, *faults])) from None
            except DBAPIError as error:
                words = f"The database refused ({type(error.orig).__name__}). What is wrong: flask --app wsgi doctor"
                raise click.ClickException(words) from error

        made: click.Command = group.command(name)(with_appcontext(run) if group is click else run)
        return made

    return decorator


# -- people ----------------------------------------------------------------------------------------------------------


@click.option("--if-none", is_flag=True, help="Do nothing where there is an owner, or nothing to make one of.")
@command("create-owner", users, notes=True)
def create_owner(if_none: bool) -> None:
    """Make the first owner of OWNER_EMAIL and OWNER_PASSWORD."""
    if first_owner.there_is_one():
        if not if_none:
            raise click.ClickException("There is an owner already.")
        click.echo("There is an owner already.")
        return
    _first_owner(must=not if_none)


def _first_owner(*, must: bool) -> None:
    """Makes the owner and says how to log in; in development with a generated password, which is shown this once."""
    config = this_app().config
    unset = not config["OWNER_EMAIL"] and not config["OWNER_PASSWORD"]
    if unset and config["APP_ENV"] == "production" and not must:
        words = "WARNING: nobody can log in: there is no owner yet, and OWNER_EMAIL and OWNER_PASSWORD are not set."
        click.echo(words, err=True)
        return
    generate = unset and config["APP_ENV"] == "development"
    email, password = first_owner.generated() if generate else first_owner.from_settings(config)
    if not first_owner.make(email, password):
        click.echo("There is an owner already.")
    elif generate:
        click.echo(f"The owner is {email} with the password {password} (shown this once).")
    else:
        click.echo(f"The owner is {email}.")


@click.argument("email")
@command("invite", users, notes=True)
def invite(email: str) -> None:
    """Print a link by which somebody sets a new password; earlier links end."""
    with transaction():
        user = users_service.find_by_email(email.strip().lower())
        if user is None:
            raise click.ClickException(f"Nobody has the e-mail {email}.")
        if user.status == Status.REJECTED:
            raise click.ClickException(f"{email} was rejected; approve them first.")
        made = parsed(invitations.invite(user.id, by=actor.system()))["invite"]
    click.echo(f"{made['url']}\nIt works once, until {made['expiresAt']}.")


@click.argument("email")
@command("two-step-off", users)
def two_step_off(email: str) -> None:
    """Switch two-step log-in off for somebody who lost their app and their recovery codes."""
    with transaction():
        user = users_service.find_by_email(email.strip().lower())
        if user is None:
            raise click.ClickException(f"Nobody has the e-mail {email}.")
        two_step.switch_off(user.id, by=actor.system())
    click.echo(f"{email} logs in by password alone.")


# -- starting --------------------------------------------------------------------------------------------------------


@command("demo", notes=True)
def demo() -> None:
    """Make the demo agency, in development and where there is nobody but the owner."""
    if reason := agency.refusal():
        raise click.ClickException(f"No demo agency: {reason}.")
    _make_demo()


def _make_demo() -> None:
    with step("Making the demo agency: 12 people, 60 tasks, meetings, payouts, chat"):
        agency.make(logins.keep)
    click.echo(f"Their log-ins are in {logins.path()}")


@command("prepare", notes=True)
def prepare() -> None:
    """Everything before the server starts: migrate, make the owner and the demo agency, say how to log in."""
    found = health.check()
    if found["database"] != "ok":
        raise click.ClickException("The database can't be reached; see DATABASE_URL.")
    if found["schema"] == "down":
        with step("Bringing the database's schema up to date"):
            upgrade()
    if not first_owner.there_is_one():
        _first_owner(must=False)
    reason = agency.refusal()
    if reason is None:
        _make_demo()
    elif not logins.known():
        click.echo(f"No demo agency: {reason}.")
    _say_where()


def _say_where() -> None:
    url = f"http://localhost:{this_app().config['PORT']}"
    lines = [("API", f"{url}/api"), ("Documentation", f"{url}/docs/")]
    lines.append(("Log in", f"POST {url}/api/auth/login " + '{"login": "<e-mail or username>", "password": "<…>"}'))
    if logins.known():
        lines.append(("Demo log-ins", str(logins.path())))
    lines.append(("Password lost", ".venv/bin/flask --app wsgi users invite <e-mail>"))
    lines.append(("A tour", "README.md"))
    width = max(len(name) for name, _ in lines)
    click.echo("\n".join(["", *[f"  {name.ljust(width)}  {text}" for name, text in lines], ""]))


@contextmanager
def step(words: str) -> Iterator[None]:
    """Says what is begun, for it may take a while, and how long it took."""
    click.echo(f"==> {words} … ", nl=False)
    begun = monotonic()
    yield
    click.echo(f"{monotonic() - begun:.1f} s")


# -- care ------------------------------------------------------------------------------------------------------------


@command("openapi")
def openapi_document() -> None:
    """Print the OpenAPI document, as docs/openapi.json keeps it."""
    _print(openapi.document(this_app()))


@command("asyncapi")
def asyncapi_document() -> None:
    """Print the AsyncAPI document, as docs/asyncapi.json keeps it."""
    _print(asyncapi.document(this_app()))


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@command("doctor")
def doctor_command() -> None:
    """Say what is wrong with this installation; exit code 1 when something is broken."""
    findings = list(doctor.examine())
    for finding in findings:
        click.echo(f"{finding.grade:8} {finding.about:9} {finding.text}")
    if any(finding.grade == doctor.Grade.BROKEN for finding in findings):
        raise SystemExit(1)


@command("sweep")
def sweep() -> None:
    """Delete old events (EVENT_RETENTION_DAYS), answers, sessions and failures now; servers do it by themselves."""
    counts, failures = sweeping.sweep()
    for what, count in counts.items():
        click.echo(f"{what} deleted: {count}")
    if failures:
        raise failures[0]


@click.option("--head", help="One noted earlier, without which nobody can see that the last rows are missing.")
@command("verify", audit)
def verify_audit(head: str | None) -> None:
    """Find audit rows that were changed, taken out or put in; exit code 1 when there are any."""
    found = chain.verify(head)
    _judge(found.faults)
    click.echo(f"{found.count} rows, head {found.head}")


@command("verify", ledger)
def verify_ledger() -> None:
    """Compare the books with the payouts and payments; exit code 1 when they differ."""
    _judge(list(books.faults()))
    for account, amounts in sorted(books.all_balances().items()):
        sums = [f"{amount / 100:.2f} {currency}" for currency, amount in sorted(amounts.items()) if amount]
        click.echo(f"{account:10}{', '.join(sums) or '0'}")


def _judge(faults: list[str]) -> None:
    for fault in faults:
        click.echo(f"BROKEN {fault}")
    if faults:
        raise SystemExit(1)
    click.echo("ok")
