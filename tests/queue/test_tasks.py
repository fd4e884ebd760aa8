"""What a caller sees: tasks, options, results."""

import asyncio
import inspect
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette._utils import is_async_callable

from miniasgi.queue import JobFailed, Queue
from miniasgi.queue.tasks import new_id
from tests.queue.processes import ROOT

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


async def test_a_task_called_is_the_plain_function(queue: Queue) -> None:
    @queue.task
    def double(n: int) -> int:
        "Twice as much."
        return 2 * n

    @queue.task()
    async def triple(n: int) -> int:
        return 3 * n

    assert (double(1), await triple(1)) == (2, 3)
    assert (double.__name__, inspect.getdoc(double)) == ("double", "Twice as much.")
    assert (is_async_callable(double), is_async_callable(triple)) == (False, True)


def test_two_tasks_of_one_name_are_refused(queue: Queue) -> None:
    queue.task(name="send")(lambda: None)

    with pytest.raises(ValueError, match="has a task named 'send': give this one a name="):
        queue.task(name="send")(lambda: None)


def test_apply_async_is_celerys_spelling(queue: Queue) -> None:
    @queue.task(priority=1)
    def send(to: str, subject: str) -> None: ...

    now = datetime.now(UTC)
    result = send.apply_async(
        ("ada",), {"subject": "hi"}, eta=now + timedelta(hours=1), priority=7, task_id="k"
    )

    assert result.row is not None
    row = dict(result.row)
    assert (row["id"], row["priority"], row["state"]) == ("k", 7, "scheduled")
    assert row["arguments"] == '[["ada"],{"subject":"hi"}]'
    assert abs(row["due_at"] - now.timestamp() - 3600) < 1e-3


async def test_aapply_async_awaits_the_commit(queue: Queue) -> None:
    @queue.task
    def send(to: str) -> None: ...

    result = await send.aapply_async(("ada",), expires=60)

    assert result.row is not None and result.row["expires_at"] > result.row["created_at"]


def test_a_moment_without_a_time_zone_is_refused(queue: Queue) -> None:
    @queue.task
    def send() -> None: ...

    with pytest.raises(ValueError, match="2026-01-01T00:00:00 needs a time zone"):
        send.options(eta=datetime(2026, 1, 1)).delay()


def test_a_misspelt_option_is_refused_and_the_known_ones_are_named(queue: Queue) -> None:
    @queue.task
    def send() -> None: ...

    known = "countdown, eta, expires, priority, task_id"
    with pytest.raises(TypeError, match=f"options knows no 'countdwn'; known: {known}$"):
        send.apply_async(countdwn=3)
    with pytest.raises(TypeError, match="task knows no 'retries'; known: bind, max_retries, name"):
        queue.task(retries=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="'tomorrow' is neither seconds nor a datetime"):
        send.apply_async(eta="tomorrow")


def test_task_id_is_an_idempotency_key(queue: Queue) -> None:
    @queue.task
    def welcome(n: int) -> None: ...

    keyed = welcome.options(task_id="welcome-42")
    ids = [keyed.delay(42).id, keyed.delay(42).id]

    assert ids == ["welcome-42"] * 2
    with pytest.raises(ValueError, match=r"'welcome-42' is taken by welcome\[\[42\],\{\}\]"):
        keyed.delay(43)


def test_ids_are_uuids_of_version_7_ordered_by_time() -> None:
    from uuid import UUID

    ids = [new_id(now) for now in (1.7e9, 1.7e9 + 0.001, 1.8e9)]

    assert ids == sorted(ids) and len(set(ids)) == 3
    assert {UUID(id).version for id in ids} == {7}


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e18])
def test_a_countdown_without_a_date_is_refused(seconds: float, queue: Queue) -> None:
    with pytest.raises(ValueError, match="seconds are no time to wait"):
        queue.task(lambda: None).options(countdown=seconds).delay()


def test_a_task_id_is_text(queue: Queue) -> None:
    with pytest.raises(TypeError, match="task_id 42 is no text"):
        queue.task(lambda: None).options(task_id=42).delay()


