"""Links from a page of the reference into the source."""

import inspect
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def link(what: Any) -> str:
    """A Markdown link to where a class or function is defined, relative to ``docs/``."""
    where = Path(inspect.getsourcefile(what) or "").resolve().relative_to(ROOT).as_posix()
    return f"[`{what.__qualname__}`](../{where}#{what.__qualname__})"
