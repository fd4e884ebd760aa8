"""The Celery engine on a RabbitMQ: ``RABBITMQ=1 pytest tests/queue``."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demos.redis_server import RedisServer
from miniasgi.queue import Queue, QueueUnavailable
from tests.queue.rabbit_server import RabbitServer, why_not
from tests.queue.stopped_broker import answers_while_stopped
from tests.queue.test_celery import PATIENCE, Workers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
]


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    with RabbitServer(tmp_path_factory.mktemp("rabbit") / "node") as server:
        yield server


@pytest.fixture
def queue(rabbit: RabbitServer, redis: RedisServer) -> Iterator[Queue]:
    rabbit.forget("mail")
    queue = Queue("mail", rabbit.url, backend=redis.url(), lock_timeout=3.0)
    yield queue
    queue.close()


async def test_while_the_broker_is_stopped_others_are_answered(
    queue: Queue, rabbit: RabbitServer
) -> None:
    order = await answers_while_stopped(queue, rabbit.signal)

    assert order[:3] == ["/enqueue 202", "/other 200", "the broker goes on"]
    assert sorted(order[3:]) == ["/enqueue 202", "/promise 202"]


async def test_what_the_broker_has_not_confirmed_is_not_acknowledged(
    queue: Queue, rabbit: RabbitServer
) -> None:
    @queue.task
    async def note(name: str) -> None: ...

    await note.adelay("the connection is open")
    rabbit.signal(signal.SIGSTOP)
    try:
        with pytest.raises(QueueUnavailable, match="cannot be used"):
            await note.adelay("the kernel takes it, and nobody reads it")
    finally:
        rabbit.signal(signal.SIGCONT)


def test_a_worker_killed_in_mid_work_and_all_its_children_loses_no_job(
    queue: Queue, rabbit: RabbitServer, redis: RedisServer, tmp_path: Path
) -> None:
    queue.task(name="stay", bind=True)(lambda job: None)
    workers = Workers(tmp_path, rabbit.url, BACKEND=redis.url())
    try:
        first = workers.start()
        result = queue.tasks["stay"].delay()
        workers.wait_for("attempt 1")
        workers.kill(first)
        workers.start()

        assert result.get(PATIENCE) == 2
    finally:
        for process in workers.processes:
            workers.kill(process)


def test_a_job_that_waits_for_its_time_does_not_hold_back_those_behind_it(
    queue: Queue, rabbit: RabbitServer, redis: RedisServer, tmp_path: Path
) -> None:
    note = queue.task(name="note")(lambda name: None)
    workers = Workers(tmp_path, rabbit.url, BACKEND=redis.url())
    worker = workers.start()
    try:
        note.delay("the worker works").get(PATIENCE)
        later = note.options(countdown=1.9).delay("later")
        now = note.delay("now")

        assert (now.get(PATIENCE), later.state) == ("now", "PENDING")
        assert later.get(PATIENCE) == "later"
    finally:
        workers.kill(worker)
