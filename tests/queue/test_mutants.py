"""Each mutant is applied to a copy of the tree, and its tests are seen to fail there."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.queue.mutants import MUTANTS, Mutant
from tests.queue.processes import ROOT

_ONE_FAILED = 1  # pytest's exit code; 2 and above: it could not run


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    for part in ("miniasgi", "demos", "tests/queue"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/__init__.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    source = (tmp_path / mutant.file).read_text()
    assert source.count(mutant.old) == 1

    (tmp_path / mutant.file).write_text(source.replace(mutant.old, mutant.new))

    for test in mutant.tests:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/queue/{test}"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == _ONE_FAILED, run.stdout
