"""The queue's floors and its size."""

import ast
import re
from pathlib import Path

import pytest

from tests.code_lines import code_lines
from tests.queue.processes import ROOT

QUEUE = ROOT / "miniasgi" / "queue"
FLOORS = [
    {"errors", "retry", "schema"},
    {"owners", "store", "arguments"},
    {"files", "operations", "tracing"},
    {"writer"},
    {"jobs", "results"},
    {"worker"},
    {"promises", "marks"},
    {"embedded", "celery_tasks", "celery_application"},
    {"celery"},
    {"outbox", "move"},
    {"tasks", "celery_commands"},
    {"commands", "__init__"},
]
CELERY = {
    "celery",
    "celery_application",
    "celery_commands",
    "celery_tasks",
    "marks",
    "move",
    "outbox",
}
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


def test_the_embedded_queue_keeps_to_the_size_that_the_docs_tell() -> None:
    told = re.search(r"have at most ([\d,]+) with it", (ROOT / "docs/decisions.md").read_text())
    embedded = [path for path in QUEUE.glob("*.py") if path.stem not in CELERY]

    assert told is not None
    assert sum(map(code_lines, embedded)) <= int(told[1].replace(",", ""))
