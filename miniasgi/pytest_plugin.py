"""Two fixtures for whoever has miniasgi and pytest: `asgi_client` and `timeline`.

Source: pytest, "Writing plugins"; registered under the entry point ``pytest11``. Rule of this file:
every pytest run on the machine imports it, so it imports the rest only for a test that asks.
"""

import functools
from collections.abc import Iterator
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from miniasgi.testing import Client
    from miniasgi.timeline import Recorder


@pytest.fixture
def asgi_client() -> "type[Client]":
    """`miniasgi.testing.Client`: ``async with asgi_client(app) as client``."""
    from miniasgi.testing import Client

    return Client


@pytest.fixture
def timeline(request: pytest.FixtureRequest) -> Iterator["Recorder"]:
    """A fresh recorder that listens while the test function runs."""
    from miniasgi.timeline import Recorder

    recorder = Recorder()
    test = request.node.obj

    # A listener is a context variable, and an async test runs in a context that may be older than
    # its fixtures. So the test function itself is wrapped.
    @functools.wraps(test)
    def listen(**arguments: Any) -> Any:
        with recorder.listening():
            return test(**arguments)

    @functools.wraps(test)
    async def listen_async(**arguments: Any) -> Any:
        with recorder.listening():
            return await test(**arguments)

    request.node.obj = listen_async if iscoroutinefunction(test) else listen
    yield recorder
    request.node.obj = test
