"""What every test has: both event loops, and examples that repeat where nobody can look.

With ``-n`` (pytest-xdist) the tests of a file go to one worker, in their order, since they share
fixtures; `UNITS` names what is spread, and what is kept together. Many tests wait for processes
that they have started, so one worker more than there are cores keeps the cores busy.
"""

import atexit
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

from tests.mutated import Copy

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    # Hundreds of processes would compile us anew. The tree is left as it is, as was asked for.
    _compiled = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = _compiled
    sys.dont_write_bytecode = False

UNITS = re.compile(
    r"""
    # Long files whose tests share nothing, or with those of their scenario only.
    tests/(queue/)?test_mutants\.py::test_\w+_noticed .*
    | tests/monitor/test_browser\.py .*
    | tests/demos/test_demos_scenarios\.py::\w+\[(?P<scenario>\w+) .*
    # These build the site, or read it.
    | tests/(?P<site>docs/test_(pages|browser)\.py | lab/) .*
    """,
    re.VERBOSE,
)


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """A test marked ``anyio`` runs twice, once on each event loop."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def mutated(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("mutated"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False  # as they are collected: the long ones come first
    return Units(config, log)


def unit(nodeid: str) -> str:
    """The name of that which is given to one worker as a whole."""
    found = UNITS.fullmatch(nodeid)
    if found is None:
        return nodeid.partition("::")[0]
    return "site" if found["site"] else found["scenario"] or nodeid


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Half a pair of surrogates, which some tests print, cannot be sent by a worker."""
    return printable((yield))


def printable(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {key: printable(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(map(printable, data))
    return data
