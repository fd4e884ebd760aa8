"""The Celery engine alone: its settings, its broker gone, its workers killed."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.app.utils import find_app

from demos.redis_server import RedisServer, why_not
from miniasgi import BackgroundTasks, JSONResponse, MiniASGI, Request
from miniasgi.queue import JobFailed, Queue, QueueUnavailable, Retry
from miniasgi.queue.store import Job
from miniasgi.testing import Client
from tests.queue.conformance.conftest import in_this_process
from tests.queue.processes import ROOT
from tests.queue.stopped_broker import answers_while_stopped

needs_redis = pytest.mark.skipif(bool(why_not()), reason=why_not())
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Call to deprecated setex")]
PATIENCE = 30.0
#: Celery gives a child up for lost at once, or after 10 s if it died before it could say what it
#: had begun. So it may be at each of five deaths.
UNTIL_FIVE_DIED = 5 * 10.0 + PATIENCE
STEP = "\x06\x16"  #: between a queue's name and the number of a priority, in Redis


@pytest.fixture
def queue(redis: RedisServer) -> Iterator[Queue]:
    queue = Queue("mail", redis.url())
    yield queue
    queue.close()


# Settings


def test_the_settings_lose_nothing_by_default() -> None:
    conf = Queue("mail", "redis://localhost/1", visibility_timeout=600.0).celery.conf
    transport = conf.broker_transport_options

    assert (conf.task_acks_late, conf.task_reject_on_worker_lost) == (True, True)
    assert conf.worker_prefetch_multiplier == 1
    assert conf.accept_content == ["json", "plain-json"]
    assert (transport["visibility_timeout"], transport["socket_timeout"]) == (600.0, 5.0)
    assert conf.result_expires == 7 * 86_400


def test_rabbitmq_confirms_what_is_published_and_has_priorities() -> None:
    queue = Queue("mail", "amqp://user:secret@localhost//", backend="redis://localhost/1")
    conf = queue.celery.conf

    assert conf.broker_transport_options["confirm_publish"] is True
    assert (conf.task_queue_max_priority, conf.task_default_queue) == (9, "mail")
    assert repr(queue) == "Queue('mail', 'amqp://localhost//')"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"broker": "amqp://localhost"}, "results need Redis"),
        ({"broker": "sqlite:///x.db", "backend": "redis://localhost"}, "needs neither backend"),
        ({"broker": "sqlite:///x.db", "outbox": "sqlite:///y.db"}, "needs neither backend"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Queue("mail", **settings)  # type: ignore[arg-type]


async def test_what_would_run_twice_is_refused_with_the_way_out() -> None:
    queue = Queue("mail", "redis://localhost/1", visibility_timeout=60.0)

    @queue.task
    async def note() -> None: ...

    with pytest.raises(ValueError, match=r"runs twice: .* longer visibility_timeout, or an outbox"):
        await note.options(countdown=120.0).adelay()
    with pytest.raises(ValueError, match="slow may run 90 s, and after 60 s the broker hands"):
        queue.task(name="slow", timeout=90.0)(lambda: None)


def test_celerys_command_finds_an_attribute_of_the_module_and_no_dotted_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from miniasgi.queue import Queue\nqueue = Queue('mail', 'redis://localhost/1')\n"
    (tmp_path / "celery_finds.py").write_text(code + "celery_app = queue.celery\n")
    monkeypatch.syspath_prepend(tmp_path)

    found = [find_app(name) for name in ("celery_finds:celery_app", "celery_finds")]

    assert [app.main for app in found] == ["mail", "mail"]
    with pytest.raises(ModuleNotFoundError):
        find_app("celery_finds:queue.celery")


def test_without_celery_the_import_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "celery.py").write_text("raise ImportError('No module named celery')")
    code = "from miniasgi.queue import Queue; Queue('mail', 'redis://localhost')"

    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "a queue on Celery needs: pip install 'miniasgi[celery]'" in ended.stderr


# The broker is slow, or gone


@needs_redis
async def test_while_the_broker_is_stopped_others_are_answered(
    queue: Queue, redis: RedisServer
) -> None:
    assert redis._process is not None

    order = await answers_while_stopped(queue, redis._process.send_signal)

    assert order[:3] == ["/enqueue 202", "/other 200", "the broker goes on"]
    assert sorted(order[3:]) == ["/enqueue 202", "/promise 202"]


@needs_redis
async def test_a_broker_that_is_gone_is_one_sentence_and_a_503_never_a_202(
    queue: Queue, redis: RedisServer
) -> None:
    app = MiniASGI()

    @queue.task
    async def note() -> None: ...

    @app.get("/promise")
    async def promise(request: Request) -> JSONResponse:
        background = BackgroundTasks()
        background.add_task(note)
        return JSONResponse({}, 202, background=background)

    redis.kill()
    async with Client(app) as client:
        reply = await client.get("/promise")
    with pytest.raises(QueueUnavailable, match=r"redis://127\.0\.0\.1:\d+/0 cannot be used: "):
        await note.adelay()

    assert reply.status == 503


@needs_redis
async def test_delay_on_the_event_loop_says_once_what_to_write_instead(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    @queue.task
    async def note() -> None: ...

    with caplog.at_level(logging.WARNING, "miniasgi.queue"):
        note.delay()
        note.delay()

    assert caplog.messages == ["note.delay() blocks the event loop: await adelay()"]


@needs_redis
async def test_several_promises_of_a_response_that_fails_are_revoked(
    queue: Queue, redis: RedisServer
) -> None:
    gone = Queue("gone", "redis://127.0.0.1:1/0")

    @queue.task
    async def note() -> None: ...

    @gone.task(name="other")
    async def other() -> None: ...

    background = BackgroundTasks()
    first = background.add_task(note)
    background.add_task(other)
    with pytest.raises(QueueUnavailable):
        await background.accept()

    assert first.state == "REVOKED"


# Copies of one message


@needs_redis
async def test_what_was_published_is_not_published_again(queue: Queue, redis: RedisServer) -> None:
    @queue.task
    async def note() -> None: ...

    for _ in range(2):
        await note.options(task_id="one").adelay()

    assert redis.count("LLEN", f"mail{STEP}9") == 1


@needs_redis
async def test_a_copy_of_what_has_ended_is_skipped(queue: Queue, redis: RedisServer) -> None:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        runs.append(name)

    first = await note.options(task_id="one").adelay("one")
    async with in_this_process(queue):
        await first.aget(PATIENCE)
        copy = redis.ask("HGET", "celery-task-meta-one-job", "message").split(b"\r\n")[1].decode()
        again = {"task_id": "one", "headers": {"miniasgi_copy": copy}}
        queue.celery.send_task("note", ("one",), queue="mail", priority=9, **again)
        other = await note.adelay("other")
        await other.aget(PATIENCE)

    assert (runs, first.state) == (["one", "other"], "SUCCESS")


@needs_redis
async def test_a_second_copy_of_a_message_is_skipped(queue: Queue, redis: RedisServer) -> None:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        runs.append(name)

    redis.ask("HSET", "celery-task-meta-one-job", "message", "another")  # it runs elsewhere
    await note.options(task_id="one").adelay("one")
    other = await note.adelay("other")
    async with in_this_process(queue):
        await other.aget(PATIENCE)

    assert runs == ["other"]


@needs_redis
async def test_a_job_that_was_published_twice_has_its_retries_once_and_crashed_nobody(
    queue: Queue, redis: RedisServer
) -> None:
    runs: list[int] = []

    @queue.task(bind=True, max_retries=3, retry_backoff=0.01)
    async def note(job: Job) -> None:
        runs.append(job.attempt)
        raise ValueError("not yet")

    last = queue.task(name="last")(lambda: None)
    await note.options(task_id="one").adelay()
    redis.ask("HDEL", "celery-task-meta-one-job", "published")  # as if it had been killed just then
    result = await note.options(task_id="one").adelay()
    async with in_this_process(queue):
        with pytest.raises(JobFailed, match="ValueError: not yet"):
            await result.aget(PATIENCE)
        await last.delay().aget(PATIENCE)

    assert runs == [1, 2, 3, 4]


@needs_redis
async def test_a_job_that_was_revoked_is_known_as_long_as_its_message_waits(
    queue: Queue, redis: RedisServer
) -> None:
    runs: list[str] = []

    @queue.task
    async def note() -> None:
        runs.append("note")

    last = queue.task(name="last")(lambda: None)
    result = await note.adelay()
    told: tuple[object, ...] = (result.revoke(), result.forget(), result.state)
    seconds = redis.count("TTL", f"celery-task-meta-{result.id}-job")
    async with in_this_process(queue):
        await last.delay().aget(PATIENCE)
        told += (result.forget(), result.state)

    assert told == (True, False, "REVOKED", True, "UNKNOWN")
    assert seconds > 29 * 86_400
    assert runs == []


@needs_redis
async def test_a_job_that_has_begun_is_kept_no_longer_for_being_asked_for_again(
    queue: Queue, redis: RedisServer
) -> None:
    @queue.task
    async def note() -> None: ...

    nightly = note.options(task_id="nightly")
    async with in_this_process(queue):
        await (await nightly.adelay()).aget(PATIENCE)
    await nightly.adelay()

    assert redis.count("TTL", "celery-task-meta-nightly-job") <= 7 * 86_400


@needs_redis
async def test_what_was_promised_in_vain_can_be_promised_again(
    queue: Queue, redis: RedisServer
) -> None:
    runs: list[str] = []
    gone = Queue("gone", "redis://127.0.0.1:1/0")

    @queue.task
    async def note() -> None:
        runs.append("note")

    @gone.task(name="other")
    async def other() -> None: ...

    background = BackgroundTasks()
    background.add_task(note.options(task_id="one"))
    background.add_task(other)
    with pytest.raises(QueueUnavailable):
        await background.accept()
    again = await note.options(task_id="one").accept()
    async with in_this_process(queue):
        await again.result.aget(PATIENCE)

    assert (runs, again.result.state) == (["note"], "SUCCESS")


@needs_redis
async def test_a_response_that_fails_leaves_alone_what_another_has_promised(
    queue: Queue, redis: RedisServer
) -> None:
    @queue.task
    async def charge(order: int) -> None: ...

    @queue.task
    async def mail(to: str) -> None: ...

    first = await charge.options(task_id="order-42").adelay(42)
    background = BackgroundTasks()
    background.add_task(charge.options(task_id="order-42"), 42)
    background.add_task(mail.options(task_id="order-42"), "ada")
    with pytest.raises(ValueError, match="task_id 'order-42' is taken"):
        await background.accept()

    assert first.state == "PENDING"


async def test_a_wait_and_a_run_are_one_time_for_the_broker() -> None:
    queue = Queue("mail", "redis://localhost/1", visibility_timeout=20.0)

    @queue.task(timeout=19.0)
    async def long() -> None: ...

    with pytest.raises(ValueError, match="waits 18 s and may run 19 s runs twice: after 20 s"):
        await long.options(countdown=18.0).adelay()


@needs_redis
async def test_a_retry_waits_no_longer_than_leaves_time_to_run(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue("mail", redis.url(), visibility_timeout=10.0)
    said: list[str] = []
    warning = lambda words, *args: said.append(words % args)  # noqa: E731
    monkeypatch.setattr("miniasgi.queue.celery_tasks.logger.warning", warning)

    @queue.task(timeout=9.9, max_retries=1)
    async def again() -> None:
        raise Retry(countdown=60.0)

    async with in_this_process(queue):
        with pytest.raises(JobFailed, match="Retry"):
            await (await again.adelay()).aget(PATIENCE)
    queue.close()

    assert [words for words in said if "is retried in 0.05 s and not in " in words] != []


def test_a_worker_that_celery_ends_has_its_exit_code() -> None:
    code = """if True:
        from miniasgi.queue import Queue
        engine = Queue("mail", "redis://localhost/1").engine
        engine.celery.Worker.start = lambda worker: setattr(worker, "exitcode", 7)
        engine.work(1, 30.0)
        """

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)

    assert ended.returncode == 7


# Workers that die

JOBS = """
import os
import time
from miniasgi.queue import Queue

