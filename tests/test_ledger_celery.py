"""What the ledger says of Celery, proved on a real one: a Redis and workers that really die.

Where Debian's ``redis-server`` is missing these tests are skipped, and say so.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import celery
import kombu.transport.redis
import pytest
import redis

from demos.redis_server import RedisServer, why_not
from tests import celery_jobs

ROOT = Path(__file__).resolve().parent.parent
DAY = 86_400
PATIENCE = 20  #: seconds until a wait for a word is given up

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.filterwarnings("ignore"),  # Celery's own, about Python
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def jobs(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the jobs as this process and its workers import it, on this Redis."""
    monkeypatch.setenv("LEDGER_BROKER", server.url(0))
    monkeypatch.setenv("LEDGER_BACKEND", server.url(1))
    monkeypatch.setenv("LEDGER_VISIBILITY", "1")
    yield importlib.reload(celery_jobs)
    celery_jobs.app.close()


Worker = subprocess.Popen[bytes]


@contextmanager
def worker() -> Iterator[Worker]:
    """A worker process with one slot; it ends by SIGKILL."""
    # In the pool "solo" a job keeps the worker from acknowledging it.
    options = ["--pool", "threads", "--concurrency", "1"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "--app", "tests.celery_jobs", "worker", *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def next_word(server: RedisServer) -> str:
    """Wait for the next word that a job says."""
    found: Any = redis.Redis.from_url(server.url()).blpop(["told"], PATIENCE)
    assert found is not None, "no job said a word"
    return str(found[1].decode())


def test_a_job_runs_in_another_process_and_nobody_waits_for_it(
    server: RedisServer, jobs: ModuleType
) -> None:
    with worker() as process:
        job = jobs.tell_and_wait.delay("begins")

        assert next_word(server) == "begins"
        assert job.state == "PENDING"  # delay has returned long ago, and the job still waits
        server.ask("RPUSH", "go", "go")
        assert job.get(PATIENCE) == process.pid != os.getpid()


def test_with_redis_as_broker_and_backend_a_result_is_there_and_kept_for_a_day(
    server: RedisServer, jobs: ModuleType
) -> None:
    with worker():
        job = jobs.tell.delay("sent")
        job.get(PATIENCE)

    kept: Any = redis.Redis.from_url(server.url(1)).ttl(f"celery-task-meta-{job.id}")

    assert job.state == "SUCCESS"
    assert 0.9 * DAY < kept <= DAY


KEEPS: list[tuple[tuple[str, ...], int]] = [
    (("--loglevel", "warning"), 0),  # its defaults: a snapshot now and then
    (("--appendonly", "yes", "--appendfsync", "always"), 3),
]


@pytest.mark.parametrize(("options", "kept"), KEEPS, ids=["defaults", "appendonly"])
def test_what_redis_keeps_after_a_kill_is_what_it_was_told_to_write(
    options: tuple[str, ...], kept: int, tmp_path: Path
) -> None:
    with RedisServer(tmp_path, *options) as server:
        app = celery.Celery("jobs", broker=server.url(), set_as_current=False)
        for _ in range(3):
            app.send_task("any")
        assert server.count("LLEN", "celery") == 3

        server.kill()
        server.start()

        assert server.count("LLEN", "celery") == kept
        app.close()


def test_a_worker_that_is_killed_in_mid_job_takes_the_job_with_it_unless_it_acks_late(
    server: RedisServer, jobs: ModuleType
) -> None:
    left = {}
    for task in (jobs.tell_and_wait, jobs.late):
        with worker():
            task.delay(task.name)
            next_word(server)  # it has begun; the block ends by SIGKILL
        left[task.name] = server.count("LLEN", "celery") + server.count("HLEN", "unacked")

    assert left == {jobs.tell_and_wait.name: 0, jobs.late.name: 1}
    with worker():
        assert next_word(server) == jobs.late.name  # again, after the visibility timeout


def test_a_countdown_beyond_the_visibility_timeout_runs_a_job_more_than_once(
    server: RedisServer, jobs: ModuleType
) -> None:
    with worker():
        jobs.tell.apply_async(("short",), countdown=0.1)
        jobs.tell.apply_async(("long",), countdown=3.5)

        assert [next_word(server) for _ in range(3)] == ["short", "long", "long"]


def test_the_visibility_timeout_is_an_hour_by_default() -> None:
    Channel: Callable[..., Any] = kombu.transport.redis.Channel

    assert Channel.visibility_timeout == 3600  # type: ignore[attr-defined]
