"""A queue on a fresh file for each test; a log that is read, not printed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
