"""A copy of the tree in which one mistake is made, and the tests that should notice it.

Each run of pytest is forked from a process that has imported libraries and nothing of ours: most of
a small run is their import. What is compiled is kept in the copy, but never of the broken file.

Rule of this file: what a copy runs finds the copy only, and so do the processes that it starts.
"""

import multiprocessing
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("miniasgi", "tests", "demos")
PATIENCE = 180.0  #: seconds for one run of pytest
PASSED, FAILED = 0, 1  #: pytest's exit codes; others mean that nothing was tested

#: What the tests import of others; a name that is not installed is passed over.
LIBRARIES = [
    "pytest",
    "_hypothesis_pytestplugin",
    "anyio.pytest_plugin",
    "anyio._backends._asyncio",
    "anyio._backends._trio",
    "celery.app.base",
    "fastapi",
    "httpx",
    "hypothesis",
    "kombu",
    "redis",
    "starlette.applications",
    "uvicorn",
]


class Copy:
    """Of source and tests, in a folder of its own. One run at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "recordings")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(LIBRARIES)

    def run_broken(self, file: str, old: str, new: str, tests: list[str]) -> tuple[int, str]:
        """In ``file`` the ``old``, which stands there once, becomes ``new``; then `run`."""
        path = self.folder / file
        source = path.read_text()
        assert source.count(old) == 1
        try:
            self._write(path, source.replace(old, new))
            return self.run(tests)
        finally:
            self._write(path, source)

    def run(self, tests: list[str]) -> tuple[int, str]:
        """Pytest's exit code, and what it printed. Raises TimeoutError after `PATIENCE`."""
        output = self.folder / "output.txt"
        options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
        # It would rewrite the assertions of plugins, which are imported already.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        process = self._processes.Process(
            target=_pytest, args=(str(self.folder), str(output), [*options, *tests])
        )
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(output.read_text())
        return process.exitcode, output.read_text()

    @staticmethod
    def _write(path: Path, text: str) -> None:
        """And forget what was compiled: its time stamp cannot tell two versions of one second."""
        path.write_text(text)
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()


def _pytest(folder: str, output: str, arguments: list[str]) -> None:
    """In the forked process, which has imported this file and nothing else of ours."""
    with open(output, "wb") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    os.chdir(folder)
    sys.path[:] = [folder, *(one for one in sys.path if one and Path(one).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
        del sys.modules[name]
    os.environ["PYTHONPATH"] = folder
    for unwanted in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        os.environ.pop(unwanted, None)
    sys.dont_write_bytecode, sys.pycache_prefix = False, None
    import pytest

    sys.exit(int(pytest.main(arguments)))
