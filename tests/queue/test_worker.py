"""The life of a job in a worker: again, later, given back, and never twice at one time."""

import asyncio
import json
import os
import threading
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from miniasgi.queue import JobFailed, Queue, Retry, jobs, store
from miniasgi.queue.owners import is_alive
from miniasgi.queue.retry import backoff
from miniasgi.queue.store import Job, Outcome
from miniasgi.queue.worker import Worker
from tests.queue.conftest import heard

pytestmark = pytest.mark.anyio


def claim(queue: Queue, owner: str = "someone", limit: int = 1) -> list[Job]:
    return queue.writer.run(store.claim, queue.name, owner, limit, time.time())


async def test_async_and_def_tasks_run_and_their_results_are_kept(queue: Queue) -> None:
    @queue.task
    async def on_the_loop(n: int) -> dict[str, int]:
        return {"n": n, "thread": threading.get_ident()}

    @queue.task
    def in_a_thread(n: int) -> dict[str, int]:
        return {"n": n, "thread": threading.get_ident()}

    async with queue.worker():
        first = await (await on_the_loop.adelay(1)).aget(5)
        second = await (await in_a_thread.adelay(2)).aget(5)

    assert (first["n"], second["n"]) == (1, 2)
    assert first["thread"] == threading.get_ident() != second["thread"]


