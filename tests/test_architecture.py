"""What is promised about the source itself: its floors, its sizes, what it imports."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import starlette

from tests.code_lines import CORE, PACKAGE, SAME_GROUND_IN_STARLETTE, TYPED, code_lines, total

ROOT = PACKAGE.parent
#: Code lines of the core, held here and promised in the README.
CORE_BUDGET = 1_279
TYPED_BUDGET = 403
FILES = sorted(PACKAGE.rglob("*.py"))


def test_a_file_imports_only_from_the_floors_below_it() -> None:
    # In a process of its own: it configures logging, which would disable our loggers here.
    lint = "import sys; from importlinter import cli; sys.exit(cli.lint_imports(no_cache=True))"

    linted = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_core_keeps_to_its_size() -> None:
    assert total(PACKAGE, CORE) <= CORE_BUDGET
    assert total(PACKAGE, TYPED) <= TYPED_BUDGET


def test_every_file_of_the_core_is_counted() -> None:
    side = ("testing", "timeline", "queue", "monitor")
    files = {path.relative_to(PACKAGE).as_posix() for path in FILES}

    core = {name for name in files if name.split("/")[0] not in side}
    assert core - {"__init__.py", "__main__.py", "pytest_plugin.py"} == {*CORE, *TYPED}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_is_longer_than_a_sitting(path: Path) -> None:
    assert code_lines(path) <= 250
    assert len(path.read_text().splitlines()) <= 450


def test_the_readme_tells_the_sizes_as_they_are_counted() -> None:
    told = re.search(
        r"core is ([\d,]+) lines of code.+?Starlette [^:]+: ([\d,]+)"
        r".+?typed endpoints\s+are ([\d,]+)",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )

    assert told is not None
    ours, theirs, typed = (int(number.replace(",", "")) for number in told.groups())
    assert ours == total(PACKAGE, CORE)
    assert typed == total(PACKAGE, TYPED)
    assert theirs == total(Path(starlette.__file__).parent, SAME_GROUND_IN_STARLETTE)


@pytest.mark.parametrize(
    "module", ["asyncio", "inspect", "logging", "pydantic", "sqlite3", "celery", "python_multipart"]
)
def test_importing_miniasgi_does_not_import(module: str) -> None:
    code = f"import miniasgi, sys; sys.exit({module!r} in sys.modules)"

    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)

    assert run.returncode == 0


def test_every_module_says_what_it_promises() -> None:
    for path in FILES:
        first = path.read_text().split("\n", 1)[0]
        assert first.startswith('"""') and len(first) > 10, path


def test_the_page_of_what_is_left_out_is_made_from_the_source() -> None:
    spec = importlib.util.spec_from_file_location("left_out", ROOT / "docs" / "left_out.py")
    assert spec is not None and spec.loader is not None
    left_out = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(left_out)

    assert left_out.PAGE.read_text() == left_out.page(), "run: make left-out"
