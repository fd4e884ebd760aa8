"""What a queue promises whatever its broker. Sentences of this file are claims of both engines."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from miniasgi.background import BackgroundTasks
from miniasgi.queue import JobFailed, Queue, Retry
from tests.queue.conformance.conftest import Working

pytestmark = pytest.mark.anyio
PATIENCE = 20.0


@dataclass
class Mail:
    to: str
    copies: int


async def test_async_and_def_tasks_run_and_return_what_they_return(
    queue: Queue, working: Working
) -> None:
    @queue.task
    async def double(n: int) -> dict[str, int]:
        return {"twice": 2 * n}

    @queue.task
    def triple(n: int) -> int:
        return 3 * n

    first = await double.adelay(2)
    second = triple.delay(2)
    async with working(queue):
        values = [await first.aget(PATIENCE), await second.aget(PATIENCE)]

    assert values == [{"twice": 4}, 6]
    assert (first.state, first.phase, first.result) == ("SUCCESS", "completed", {"twice": 4})


async def test_apply_async_is_celerys_spelling(queue: Queue, working: Working) -> None:
    @queue.task
    async def add(a: int, b: int) -> int:
        return a + b

    first = add.apply_async((1,), {"b": 2}, priority=3)
    second = await add.aapply_async((3, 4), countdown=0.01)
    async with working(queue):
        assert (await first.aget(PATIENCE), await second.aget(PATIENCE)) == (3, 7)


async def test_an_id_that_nobody_was_given_is_unknown_and_one_that_waits_is_pending(
    queue: Queue,
) -> None:
    @queue.task
    async def noop() -> None: ...

    waiting = await noop.adelay()

    assert queue.AsyncResult("nobody").state == "UNKNOWN"
    assert not queue.AsyncResult("nobody").exists()
    assert (waiting.state, waiting.ready(), waiting.result) == ("PENDING", False, None)
    with pytest.raises(LookupError, match="no job 'nobody'"):
        await queue.AsyncResult("nobody").aget(0)


async def test_arguments_come_back_as_they_are_annotated(queue: Queue, working: Working) -> None:
    got: list[Any] = []

    @queue.task
    async def send(mail: Mail, tags: list[str]) -> None:
        got.extend([mail, tags])

    result = await send.adelay(Mail("ada", 2), ["a", "b"])
    async with working(queue):
        await result.aget(PATIENCE)

    assert got == [Mail("ada", 2), ["a", "b"]]


async def test_json_stays_what_it_is_whatever_it_means_to_others(
    queue: Queue, working: Working
) -> None:
    @queue.task
    async def echo(payload: dict[str, str]) -> dict[str, str]:
        return payload

    odd = [
        {"__type__": "product", "__value__": "5"},
        {"__type__": "date", "__value__": "2026-01-01"},
    ]
    async with working(queue):
        back = [await (await echo.adelay(one)).aget(PATIENCE) for one in odd]

    assert back == odd


async def test_what_is_not_json_is_refused_at_the_call(queue: Queue) -> None:
    @queue.task
    async def send(what: object) -> None: ...

    with pytest.raises(TypeError, match="argument 'what' of send"):
        await send.adelay(object())


async def test_a_plain_failing_task_runs_once_and_its_error_is_told(
    queue: Queue, working: Working
) -> None:
    runs: list[int] = []

    @queue.task(bind=True)
    def bad(job: Any) -> None:
        runs.append(job.attempt)
        raise ValueError("no such user")

    result = await bad.adelay()
    async with working(queue):
        with pytest.raises(JobFailed, match="ValueError: no such user"):
            await result.aget(PATIENCE)

    assert (runs, result.state, result.phase) == ([1], "FAILURE", "failed")
    assert result.traceback is not None and 'raise ValueError("no such user")' in result.traceback


async def test_a_failing_task_is_retried_with_backoff_until_it_succeeds(
    queue: Queue, working: Working
) -> None:
    attempts: list[tuple[int, int]] = []

    @queue.task(max_retries=3, retry_backoff=0.001, bind=True)
    async def flaky(job: Any) -> str:
        attempts.append((job.attempt, job.retries))
        if job.attempt == 1:
            raise OSError("not yet")
        if job.attempt == 2:
            raise Retry(countdown=0.01)
        return "done"

    result = await flaky.adelay()
    async with working(queue):
        value = await result.aget(PATIENCE)

    assert (value, attempts) == ("done", [(1, 0), (2, 1), (3, 2)])


async def test_a_task_that_calls_sys_exit_fails_and_the_worker_lives(
    queue: Queue, working: Working
) -> None:
    @queue.task
    def leave() -> None:
        raise SystemExit(3)

    @queue.task
    async def stay() -> str:
        return "alive"

    gone, alive = await leave.adelay(), await stay.adelay()
    async with working(queue):
        with pytest.raises(JobFailed, match="SystemExit: 3"):
            await gone.aget(PATIENCE)
        assert await alive.aget(PATIENCE) == "alive"


async def test_higher_priority_first_and_first_in_first_out_within_one(
    queue: Queue, working: Working
) -> None:
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
    async with working(queue):
        for result in results:
            await result.aget(PATIENCE)

    assert order == ["high 1", "high 2", "low 1", "low 2"]


@pytest.mark.differs("A priority is 0 to 9; another is refused at the call.")
async def test_any_whole_number_is_a_priority(queue: Queue) -> None:
    @queue.task
    async def noop() -> None: ...

    result = await noop.options(priority=1_000).adelay()

    assert result.state == "PENDING"


async def test_a_countdown_is_kept(queue: Queue, working: Working) -> None:
    order: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        order.append(name)

    async with working(queue):
        later = await note.options(countdown=1.0).adelay("later")
        now = await note.adelay("now")
        await later.aget(PATIENCE)
        await now.aget(PATIENCE)

    assert order == ["now", "later"]


@pytest.mark.differs(
    "A countdown and a `timeout` longer than `visibility_timeout` (1 h) together are refused, "
    "and a retry's wait is cut: the broker would hand the job out twice."
)
async def test_a_job_may_be_due_in_a_year(queue: Queue) -> None:
    @queue.task
    async def noop() -> None: ...

    result = await noop.options(countdown=365 * 86_400.0).adelay()

    assert result.state == "PENDING"


async def test_an_expired_job_is_revoked_and_never_starts(queue: Queue, working: Working) -> None:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        runs.append(name)

    old = await note.options(expires=-1.0).adelay("old")
    new = await note.adelay("new")
    async with working(queue):
        await new.aget(PATIENCE)

    assert (runs, old.state, str(old.result)) == (["new"], "REVOKED", "expired")


async def test_a_revoked_job_that_waits_never_runs(queue: Queue, working: Working) -> None:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        runs.append(name)

    revoked = await note.adelay("revoked")
    asked = (revoked.revoke(), revoked.state)
    other = await note.adelay("other")
    async with working(queue):
        await other.aget(PATIENCE)

    assert (asked, runs, revoked.state) == ((True, "REVOKED"), ["other"], "REVOKED")
    assert not other.revoke()


async def test_a_revoked_job_that_runs_on_the_loop_is_cancelled(
    queue: Queue, working: Working
) -> None:
    events: list[str] = []

    @queue.task
    async def slow() -> None:
        events.append("begins")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cleans up")

    result = await slow.adelay()
    async with working(queue):
        while not events:
            await result.arefresh()
        await asyncio.to_thread(result.revoke)
        result._pinned = None
        with pytest.raises(JobFailed, match="revoked"):
            await result.aget(PATIENCE)

    assert (events, result.state) == (["begins", "cleans up"], "REVOKED")


async def test_a_timeout_cancels_a_task_on_the_loop(queue: Queue, working: Working) -> None:
    events: list[str] = []

    @queue.task(timeout=0.05)
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cleans up")

    result = await slow.adelay()
    async with working(queue):
        with pytest.raises(JobFailed, match=r"TimeoutError: ran longer than 0.05 s"):
            await result.aget(PATIENCE)

    assert events == ["cleans up"]


async def test_the_same_task_id_twice_is_one_job_and_other_arguments_are_refused(
    queue: Queue, working: Working
) -> None:
    runs: list[int] = []

    @queue.task
    async def note(n: int) -> None:
        runs.append(n)

    first = await note.options(task_id="welcome:1").adelay(1)
    await note.options(task_id="welcome:1").adelay(1)
    other = await note.adelay(2)
    with pytest.raises(ValueError, match="task_id 'welcome:1' is taken by note"):
        await note.options(task_id="welcome:1").adelay(3)
    async with working(queue):
        await first.aget(PATIENCE)
        await other.aget(PATIENCE)

    assert runs == [1, 2]


async def test_a_background_task_is_promised_before_the_response_and_runs(
    queue: Queue, working: Working
) -> None:
    runs: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        runs.append(name)

    background = BackgroundTasks()
    result = background.add_task(note, "Ada")
    before = result.state
    await background.accept()
    promised = result.state
    async with working(queue):
        await background()
        await result.aget(PATIENCE)

    assert (before, promised, runs) == ("UNKNOWN", "PENDING", ["Ada"])


@pytest.mark.differs(
    "A worker may start a promised job before the last byte: the promise is on the broker. "
    "An outbox keeps the order."
)
async def test_nobody_takes_a_promised_job_before_the_last_byte(
    queue: Queue, working: Working
) -> None:
    order: list[str] = []

    @queue.task
    async def note(name: str) -> None:
        order.append(name)

    promise = await note.accept("promised")
    other = await note.adelay("other")
    async with working(queue):
        await other.aget(PATIENCE)
        order.append("last byte")
        await promise()
        await promise.result.aget(PATIENCE)

    assert order == ["other", "last byte", "promised"]


@pytest.mark.differs("No transaction takes jobs and your own tables together.")
async def test_a_transaction_takes_a_job_with_the_applications_own_rows(queue: Queue) -> None:
    @queue.task
    async def noop() -> None: ...

    with queue.transaction() as db:
        db.execute("create table users (name text)")
        result = noop.delay()

    assert result.state == "PENDING"


@pytest.mark.differs("Workers are processes of their own; a lifespan runs none.")
async def test_a_worker_runs_inside_an_application(queue: Queue) -> None:
    @queue.task
    async def noop() -> str:
        return "done"

    async with queue.worker():
        assert await (await noop.adelay()).aget(PATIENCE) == "done"


async def test_what_has_ended_can_be_forgotten(queue: Queue, working: Working) -> None:
    @queue.task
    async def noop() -> None: ...

    result = await noop.adelay()
    waiting = result.forget()
    async with working(queue):
        await result.aget(PATIENCE)
    ended = result.forget()

    assert (waiting, ended, result.state) == (False, True, "UNKNOWN")
