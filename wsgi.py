"""What gunicorn and the command line load. gunicorn's eventlet worker has patched the standard library before."""

from config import load
from idyll import create_app

app = create_app(load())