@pytest.mark.parametrize(("at_one_time", "by_the_thread"), [(1, 0), (2, 2)])
async def test_a_worker_with_a_loop_to_itself_commits_there_what_runs_by_itself(
    at_one_time: int, by_the_thread: int, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = asyncio.Barrier(at_one_time)
    handed: list[str] = []
    put = queue.writer._put

    def put_and_note(operation: Any) -> None:
        handed.append(operation.work.__name__)
        put(operation)

    @queue.task
    async def meet() -> None:
        await together.wait()

    results = [meet.delay() for _ in range(at_one_time)]
    monkeypatch.setattr(queue.writer, "_put", put_and_note)
    monkeypatch.setattr(store, "ENDED", ())  # nothing is deleted, which the thread would do
    async with Worker(queue.engine, 2, 1.0, is_alone=True):
        for result in results:
            await result.aget(5)

    assert handed == ["_exchange"] * by_the_thread


async def test_higher_priority_first_and_first_in_first_out_within_one(queue: Queue) -> None:
    order: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        order.append(name)

    results = [
        note.delay("low 1"),
        note.options(priority=5).delay("high 1"),
        note.delay("low 2"),
        note.options(priority=5).delay("high 2"),
    ]
    async with queue.worker(concurrency=1):
        for result in results:
            await result.aget(5)

    assert order == ["high 1", "high 2", "low 1", "low 2"]


async def test_a_worker_never_claims_more_than_its_free_slots(queue: Queue) -> None:
    go = asyncio.Event()

    @queue.task
    async def wait() -> None:
        await go.wait()

    results = [wait.delay() for _ in range(5)]
    with heard("job.start", times=2) as started:
        async with queue.worker(concurrency=2):
            await started.wait()
            states = [result.state for result in results]
            go.set()
            for result in results:
                await result.aget(5)

    assert states.count("STARTED") == 2 and states.count("PENDING") == 3


async def test_a_plain_failing_task_runs_once_and_stays_listed_with_its_traceback(
    queue: Queue,
) -> None:
    @queue.task(bind=True)
    def bad(self: Any) -> None:
        raise ValueError("no such user")

    async with queue.worker():
        result = await bad.adelay()
        with pytest.raises(JobFailed, match="ValueError: no such user") as caught:
            await result.aget(5)

    assert (caught.value.state, result.state, result.phase) == ("FAILURE", "FAILURE", "failed")
    assert result.traceback is not None and "raise ValueError" in result.traceback
    assert result.row is not None and result.row["attempt"] == 1


async def test_a_failing_task_is_retried_with_backoff_until_it_succeeds(queue: Queue) -> None:
    attempts: list[tuple[int, int]] = []

    @queue.task(max_retries=3, retry_backoff=0.001, bind=True)
    async def flaky(self: Any) -> str:
        attempts.append((self.attempt, self.retries))
        if self.attempt < 3:
            raise OSError("not yet")
        return "done"

    async with queue.worker():
        value = await (await flaky.adelay()).aget(5)

    assert (value, attempts) == ("done", [(1, 0), (2, 1), (3, 2)])


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Closes:
    def close(self) -> None:
        raise AssertionError("it is the task's own to close")


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (Unspeakable(), "Unspeakable: its __str__ raised RuntimeError('no words')"),
        (asyncio.CancelledError(), "CancelledError: "),
        (GeneratorExit(), "GeneratorExit: "),
        (Closes(), "TypeError: the result of end: Closes is not JSON"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
async def test_however_a_def_task_ends_its_slot_is_free_again(
    ending: Any, error: str, queue: Queue
) -> None:
    @queue.task
    def end() -> Any:
        if isinstance(ending, BaseException):
            raise ending
        return ending

    @queue.task
    def after() -> str:
        return "done"

    async with queue.worker(concurrency=1):
        first = await end.adelay()
        assert await (await after.adelay()).aget(5) == "done"

    assert first.state == "FAILURE" and first.row["error"] == error


def test_a_countdown_of_a_retry_is_seconds() -> None:
    with pytest.raises(TypeError, match="a countdown is seconds, not"):
        Retry(countdown=timedelta(seconds=1))  # type: ignore[arg-type]


async def test_a_failure_that_a_person_retries_is_remembered(queue: Queue) -> None:
    is_mended = False

    @queue.task(bind=True)
    async def send(job: Job) -> int:
        if not is_mended:
            raise ValueError("no")
        return job.attempt

    result = await send.adelay()
    async with queue.worker():
        with pytest.raises(JobFailed):
            await result.aget(5)
        is_mended = True
        await queue.writer.arun(store.retry, [result.id], wakes=True)
        assert await result.aget(5) == 2

    row = queue.writer.read(store.find, result.id)
    attempt, started_at, ended_at, error, trace = json.loads(row["past"])
    assert (attempt, error, row["error"]) == (1, "ValueError: no", None)
    assert started_at <= ended_at <= row["started_at"]
    assert trace.endswith("ValueError: no\n")


async def test_retry_with_a_countdown_waits_in_the_file_as_retry(queue: Queue) -> None:
    @queue.task(max_retries=1)
    async def again() -> None:
        raise Retry(countdown=3600)

    with heard("job.settled") as settled:
        async with queue.worker():
            result = await again.adelay()
            await settled.wait()

    assert (result.state, result.phase) == ("RETRY", "pending")
    assert result.row is not None and result.row["due_at"] > time.time() + 3000


def test_backoff_is_exponential_jittered_and_capped() -> None:
    waits = [max(backoff(n, 1.0, 60.0) for _ in range(200)) for n in (0, 3, 10, 10_000)]

    assert waits[0] <= 1.0 < waits[1] <= 8.0 < waits[2] <= 60.0 and waits[3] <= 60.0


async def test_a_job_with_a_countdown_does_not_start_before_its_time(
    queue: Queue,
) -> None:
    @queue.task
    async def note() -> None: ...

    async with queue.worker():
        job = await note.options(countdown=0.05).adelay()
        await job.aget(5)

    row = job.row
    assert row is not None
    assert row["started_at"] >= row["created_at"] + 0.05


async def test_a_wall_clock_moved_by_an_hour_runs_delayed_jobs_early_and_recovers_nobody(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    runs: list[str] = []

    @queue.task
    async def running() -> None:
        runs.append("running")
        begun.set()
        await go.wait()

    @queue.task
    async def delayed() -> None:
        runs.append("delayed")

    clock = time.time
    async with queue.worker() as worker:
        long = await running.adelay()
        soon = await delayed.options(countdown=1800).adelay()
        await begun.wait()
        for shift in (3600, -3600):
            monkeypatch.setattr(time, "time", lambda shift=shift: clock() + shift)
            worker._chores_at = 0.0
            worker._rang.set()
            await (await delayed.adelay()).aget(5)
        await soon.aget(5)
        go.set()
        await long.aget(5)

    assert runs.count("running") == 1 and runs.count("delayed") == 3
    assert long.row is not None and long.row["crashes"] == 0


async def test_an_expired_job_is_revoked_and_never_starts(queue: Queue) -> None:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        runs.append(name)

    old = await note.options(expires=-1.0).adelay("old")
    new = await note.adelay("new")
    async with queue.worker(concurrency=1):
        await new.aget(5)

    assert (runs, old.state, str(old.result)) == (["new"], "REVOKED", "expired")


async def test_a_revoked_job_that_waits_never_runs(queue: Queue) -> None:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        runs.append(name)

    revoked = await note.adelay("revoked")
    asked = revoked.revoke()
    other = await note.adelay("other")
    async with queue.worker():
        await other.aget(5)

    assert (asked, runs, revoked.state) == (True, ["other"], "REVOKED")


async def test_a_revoked_job_that_runs_on_the_loop_is_cancelled(queue: Queue) -> None:
    events: list[str] = []
    started = asyncio.Event()

    @queue.task
    async def slow() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cleaned up")

    async with queue.worker() as worker:
        result = await slow.adelay()
        await started.wait()
        result.revoke()
        worker._chores_at = 0.0  # now, and not within the second
        worker._rang.set()
        with pytest.raises(JobFailed):
            await result.aget(5)

    assert (events, result.state) == (["cleaned up"], "REVOKED")


async def test_a_timeout_cancels_a_task_on_the_loop_and_is_retried_once_its_code_has_ended(
    queue: Queue,
) -> None:
    events: list[str] = []

    @queue.task(timeout=0.01, max_retries=1, retry_backoff=0.001, bind=True)
    async def slow(self: Any) -> str:
        events.append(f"start {self.attempt}")
        if self.attempt == 1:
            try:
                await asyncio.Event().wait()
            finally:
                events.append("end 1")
        return "done"

    async with queue.worker():
        value = await (await slow.adelay()).aget(5)

    assert (value, events) == ("done", ["start 1", "end 1", "start 2"])


async def test_a_thread_that_blocks_beyond_its_timeout_is_reported_and_stays_owned(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    started, go = threading.Event(), threading.Event()

    @queue.task(timeout=0.0)
    def stuck() -> None:
        started.set()
        go.wait()

    async with queue.worker(grace=0.0) as worker:
        result = await stuck.adelay()
        await asyncio.to_thread(started.wait)
        await worker._do_chores()
    async with queue.worker():  # another one must not take it while the thread lives
        owned = result.state
        go.set()
        await result.aget(5)

    assert owned == "STARTED"
    assert "runs longer than 0 s, in a thread that cannot be stopped" in caplog.text
    assert result.row is not None and result.row["attempt"] == 1


async def test_stopping_claims_no_more_waits_for_grace_and_gives_back_what_is_left(
    queue: Queue,
) -> None:
    started = asyncio.Event()

    @queue.task
    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    @queue.task
    async def short() -> None: ...

    async with queue.worker(concurrency=1, grace=0.0):
        left = await endless.adelay()
        waiting = await short.adelay()
        await started.wait()

    assert [result.row["state"] for result in (left, waiting) if result.row] == ["ready"] * 2
    assert left.row is not None and (left.row["attempt"], left.row["crashes"]) == (1, 0)


async def test_a_task_that_calls_sys_exit_fails_and_the_worker_lives(queue: Queue) -> None:
    @queue.task
    async def leave() -> None:
        raise SystemExit(3)

    @queue.task
    def leave_thread() -> None:
        raise SystemExit(4)

    @queue.task
    async def ok() -> str:
        return "alive"

    async with queue.worker():
        gone = [await leave.adelay(), await leave_thread.adelay()]
        for result in gone:
            with pytest.raises(JobFailed, match="SystemExit"):
                await result.aget(5)
        alive = await (await ok.adelay()).aget(5)

    assert alive == "alive"


async def test_a_result_that_is_not_json_is_a_failure_and_the_work_is_not_done_again(
    queue: Queue,
) -> None:
    runs: list[str] = []

    @queue.task(max_retries=5)
    async def strange() -> object:
        runs.append("run")
        return object()

    async with queue.worker():
        result = await strange.adelay()
        with pytest.raises(JobFailed, match="the result of strange: object is not JSON"):
            await result.aget(5)

    assert runs == ["run"]


async def test_an_exception_with_any_text_can_be_recorded(queue: Queue) -> None:
    @queue.task
    async def bad() -> None:
        raise ValueError("\ud800 \x00 " + "x" * 1_000_000)

    async with queue.worker():
        result = await bad.adelay()
        with pytest.raises(JobFailed, match="ValueError"):
            await result.aget(5)

    assert result.traceback is not None and len(result.traceback) < 100_000


async def test_an_unknown_task_is_put_back_and_fails_after_an_hour(
    file: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = Queue("mail", f"sqlite:///{file}")
    result = newer.task(lambda: None).options(task_id="x").delay()
    queue.task(name="send")(lambda: None)
    queue.task(name="resize")(lambda: None)

    with heard("job.settled") as settled:
        async with queue.worker():
            await settled.wait()
    row = result.row
    assert row is not None
    job = Job("x", "mail", "<lambda>", "", "ready", 0, 0.0, unknown_at=row["unknown_at"] - 3600)
    outcome = jobs.unknown(job, queue.tasks)

    assert (row["state"], row["attempt"]) == ("scheduled", 0)
    assert 25 < row["due_at"] - time.time() <= 30
    assert (outcome.state, outcome.error) == (
        "failure",
        "no task named '<lambda>' here; known: resize, send",
    )


async def test_arguments_of_another_code_version_are_a_failure_that_names_the_function(
    file: Path, queue: Queue
) -> None:
    newer = Queue("mail", f"sqlite:///{file}")

    @newer.task(name="send")
    def new_send(to: str, copy: str) -> None: ...

    @queue.task
    def send(to: str) -> None: ...

    async with queue.worker():
        result = await new_send.adelay("a", "b")
        with pytest.raises(JobFailed, match=r"TypeError: send\(to: str\).*: too many"):
            await result.aget(5)


async def test_a_paused_queue_is_not_claimed_from_until_it_is_resumed(queue: Queue) -> None:
    @queue.task
    async def ok() -> str:
        return "ran"

    queue.writer.run(store.pause, "mail")
    result = await ok.adelay()
    nothing = claim(queue)
    async with queue.worker():
        queue.writer.run(store.resume, "mail", wakes=True)
        value = await result.aget(5)

    assert (nothing, value) == ([], "ran")


async def test_settled_rows_are_pruned_after_their_ttl(file: Path) -> None:
    queue = Queue("mail", f"sqlite:///{file}", result_ttl=-1.0)

    @queue.task
    async def ok() -> None: ...

    @queue.task
    async def bad() -> None:
        raise ValueError

    with heard("job.settled", times=2) as settled:
        async with queue.worker() as worker:
            fine, failed = await ok.adelay(), await bad.adelay()
            await settled.wait()
            worker._delete_at = 0.0
            await worker._do_chores()

    assert (fine.exists(), failed.state) == (False, "FAILURE")  # the dead stay listed for longer
    queue.close()


def test_settling_is_fenced_by_owner_and_attempt(queue: Queue) -> None:
    @queue.task
    def ok() -> None: ...

    result = ok.delay()
    (job,) = claim(queue, "first")
    stranger, before = replace(job, owner="second"), replace(job, attempt=0)

    written = [
        queue.writer.run(store.settle, one, Outcome("success", "1"), 0.0)
        for one in (stranger, before, job, job)
    ]

    assert (written, result.state) == ([False, False, True, False], "SUCCESS")


def test_two_workers_never_claim_one_job(queue: Queue) -> None:
    @queue.task
    def ok() -> None: ...

    for _ in range(6):
        ok.delay()

    taken = [claim(queue, owner, 4) for owner in ("a", "b", "c")]

    assert [len(found) for found in taken] == [4, 2, 0]
    assert len({job.id for found in taken for job in found}) == 6


async def test_a_transaction_in_a_task_settles_the_job_with_its_effects(queue: Queue) -> None:
    with queue.transaction() as connection:
        connection.execute("create table account (balance integer)")
        connection.execute("insert into account values (0)")
    seen: list[str] = []

    @queue.task(bind=True)
    def pay(self: Any, amount: int) -> None:
        with queue.transaction() as connection:
            connection.execute("update account set balance = balance + ?", (amount,))
        seen.append(queue.AsyncResult(self.id).state)
        raise RuntimeError("too late to undo")

    async with queue.worker():
        result = await pay.adelay(10)
        await result.aget(5)
        follows = await (await pay.adelay(5)).aget(5)

    balance = queue.writer.read(lambda db: db.execute("select balance from account").fetchone()[0])
    assert (seen, result.state, follows, balance) == (["SUCCESS"] * 2, "SUCCESS", None, 15)


async def test_a_transaction_of_an_attempt_that_is_no_longer_ours_is_undone(queue: Queue) -> None:
    with queue.transaction() as connection:
        connection.execute("create table account (balance integer)")

    @queue.task
    def pay() -> None:
        queue.writer.run(lambda db: db.execute("update miniasgi_job set attempt = 9"))
        with queue.transaction() as connection:
            connection.execute("insert into account values (1)")

    with heard("job.settled") as settled:
        async with queue.worker():
            await pay.adelay()
            await settled.wait()

    count = queue.writer.read(lambda db: db.execute("select count(*) from account").fetchone()[0])
    assert count == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
async def test_a_fork_in_a_task_leaves_the_job_to_the_parent(queue: Queue) -> None:
    @queue.task
    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            return 0  # the child comes back out of the task: it must not settle the job
        return os.waitpid(pid, 0)[1]

    async with queue.worker():
        result = await fork.adelay()
        status = await result.aget(10)

    assert status == 0
    assert result.row is not None and result.row["attempt"] == 1


async def test_a_task_that_returns_a_coroutine_by_mistake_fails_and_does_not_warn(
    queue: Queue,
) -> None:
    async def inner() -> None: ...

    @queue.task
    def outer() -> Any:
        return inner()

    async with queue.worker():
        result = await outer.adelay()
        with pytest.raises(JobFailed, match="coroutine is not JSON"):
            await result.aget(5)


def test_a_job_whose_loop_ends_is_given_back_by_whoever_runs_it(queue: Queue) -> None:
    """So ends a server that is told to stop twice: it cancels whatever is on its loop."""

    @queue.task
    async def stay() -> None:
        await asyncio.Event().wait()

    async def serve() -> None:
        async with queue.worker():
            await asyncio.Event().wait()

    async def main() -> str:
        with heard("job.start") as begun:
            serving.append(asyncio.create_task(serve()))
            result = await stay.adelay()
            await begun.wait()
        return result.id

    serving: list[asyncio.Task[None]] = []
    row = queue.AsyncResult(asyncio.run(main())).row

    assert row is not None
    assert (row["state"], row["owner"], row["error"]) == (
        "ready",
        None,
        "given back: its loop ended",
    )


async def test_a_revoked_jobs_clearing_up_is_not_cancelled_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    clearing, go_on = asyncio.Event(), asyncio.Event()

    @queue.task
    async def stay() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            clearing.set()
            await go_on.wait()
            events.append("cleared up")

    with heard("job.start") as begun:
        async with queue.worker() as worker:
            result = await stay.adelay()
            await begun.wait()
            result.revoke()
            await clearing.wait()
            await worker._do_chores()  # a second later it looks again
            go_on.set()
            with pytest.raises(JobFailed, match="revoked while it ran"):
                await result.aget(5)

    assert events == ["cleared up"]


async def test_a_job_for_which_there_is_no_thread_waits_for_another_time(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    @queue.task
    def work() -> str:
        return "done"

    start = threading.Thread.start
    refused: list[str] = []

    def refuse_once(thread: threading.Thread) -> None:
        if "_work_in_thread" in repr(thread._target) and not refused:  # type: ignore[attr-defined]
            refused.append("refused")
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    async with queue.worker():
        result = await work.adelay()

        assert await result.aget(10) == "done"

    assert refused == ["refused"]
    assert result.row is not None and result.row["attempt"] == 1


async def test_a_worker_that_leaves_a_thread_behind_says_that_nothing_crashed(
    queue: Queue,
) -> None:
    go_on = threading.Event()

    @queue.task
    def work() -> None:
        assert go_on.wait(20)

    with heard("job.start") as begun, heard("job.settled") as settled:
        async with queue.worker(grace=0.0):
            result = await work.adelay()
            await begun.wait()
    crashes = queue.writer.read(store.find, result.id)["crashes"]  # type: ignore[index]
    queue.writer.run(store.recover, "mail", lambda owner: False, 1, time.time())
    state = result.state
    go_on.set()
    await settled.wait()  # or the thread would tell a loop that is closed

    assert (crashes, state) == (-1, "PENDING")


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_countdown_of_a_retry_has_an_end(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Retry(countdown=seconds)


async def test_what_is_to_start_later_does_so_though_its_process_died(queue: Queue) -> None:
    @queue.task
    async def remind() -> None: ...

    promise = await remind.options(countdown=3600.0).accept()
    queue.writer.run(store.recover, "mail", lambda owner: False, 5, time.time())
    row = promise.result.row

    assert row is not None
    assert (row["state"], row["crashes"]) == ("scheduled", 1)
    assert row["due_at"] > time.time() + 3500.0


async def test_a_queue_that_is_closed_keeps_the_promises_of_another_on_its_file(
    queue: Queue, file: Path
) -> None:
    other = Queue("other", f"sqlite:///{file}")

    @queue.task
    async def work() -> None: ...

    promise = await work.accept()
    other.close()
    found = queue.writer.run(
        store.recover, "mail", partial(is_alive, queue.writer.directory), 5, time.time()
    )

    assert (found, promise.result.row["state"]) == (0, "held")  # type: ignore[index]


def test_who_reads_waits_for_a_transaction_that_reads_too(queue: Queue) -> None:
    """Two locks, taken in one order: else each would wait for the other."""
    task = queue.task(name="work")(lambda: None)
    states: list[str] = []
    inside, asked = threading.Event(), threading.Event()

    def look() -> None:
        assert inside.wait(20)
        asked.set()
        states.append(queue.AsyncResult("nobody").state)

    looking = threading.Thread(target=look)
    looking.start()
    with queue.transaction():
        inside.set()
        assert asked.wait(20)
        states.append(task.delay().state)
    looking.join(20)

    assert sorted(states) == ["UNKNOWN", "UNKNOWN"]


def test_a_queue_that_is_closed_has_no_file_open(queue: Queue) -> None:
    def open_files() -> int:
        return len(os.listdir("/dev/fd"))

    before = open_files()
    queue.task(name="work")(lambda: None).delay()
    queue.close()

    assert open_files() == before
