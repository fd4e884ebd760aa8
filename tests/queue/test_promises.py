"""Promise, send, then run: what a response promises is kept, and never early."""

import asyncio
import gc
import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks as FastAPIBackgroundTasks
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask as StarletteBackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from miniasgi.background import BackgroundTasks
from miniasgi.events import listening
from miniasgi.queue import JobFailed, Queue, QueueUnavailable, store
from miniasgi.queue.owners import is_alive
from tests.queue.processes import Process, worker

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


async def respond(background: BackgroundTasks, events: list[str]) -> None:
    """What `Response.__call__` does, in its order."""
    await background.accept()
    events.append("response.start")
    events.append("response.body")
    await background()


@both
async def test_accept_commits_before_the_start_and_the_task_runs_after_the_body(
    queue: Queue,
) -> None:
    events: list[str] = []

    @queue.task
    async def send_email(to: str) -> None:
        events.append(f"effect {to}")

    background = BackgroundTasks()
    background.add_task(send_email, "ada")

    with listening(lambda kind, name: events.append(kind)):
        await respond(background, events)

    assert events == [
        "job.accepted",
        "response.start",
        "response.body",
        "job.start",
        "effect ada",
        "job.end",
        "job.settled",
    ]


@both
async def test_a_def_task_runs_in_a_thread_in_the_same_order(queue: Queue) -> None:
    events: list[str] = []

    @queue.task
    def send_email(to: str) -> None:
        events.append(f"effect {to}")

    background = BackgroundTasks()
    result = background.add_task(send_email, "ada")

    await respond(background, events)

    assert events == ["response.start", "response.body", "effect ada"]
    assert result.state == "SUCCESS"


async def test_a_worker_in_this_process_gets_the_job_and_the_call_returns_at_once(
    queue: Queue,
) -> None:
    events: list[str] = []
    go = asyncio.Event()

    @queue.task
    async def slow() -> None:
        await go.wait()
        events.append("effect")

    background = BackgroundTasks()
    result = background.add_task(slow)
    async with queue.worker():
        with listening(lambda kind, name: events.append(kind)):
            await respond(background, events)
        events.append("returned")
        go.set()
        await result.aget(5)

    assert events == [
        "job.accepted",
        "response.start",
        "response.body",
        "job.released",
        "returned",
        "job.start",
        "effect",
        "job.end",
        "job.settled",
    ]


async def test_a_job_that_finds_no_free_slot_waits_in_the_file_and_not_in_memory(
    queue: Queue,
) -> None:
    go = asyncio.Event()

    @queue.task
    async def slow() -> None:
        await go.wait()

    async with queue.worker(concurrency=1):
        first, second = BackgroundTasks(), BackgroundTasks()
        results = [first.add_task(slow), second.add_task(slow)]
        await respond(first, [])
        await respond(second, [])
        states = [result.row["state"] for result in results if result.row is not None]
        go.set()
        for result in results:
            await result.aget(5)

    assert states in (["held", "ready"], ["held", "held"])  # the release is posted, not awaited


async def test_the_state_is_unknown_before_accept_and_pending_after(queue: Queue) -> None:
    @queue.task
    async def send_email() -> None: ...

    background = BackgroundTasks()
    result = background.add_task(send_email)
    before = result.state
    await background.accept()

    assert (before, result.state, result.phase) == ("UNKNOWN", "PENDING", "pending")


async def test_no_worker_takes_a_promised_job_before_the_last_byte(queue: Queue) -> None:
    @queue.task
    async def send_email() -> None: ...

    background = BackgroundTasks()
    background.add_task(send_email)
    await background.accept()

    def claim(db: sqlite3.Connection) -> list[store.Job]:
        alive = partial(is_alive, queue.writer.directory)
        store.recover(db, "mail", alive, 5, 0.0)
        return store.claim(db, "mail", "a worker", 1, 0.0)

    assert queue.writer.run(claim) == []
    await background.abandon(OSError("the test is over"))


