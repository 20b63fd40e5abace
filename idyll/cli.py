"""The command line on the host: `flask --app wsgi …`."""

from flask import Flask
from flask.cli import AppGroup

users = AppGroup("users", help="People.")


def init_app(app: Flask) -> None:
    app.cli.add_command(users)
