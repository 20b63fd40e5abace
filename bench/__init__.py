"""Measurements: of this product beside its peer, alone, as it grows, over time and on several cores."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".bench"
# What starts PostgreSQL, nginx and the application for tests starts them here too.
sys.path.append(str(ROOT / "tests"))
