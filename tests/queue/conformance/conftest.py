"""One suite, two engines: a SQLite file, and Celery on a Redis of the tests' own, and on a RabbitMQ
where one is installed.

A test that must differ on Celery says so with a mark, ``@pytest.mark.differs("on Celery ...")``: it
is then expected to fail there (strictly: if it passes, the mark is wrong), and the sentence is a
row of the table in docs/celery.md, which docs/engines.py makes from these marks.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from demos.redis_server import RedisServer, why_not
from miniasgi.queue import Queue
from tests.queue import rabbit_server
from tests.queue.rabbit_server import RabbitServer

Working = Callable[[Queue], AbstractAsyncContextManager[Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "[celery" not in item.name:
            continue
        if "a_countdown_is_kept[celery on RabbitMQ" in item.name:
            # Held by tests/queue/test_rabbitmq.py, with a worker that is a process.
            said = "Celery's worker for tests, in threads, takes nothing while a job waits"
            item.add_marker(pytest.mark.xfail(reason=said, strict=True))
        differs = item.get_closest_marker("differs")
        if differs:
            item.add_marker(pytest.mark.xfail(reason=differs.args[0], strict=True))
        # Celery's result backend asks redis-py in an old way.
        item.add_marker(pytest.mark.filterwarnings("ignore:Call to deprecated setex"))


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if why_not():
        pytest.skip(why_not())
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    if rabbit_server.why_not():
        pytest.skip(rabbit_server.why_not())
    with RabbitServer(tmp_path_factory.mktemp("rabbit") / "node") as server:
        yield server


@pytest.fixture(params=["sqlite", "celery on Redis", "celery on RabbitMQ"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def brokers(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The URLs: all that differs between the two."""
    if engine == "sqlite":
        return {"broker": f"sqlite:///{tmp_path / 'jobs.db'}"}
    redis: RedisServer = request.getfixturevalue("redis")
    redis.ask("FLUSHALL")
    if engine == "celery on Redis":
        return {"broker": redis.url()}
    rabbit: RabbitServer = request.getfixturevalue("rabbit")
    rabbit.forget("mail")
    return {"broker": rabbit.url, "backend": redis.url()}


@pytest.fixture
def queue(brokers: dict[str, str]) -> Iterator[Queue]:
    # With its pool of threads Celery waits twice for an answer of RabbitMQ's when it stops.
    queue = Queue("mail", **brokers, lock_timeout=1.0)  # type: ignore[arg-type]
    yield queue
    queue.close()


@pytest.fixture
def working(engine: str) -> Working:
    """A worker in this process, with one slot, so that tasks can be closures of a test."""
    return in_this_process if engine != "sqlite" else lambda queue: queue.worker(concurrency=1)


@asynccontextmanager
async def in_this_process(queue: Queue) -> AsyncIterator[Any]:
    """Celery's own worker for tests, in threads."""
    from celery.contrib.testing.worker import start_worker

    worker = start_worker(
        queue.celery, pool="threads", concurrency=1, perform_ping_check=False, shutdown_timeout=30
    )
    level = logging.root.level
    await anyio.to_thread.run_sync(worker.__enter__)
    try:
        yield worker
    finally:
        await anyio.to_thread.run_sync(worker.__exit__, *sys.exc_info())
        logging.root.setLevel(level)  # it makes the root logger deaf to warnings, for all tests


ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
