"""A lab that is really served and a browser that looks at it, for tests and screenshots."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")


@dataclass(frozen=True)
class Served:
    address: str
    process: int


@contextmanager
def a_lab(folder: Path) -> Iterator[Served]:
    """``python -m demos.lab`` with its recordings in this folder; ended by Ctrl-C."""
    command = [sys.executable, "-m", "demos.lab", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        [*command, "--folder", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as lab:
        assert lab.stdout is not None
        found = re.search(r"http://[\d.:]+", lab.stdout.readline())
        assert found is not None
        try:
            yield Served(found[0], lab.pid)
        finally:
            lab.send_signal(signal.SIGINT)
            ended = lab.wait(30)
        assert ended == 0


@contextmanager
def a_browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
