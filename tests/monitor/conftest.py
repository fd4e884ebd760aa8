"""A queue on a fresh file, and rows of a known history in it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from miniasgi.queue import Queue
from miniasgi.testing import Client

TOKEN = "a long secret"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue("mail", f"sqlite:///{tmp_path / 'jobs.db'}")
    yield queue
    queue.close()


@pytest.fixture
def write(queue: Queue) -> Callable[..., None]:
    """Write one row as it is: ``write("id", "success", created_at=...)``."""

    def write(id: str, state: str, **columns: Any) -> None:
        row = {"id": id, "queue": "mail", "task": "send", "arguments": "[[], {}]", "state": state}
        row |= {"priority": 0, "created_at": 1000.0} | columns
        names, places = ", ".join(row), ", ".join("?" * len(row))
        sql = f"insert into miniasgi_job ({names}) values ({places})"
        queue.writer.run(lambda db: db.execute(sql, tuple(row.values())))

    return write


async def page(app: Any, path: str, **headers: str) -> str:
    async with Client(app) as client:
        reply = await client.get(path, headers={"accept": "text/html", **headers})
    assert reply.status == 200, reply.text
    return reply.text


async def api(app: Any, path: str) -> Any:
    async with Client(app) as client:
        reply = await client.get(path)
    assert reply.status == 200, reply.text
    return json.loads(reply.content)
