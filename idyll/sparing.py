"""Imported before all others: what libraries load in case somebody wants it, and here wants it later or never.

PyJWT loads `cryptography` for algorithms of tokens that we refuse, python-socketio redis-py for a queue that we don't
use: 16 MiB of each process, and time at each start. Both do without what is not installed, and so it seems to them.
"""

import sys
from importlib import import_module

NOT_YET = {"cryptography", "redis"} - sys.modules.keys()

for name in NOT_YET:
    sys.modules[name] = None  # type: ignore[assignment]  # how Python says "there is none"
try:
    for library in ("jwt", "socketio"):
        import_module(library)
finally:
    for name in NOT_YET:
        del sys.modules[name]