settings = {"backend": os.environ.get("BACKEND"), "visibility_timeout": 2.0}
crashes = int(os.environ.get("MAX_CRASHES", "5"))
queue = Queue("mail", os.environ["BROKER"], max_crashes=crashes, **settings)

@queue.task(bind=True)
def stay(job):
    with open(f"attempt {job.attempt}", "w") as file:
        file.write(str(os.getpid()))
    if job.attempt == 1:
        import signal
        signal.pause()
    return job.attempt

@queue.task(bind=True)
async def linger(job):
    with open(f"attempt {job.attempt}", "w") as file:
        file.write(str(os.getpid()))
    if job.attempt == 1:
        import asyncio
        await asyncio.sleep(60.0)
    return job.attempt

@queue.task
def note(name):
    return name

@queue.task(timeout=0.5)
def late():
    time.sleep(60.0)

@queue.task
async def die():
    os.kill(os.getpid(), 9)

celery_app = queue.celery
"""


class Workers:
    """``python -m miniasgi worker`` in a folder, each with its children in a group of its own."""

    def __init__(self, folder: Path, broker: str, **environment: str) -> None:
        (folder / "jobs.py").write_text(JOBS)
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "BROKER": broker} | environment
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        command = command or ("miniasgi", "worker", "jobs:queue", "--concurrency", "1")
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """``kill -9`` for all of them."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_for(self, name: str) -> str:
        until = time.monotonic() + PATIENCE
        path = self.folder / name
        while not path.exists() or not path.read_text():
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.01)
        return path.read_text()


