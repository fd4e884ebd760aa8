"""What every test has: both event loops, and examples that repeat where nobody can look."""

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
