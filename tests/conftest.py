"""What every test has: both event loops, and examples that repeat where nobody can look."""

import logging
import os

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """A test marked ``anyio`` runs twice, once on each event loop."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def logs_are_heard() -> None:
    """Libraries that configure logging (Celery, uvicorn) do it for the process: not for us."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)
    for name in ("miniasgi", "miniasgi.queue"):
        logger = logging.getLogger(name)
        logger.disabled, logger.propagate = False, True
        logger.setLevel(logging.NOTSET)
