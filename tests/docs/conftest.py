"""The built site, once for all tests that look at it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def built() -> "subprocess.CompletedProcess[str]":
    """How the build ended; what it made is in site/."""
    command = [sys.executable, "-m", "docs.read_along.build"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