async def test_a_job_is_settled_in_two_commits_and_not_three(queue: Queue) -> None:
    @queue.task
    async def send_email() -> None: ...

    await send_email.adelay()  # opens the file
    changes = queue.writer.read(lambda db: db.execute("pragma data_version").fetchone()[0])
    background = BackgroundTasks()
    background.add_task(send_email)
    await respond(background, [])
    assert queue.writer.file._db is not None
    total = queue.writer.file._db.total_changes

    schema = len(store.MIGRATIONS)  # a row for each version
    assert changes and total == schema + 1 + 2  # the first job, accept and settle


async def test_several_tasks_of_one_response_are_one_commit_all_or_none(queue: Queue) -> None:
    @queue.task
    async def pay(n: int) -> None: ...

    await pay.options(task_id="taken").adelay(1)
    background = BackgroundTasks()
    fine = background.add_task(pay, 2)
    background.add_task(pay.options(task_id="taken"), 3)

    with pytest.raises(ValueError, match="'taken' is taken by pay"):
        await background.accept()

    assert fine.exists() is False


async def test_accept_on_two_files_is_undone_on_the_first_when_the_second_fails(
    queue: Queue, tmp_path: Path
) -> None:
    (tmp_path / "bad.db").write_bytes(b"not a database, and long enough to be read as one" * 50)
    other = Queue("other", f"sqlite:///{tmp_path}/bad.db")

    @queue.task
    async def here() -> None: ...

    @other.task
    async def there() -> None: ...

    background = BackgroundTasks()
    result = background.add_task(here)
    background.add_task(there)

    with pytest.raises(QueueUnavailable, match=r"bad\.db cannot be used: file is not a database"):
        await background.accept()
    await here.adelay()  # behind the withdrawal

    assert result.exists() is False


async def test_if_accept_fails_the_client_gets_an_error_and_never_a_2xx(tmp_path: Path) -> None:
    queue = Queue("mail", f"sqlite:///{tmp_path}/no/such/folder/jobs.db")

    @queue.task
    async def send_email() -> None: ...

    background = BackgroundTasks()
    background.add_task(send_email)
    events: list[str] = []

    with pytest.raises(QueueUnavailable) as caught:
        await respond(background, events)

    assert (events, caught.value.status_code) == ([], 503)


async def test_a_response_that_failed_releases_its_promise_to_any_worker(queue: Queue) -> None:
    @queue.task
    async def send_email() -> str:
        return "sent"

    background = BackgroundTasks()
    result = background.add_task(send_email)
    await background.accept()

    await background.abandon(OSError("the client left"))

    async with queue.worker():
        assert await result.aget(5) == "sent"


async def test_a_promise_that_nobody_runs_is_released_when_its_handle_goes_away(
    queue: Queue,
) -> None:
    @queue.task
    async def send_email() -> str:
        return "sent"

    promise = await send_email.accept()
    result = promise.result

    del promise
    gc.collect()

    async with queue.worker():
        assert await result.aget(5) == "sent"