def test_no_two_threads_make_the_same_id() -> None:
    with ThreadPoolExecutor(8) as threads:
        parts = threads.map(lambda _: [new_id(0.0) for _ in range(2_000)], range(8))

    assert len({id for part in parts for id in part}) == 16_000


def test_a_forked_child_does_not_make_the_ids_that_its_parent_makes() -> None:
    new_id(0.0)  # there are random bytes left over from it
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, " ".join(new_id(0.0) for _ in range(5)).encode())
        os._exit(0)

    ours = {new_id(0.0) for _ in range(5)}

    os.waitpid(child, 0)
    theirs = set(os.read(read, 1_000).decode().split())
    assert len(theirs) == 5 and not ours & theirs
    os.close(read)
    os.close(write)


def test_an_id_nobody_created_is_unknown_and_not_pending(queue: Queue) -> None:
    result = queue.AsyncResult("nobody")

    assert (result.state, result.phase, result.exists()) == ("UNKNOWN", "unknown", False)
    assert (result.ready(), result.result, result.traceback) == (False, None, None)
    with pytest.raises(LookupError, match="no job 'nobody'"):
        result.get()


def test_a_result_can_be_waited_for_and_a_wait_ends(queue: Queue) -> None:
    @queue.task
    def send() -> None: ...

    result = send.delay()

    with pytest.raises(TimeoutError, match="is PENDING still"):
        result.get(timeout=0.01)
    assert repr(result) == f"AsyncResult({result.id!r})"


@both
async def test_arefresh_keeps_the_row_for_the_properties(queue: Queue) -> None:
    @queue.task
    def send() -> None: ...

    result = await send.adelay()
    await result.arefresh()
    result.revoke()
    kept, after = result.state, (await result.arefresh()).state

    assert (kept, after) == ("PENDING", "REVOKED")


async def test_a_result_of_a_job_that_ended_can_be_forgotten(queue: Queue) -> None:
    @queue.task
    async def send() -> str:
        return "sent"

    async with queue.worker():
        result = await send.adelay()
        value = await result.aget(5)
        successful = result.successful()
        forgotten = result.forget()

    assert (value, successful, forgotten, result.exists()) == ("sent", True, True, False)


@both
async def test_aget_waits_on_both_event_loops(queue: Queue) -> None:
    @queue.task
    async def send() -> None:
        raise ValueError("no")

    promise = await send.accept()
    await promise()

    with pytest.raises(JobFailed, match="ValueError: no"):
        await promise.result.aget(5)


async def test_bind_passes_the_job_first(queue: Queue) -> None:
    @queue.task(bind=True)
    def who(self: Any, n: int) -> list[Any]:
        return [self.id, self.attempt, n]

    async with queue.worker():
        result = await who.adelay(1)
        value = await result.aget(5)

    assert value == [result.id, 1, 1]


def test_the_default_broker_is_the_environments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("MINIASGI_BROKER", f"sqlite:///{tmp_path}/env.db")

    queue = Queue("mail")

    assert queue.writer.path == (tmp_path / "env.db").resolve()
    assert not queue.writer.path.exists()  # nothing touches the disk before the first job


async def test_close_lets_go_and_the_next_use_opens_again(queue: Queue) -> None:
    @queue.task
    async def send() -> None: ...

    first = await send.adelay()
    await asyncio.to_thread(queue.close)
    second = await send.adelay()

    assert first.exists() and second.exists()


def test_on_windows_it_says_that_it_needs_flock() -> None:
    code = "import sys; sys.platform = 'win32'; import miniasgi.queue"

    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    said = run.stderr.splitlines()[-1]
    assert said == "ImportError: miniasgi.queue needs flock(2), which Windows does not have"


def test_a_priority_that_is_no_whole_number_is_refused_by_its_name(queue: Queue) -> None:
    @queue.task
    def send() -> None: ...

    with pytest.raises(TypeError, match="priority 'high' is not a whole number"):
        send.options(priority="high").delay()
