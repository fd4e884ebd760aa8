"""The queue's floors and its size."""

import ast
from pathlib import Path

import pytest

from tests.queue.processes import ROOT

QUEUE = ROOT / "miniasgi" / "queue"
FLOORS = [
    {"errors", "retry"},
    {"owners", "store", "arguments"},
    {"files", "operations"},
    {"writer"},
    {"jobs", "results"},
    {"worker"},
    {"promises", "engine", "marks"},
    {"embedded", "celery_tasks"},
    {"celery"},
    {"tasks"},
    {"commands", "__init__"},
]
WEB = {"background", "concurrency", "types", "events"}


@pytest.mark.parametrize("path", sorted(QUEUE.glob("*.py")), ids=lambda path: path.stem)
def test_a_file_imports_only_from_floors_below_it_and_little_of_the_web(path: Path) -> None:
    floor = next(n for n, files in enumerate(FLOORS) if path.stem in files)
    below = set().union(*FLOORS[:floor])

    imported = {
        (node.module or "", alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("miniasgi")
        for alias in node.names
    }

    for module, name in imported:
        inside = module.removeprefix("miniasgi.queue").lstrip(".") or name
        if module.startswith("miniasgi.queue"):
            assert inside in below
        else:
            assert module.removeprefix("miniasgi.") in WEB