async def test_a_promise_is_released_after_hold_seconds_at_the_latest(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue("mail", f"sqlite:///{file}", hold=-1.0)
    runs: list[str] = []

    @queue.task
    async def send_email() -> None:
        runs.append("run")

    promise = await send_email.accept()
    promise.tick()
    async with queue.worker():
        await promise.result.aget(5)
    await promise()  # the response ends at last, and finds the job gone

    assert runs == ["run"]
    assert "was held for -1 s" in caplog.text
    queue.close()


async def test_a_second_accept_of_one_task_id_is_one_job_and_its_background_does_nothing(
    queue: Queue,
) -> None:
    runs: list[str] = []

    @queue.task
    async def welcome(n: int) -> None:
        runs.append("run")

    first = await welcome.options(task_id="welcome-42").accept(42)
    second = await welcome.options(task_id="welcome-42").accept(42)
    await second()
    await first()

    assert (runs, first.result.id, second.result.state) == (["run"], "welcome-42", "SUCCESS")


async def test_an_accept_that_fails_leaves_an_earlier_promise_of_the_same_task_id_alone(
    queue: Queue,
) -> None:
    @queue.task
    async def welcome(n: int) -> str:
        return "welcome"

    keyed = welcome.options(task_id="welcome-42")
    first = await keyed.accept(42)
    background = BackgroundTasks()
    background.add_task(keyed, 42)
    background.add_task(keyed, 43)

    with pytest.raises(ValueError, match="is taken by welcome"):
        await background.accept()
    await first()

    assert first.result.state == "SUCCESS"


async def test_a_failing_durable_task_is_recorded_and_does_not_reach_the_response(
    queue: Queue,
) -> None:
    @queue.task
    async def bad() -> None:
        raise ValueError("no such user")

    background = BackgroundTasks()
    result = background.add_task(bad)

    await respond(background, [])

    assert (result.state, str(result.result)) == ("FAILURE", "ValueError: no such user")


async def test_a_cancelled_run_is_given_back_and_then_raised_on(queue: Queue) -> None:
    started = asyncio.Event()
    attempts: list[int] = []

    @queue.task(bind=True)
    async def slow(self: Any) -> None:
        attempts.append(self.attempt)
        started.set()
        if self.attempt == 1:
            await asyncio.Event().wait()

    background = BackgroundTasks()
    result = background.add_task(slow)
    running = asyncio.ensure_future(respond(background, []))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with queue.worker():
        await result.aget(5)

    assert attempts == [1, 2]


async def test_a_scheduled_promise_waits_in_the_file_after_the_response(queue: Queue) -> None:
    @queue.task
    async def later() -> None: ...

    background = BackgroundTasks()
    result = background.add_task(later.options(countdown=3600))
    await respond(background, [])
    await later.adelay()  # behind the release

    assert result.row is not None
    assert (result.row["state"], result.row["attempt"]) == ("scheduled", 0)


async def test_a_long_run_in_place_says_started(queue: Queue) -> None:
    seen: list[str] = []

    @queue.task(bind=True)
    async def slow(self: Any) -> None:
        self.started_at -= 2  # as if two seconds had passed
        promise.tick()
        await slow.options(countdown=3600).adelay()  # behind the mark
        seen.append(promise.result.state)

    promise = await slow.accept()
    await promise()

    assert seen == ["STARTED"]


def starlette_app(queue: Queue, events: list[str]) -> Starlette:
    @queue.task
    async def send_email(to: str) -> None:
        events.append(f"effect {to}")

    async def signup(request: Request) -> JSONResponse:
        job = await send_email.accept("ada")
        task = StarletteBackgroundTask(job)
        return JSONResponse({"id": job.result.id}, 202, background=task)

    return Starlette(routes=[Route("/", signup, methods=["POST"])])


def fastapi_app(queue: Queue, events: list[str]) -> FastAPI:
    @queue.task
    async def send_email(to: str) -> None:
        events.append(f"effect {to}")

    app = FastAPI()

    @app.post("/", status_code=202)
    async def signup(background: FastAPIBackgroundTasks) -> dict[str, str]:
        job = await send_email.accept("ada")
        background.add_task(job)
        return {"id": job.result.id}

    return app


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
async def test_an_accepted_job_is_a_background_task_of_real_starlette_and_fastapi(
    queue: Queue, make: Any
) -> None:
    events: list[str] = []
    app = make(queue, events)

    async def recorded(scope: Any, receive: Any, send: Any) -> None:
        async def telling(message: Any) -> None:
            events.append(message["type"])
            await send(message)

        await app(scope, receive, telling)

    transport = httpx.ASGITransport(recorded)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        reply = await client.post("/")

    assert events == ["http.response.start", "http.response.body", "effect ada"]
    assert queue.AsyncResult(reply.json()["id"]).state == "SUCCESS"


async def test_lifespan_runs_a_worker_for_starlette_and_fastapi(queue: Queue) -> None:
    @queue.task
    async def double(n: int) -> int:
        return 2 * n

    app = FastAPI(lifespan=queue.lifespan)
    async with app.router.lifespan_context(app):
        result = await double.adelay(21)
        value = await result.aget(5)

    assert value == 42


def test_a_process_that_ends_with_a_promise_in_hand_ends_and_leaves_it_to_others(
    tmp_path: Path,
) -> None:
    code = """
        import anyio
        from miniasgi.queue import Queue
        queue = Queue("mail", "sqlite:///jobs.db")
        quick = queue.task(name="quick")(lambda n: None)
        promise = anyio.run(quick.accept, 7)
    """
    with Process(code, tmp_path) as server:
        code_of_exit = server.wait()

    with worker(tmp_path) as other:
        done = other.line()

    assert (code_of_exit, done) == (0, "did 7")


async def test_a_promise_that_is_revoked_before_the_last_byte_does_not_run(queue: Queue) -> None:
    runs: list[int] = []

    @queue.task
    async def note() -> None:
        runs.append(1)

    async with queue.worker():
        promise = await note.accept()
        assert promise.result.revoke()
        await promise()
        with pytest.raises(JobFailed, match="revoked"):
            await promise.result.aget(5)

    assert (runs, promise.result.state) == ([], "REVOKED")


async def test_a_promise_that_runs_in_a_worker_is_cancelled_when_it_is_revoked(
    queue: Queue,
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @queue.task
    async def stay() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with queue.worker():
        promise = await stay.accept()
        await promise()
        await begun.wait()
        assert promise.result.revoke()
        await ended.wait()

    assert promise.result.state == "REVOKED"


async def test_a_promise_whose_code_cancels_itself_is_a_failure_and_the_next_one_runs(
    queue: Queue,
) -> None:
    @queue.task
    async def cancels_itself() -> None:
        other = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        other.cancel()
        await other

    @queue.task
    async def next_one() -> str:
        return "ran"

    background = BackgroundTasks()
    results = [background.add_task(cancels_itself), background.add_task(next_one)]
    await respond(background, [])

    assert [(one.state, one.row["error"]) for one in results] == [
        ("FAILURE", "CancelledError: "),
        ("SUCCESS", None),
    ]


async def test_a_child_of_a_fork_does_not_let_go_what_its_parent_has_promised(
    queue: Queue,
) -> None:
    @queue.task
    async def note() -> None: ...

    promise = await note.accept()
    if (child := os.fork()) == 0:
        os._exit(promise.take())

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    await promise()
    assert (promise.result.state, promise.result.row["attempt"]) == ("SUCCESS", 1)


async def test_a_transaction_after_a_promise_or_on_another_file_settles_nothing(
    queue: Queue, tmp_path: Path
) -> None:
    other = Queue("other", f"sqlite:///{tmp_path}/other.db")

    def write(db: sqlite3.Connection) -> None:
        db.execute("create table if not exists mine (n integer)")
        db.execute("insert into mine values (1)")

    @queue.task
    async def elsewhere() -> str:
        with other.transaction() as db:
            write(db)
        return "written"

    @queue.task
    async def nothing() -> None: ...

    def after() -> None:
        with queue.transaction() as db:
            write(db)

    background = BackgroundTasks()
    written = background.add_task(elsewhere)
    background.add_task(nothing)
    background.add_task(after)
    await respond(background, [])

    assert (written.state, written.result) == ("SUCCESS", "written")
    for file in (queue, other):
        assert file.writer.read(lambda db: db.execute("select n from mine").fetchone()[0]) == 1
    other.close()


async def test_kill_minus_9_between_answer_and_work_loses_nothing(tmp_path: Path) -> None:
    code = """
        import asyncio
        from miniasgi.queue import Queue
        queue = Queue("mail", "sqlite:///jobs.db")

        @queue.task
        def quick(n): ...

        async def main():
            job = await quick.accept(7)
            print(job.result.id, flush=True)     # the answer
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    with Process(code, tmp_path) as server:
        server.line()
        server.kill()

    with worker(tmp_path) as other:
        done = other.line()

    assert done == "did 7"
    with sqlite3.connect(tmp_path / "jobs.db") as db:
        assert db.execute("select count(*) from miniasgi_job").fetchone() == (1,)
    db.close()