def at_work(queue: Queue) -> list[dict[str, Any]]:
    """What a worker says of the jobs that its children have begun, once it has heard of one."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        active = queue.celery.control.inspect(timeout=PATIENCE, limit=1).active() or {}
        if begun := [job for jobs in active.values() for job in jobs if job["worker_pid"]]:
            return begun
    return []


@pytest.fixture
def workers(tmp_path: Path, redis: RedisServer) -> Iterator[Workers]:
    workers = Workers(tmp_path, redis.url())
    yield workers
    for process in workers.processes:
        workers.kill(process)


@pytest.fixture
def jobs(queue: Queue) -> Queue:
    """The same tasks, to be called from here."""
    queue.task(name="stay", bind=True)(lambda job: None)
    queue.task(name="linger", bind=True)(lambda job: None)
    queue.task(name="die")(lambda: None)
    queue.task(name="late")(lambda: None)
    return queue


@needs_redis
def test_a_worker_killed_in_mid_work_and_all_its_children_loses_no_job(
    jobs: Queue, workers: Workers, redis: RedisServer
) -> None:
    first = workers.start()
    result = jobs.tasks["stay"].delay()
    workers.wait_for("attempt 1")
    (job,) = at_work(jobs)

    workers.kill(first)
    assert redis.count("HLEN", "mail-unacked") == 1  # the broker has it still
    workers.start()

    assert not job["acknowledged"]  # else it would be lost now
    assert result.get(PATIENCE) == 2


@needs_redis
@pytest.mark.parametrize("name", ["stay", "linger"])
def test_a_worker_whose_grace_is_over_gives_back_what_it_runs_and_that_is_no_crash(
    name: str, jobs: Queue, workers: Workers
) -> None:
    workers.environment["MAX_CRASHES"] = "1"
    command = ("miniasgi", "worker", "jobs:queue", "--concurrency", "1", "--grace", "0.1")
    first = workers.start(*command)
    result = jobs.tasks[name].delay()
    workers.wait_for("attempt 1")

    first.send_signal(signal.SIGQUIT)
    first.wait(PATIENCE)
    workers.start()

    assert result.get(PATIENCE) == 2


@needs_redis
def test_a_child_killed_in_mid_work_is_noticed_and_celerys_own_command_works_too(
    jobs: Queue, workers: Workers
) -> None:
    workers.start("celery", "-A", "jobs:celery_app", "worker", "--concurrency=1")
    result = jobs.tasks["stay"].delay()

    os.kill(int(workers.wait_for("attempt 1")), signal.SIGKILL)

    assert result.get(PATIENCE) == 2


@needs_redis
def test_a_def_task_is_stopped_at_its_timeout(jobs: Queue, workers: Workers) -> None:
    workers.start()

    with pytest.raises(JobFailed, match="SoftTimeLimitExceeded"):
        jobs.tasks["late"].delay().get(PATIENCE)


@needs_redis
def test_a_poison_job_ends_as_a_failure_that_says_the_worker_died(
    jobs: Queue, workers: Workers
) -> None:
    workers.start()

    with pytest.raises(JobFailed, match="worker died, 5 times so far"):
        jobs.tasks["die"].delay().get(UNTIL_FIVE_DIED)
