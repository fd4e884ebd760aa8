"""A queue on a fresh file for each test; a log that is read, not printed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demos.redis_server import RedisServer
from miniasgi.events import listening
from miniasgi.queue import Queue


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def queue(file: Path) -> Iterator[Queue]:
    queue = Queue("mail", f"sqlite:///{file}")
    yield queue
    queue.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A private one, for this test alone."""
    with RedisServer(tmp_path) as server:
        yield server


@contextmanager
def heard(kind: str, times: int = 1) -> Iterator[asyncio.Event]:
    """Set once a job of a worker that is opened in this block has told ``kind`` so many times."""
    loop, event, kinds = asyncio.get_running_loop(), asyncio.Event(), []

    def listen(told: str, name: str) -> None:
        kinds.append(told)
        if kinds.count(kind) == times:
            loop.call_soon_threadsafe(event.set)

    with listening(listen):
        yield event
