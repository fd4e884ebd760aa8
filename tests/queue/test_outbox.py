"""The outbox: a promise needs no broker, and a killed process's are handed over by the next."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from demos.redis_server import RedisServer, why_not
from miniasgi.queue import JobFailed, Queue, store
from miniasgi.queue.outbox import OutboxEngine
from miniasgi.queue.store import Job
from tests.queue.conformance.conftest import in_this_process
from tests.queue.processes import Process

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
]
PATIENCE = 20.0

PROMISES = """
    import asyncio, os
    from miniasgi.queue import Queue

    queue = Queue("mail", os.environ["BROKER"], outbox="sqlite:///outbox.db", lock_timeout=1.0)

    @queue.task
    async def note(name): ...

    async def main():
        promises = [await note.accept(f"user {{n}}") for n in range(20)]
        print(*(promise.result.id for promise in promises), flush=True)
        if {released}:
            for promise in promises:
                await promise()
        await asyncio.Event().wait()

    asyncio.run(main())
"""


@pytest.fixture
def queue(redis: RedisServer, tmp_path: Path) -> Iterator[Queue]:
    outbox = f"sqlite:///{tmp_path / 'outbox.db'}"
    queue = Queue("mail", redis.url(), outbox=outbox, lock_timeout=1.0)
    yield queue
    queue.close()


def noted(queue: Queue) -> tuple[Any, list[str]]:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> str:
        runs.append(name)
        return name

    return note, runs


def in_file(folder: Path, id: str) -> str:
    """What the outbox itself says of a job."""
    with closing(sqlite3.connect(folder / "outbox.db")) as db:
        (state,) = db.execute("select state from miniasgi_job where id = ?", (id,)).fetchone()
    return str(state)


async def test_nobody_has_a_promised_job_before_the_last_byte(queue: Queue, tmp_path: Path) -> None:
    note, runs = noted(queue)

    promise = await note.accept("promised")
    other = await note.adelay("other")
    states = [promise.result.state]
    async with in_this_process(queue):
        await other.aget(PATIENCE)
        runs.append("last byte")
        states += [promise.result.state, in_file(tmp_path, promise.result.id)]
        await promise()
        await promise.result.aget(PATIENCE)

    assert (states, runs) == (
        ["PENDING", "PENDING", "held"],
        ["other", "last byte", "promised"],
    )


async def test_a_promise_needs_no_broker_and_is_handed_over_when_it_is_back(
    queue: Queue, redis: RedisServer
) -> None:
    note, runs = noted(queue)
    redis.kill()

    promise = await note.accept("promised")
    await promise()
    enqueued = await note.adelay("enqueued")
    states = [promise.result.state, enqueued.state]
    redis.start()
    async with in_this_process(queue):
        await promise.result.aget(PATIENCE)
        await enqueued.aget(PATIENCE)

    assert (states, sorted(runs)) == (["PENDING"] * 2, ["enqueued", "promised"])


@pytest.mark.parametrize("released", [True, False], ids=["after", "before the last byte"])
async def test_what_a_killed_process_had_promised_is_handed_over_by_the_next_once(
    queue: Queue, redis: RedisServer, tmp_path: Path, released: bool
) -> None:
    _, runs = noted(queue)
    if released:
        redis.kill()  # so that nothing can have been handed over
    with Process(
        PROMISES.format(released=released), tmp_path, BROKER=f"redis://127.0.0.1:{redis.port}/0"
    ) as process:
        ids = process.line().split()
        process.send(signal.SIGKILL)
    if released:
        redis.start()

    async with queue.lifespan(), in_this_process(queue):
        for id in ids:
            await queue.AsyncResult(id).aget(PATIENCE)

    assert sorted(runs) == sorted(f"user {n}" for n in range(20))


async def test_a_job_may_be_due_later_than_the_broker_could_hold_it_and_be_revoked_till_then(
    queue: Queue, redis: RedisServer
) -> None:
    note, runs = noted(queue)

    result = await note.options(countdown=365 * 86_400.0).adelay("in a year")
    waiting = (result.state, redis.count("DBSIZE"))
    revoked = (result.revoke(), result.state)

    assert (waiting, revoked, runs) == (("PENDING", 0), (True, "REVOKED"), [])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_job_that_is_revoked_while_it_is_handed_over_never_runs(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    note, runs = noted(queue)
    assert isinstance(queue.engine, OutboxEngine)
    there, go_on = threading.Event(), threading.Event()
    publish = queue.engine._broker.publish

    def published_slowly(job: Job) -> None:
        if when == "after":
            publish(job)
        there.set()
        assert go_on.wait(PATIENCE)
        publish(job)

    monkeypatch.setattr(queue.engine._broker, "publish", published_slowly)
    result = await note.adelay("revoked")
    assert await to_thread.run_sync(there.wait, PATIENCE)
    asked = await to_thread.run_sync(result.revoke)
    go_on.set()
    with pytest.raises(JobFailed, match="revoked"):
        await result.aget(PATIENCE)
    monkeypatch.undo()
    async with in_this_process(queue):
        await (await note.adelay("next")).aget(PATIENCE)

    assert (asked, runs, result.state) == (True, ["next"], "REVOKED")


async def test_a_key_that_is_taken_at_the_broker_ends_as_a_failure(
    queue: Queue, redis: RedisServer, tmp_path: Path
) -> None:
    there = Queue("mail", redis.url(), outbox=f"sqlite:///{tmp_path / 'another.db'}")
    note, _ = noted(queue)
    theirs = await noted(there)[0].options(task_id="one").adelay("theirs")
    async with in_this_process(there):
        await theirs.aget(PATIENCE)

    ours = await note.options(task_id="one").adelay("ours")
    with pytest.raises(JobFailed, match="task_id 'one' is taken by note"):
        await ours.aget(PATIENCE)
    there.close()

    assert (theirs.state, ours.state) == ("SUCCESS", "FAILURE")


async def test_however_many_processes_died_with_it_in_hand_a_job_is_handed_over_again(
    queue: Queue, redis: RedisServer, tmp_path: Path
) -> None:
    note, _ = noted(queue)
    assert isinstance(queue.engine, OutboxEngine)
    file = queue.engine._file
    redis.kill()
    result = await note.adelay("promised")
    queue.engine._end()
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db, db:
        db.execute("update miniasgi_job set state = 'running', owner = 'a-dead-one', crashes = 99")

    file.writer.run(store.recover, "mail", lambda name: False, file.max_crashes, time.time())

    assert in_file(tmp_path, result.id) == "scheduled"


async def test_a_priority_that_the_broker_does_not_have_is_refused_at_the_call(
    queue: Queue,
) -> None:
    note, _ = noted(queue)

    with pytest.raises(ValueError, match="priority 10: Celery has 0 to 9"):
        await note.options(priority=10).adelay("urgent")

    assert isinstance(queue.engine, OutboxEngine) and os.path.basename(queue.engine.where) == "0"
