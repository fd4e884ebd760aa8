"""Would the tests notice? Each named mistake is made in a copy of the source, and a test must fail.

Copies live in a temporary directory with the tests beside them, and two run at one time. A mutant
that no test catches is a missing test, not a wrong mutant.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parent.parent
PATIENCE = 180.0  #: seconds for one run of pytest
PASSED, FAILED = 0, 1  # pytest's exit codes; others mean that nothing was tested

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@each_mutant
def test_the_line_to_be_broken_stands_once_in_the_source(mutant: Mutant) -> None:
    source = (ROOT / "miniasgi" / mutant.file).read_text()

    assert source.count(mutant.old) == 1


@each_mutant
def test_the_mistake_is_noticed(
    mutant: Mutant, runs: "dict[Mutant | None, Future[tuple[int, str]]]"
) -> None:
    code, output = runs[mutant].result()

    assert code == FAILED, output


def test_without_a_mistake_the_same_tests_pass(
    runs: "dict[Mutant | None, Future[tuple[int, str]]]",
) -> None:
    code, output = runs[None].result()

    assert code == PASSED, output


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[dict[Mutant | None, Future[tuple[int, str]]]]":
    """The outcome of the named tests for each selected mutant, and for none; two at one time."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    selected = {
        item.callspec.params["mutant"]
        for item in items
        if item.function is test_the_mistake_is_noticed
    }
    copies = tmp_path_factory.mktemp("mutants")
    with ThreadPoolExecutor(2) as pool:
        started: dict[Mutant | None, Future[tuple[int, str]]] = {
            mutant: pool.submit(run, copies / str(number), mutant)
            for number, mutant in enumerate((None, *MUTANTS))
            if mutant is None or mutant in selected
        }
        yield started
        pool.shutdown(cancel_futures=True)


def run(copy: Path, mutant: Mutant | None) -> tuple[int, str]:
    """Copy, make the mistake, run the tests that should notice. Returns exit code and output."""
    for name in ("miniasgi", "tests", "demos"):  # with what is compiled: it saves a second
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("recordings"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    if mutant is not None:
        file = copy / "miniasgi" / mutant.file
        file.write_text(file.read_text().replace(mutant.old, mutant.new))
    tests = {mutant.caught_by} if mutant else {one.caught_by for one in MUTANTS}
    options = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=short")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"tests/{test}" for test in sorted(tests))],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    shutil.rmtree(copy)
    return done.returncode, done.stdout + done.stderr
