"""The ledger: seventy claims of the tutorial, each with its verdict and what proves it.

Most claims are proved by a scenario of the lab, by a sample (tests/demos/test_chapter.py) or by a
test of miniasgi. The tests below prove the rest directly, on the libraries that the claims are
about; and they hold the ledger itself to its form.
"""

import ast
import asyncio
import gc
import inspect
import os
import pickle
import re
import socket
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.to_thread
import celery
import celery.bin.celery
import fastapi
import httpx
import kombu.transport.redis
import pytest
import starlette.background
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route

from demos.chapter import ledger
from demos.chapter.c3_one_application import send_letter_async
from demos.chapter.c43_a_task_on_record import run_on_record
from demos.chapter.ledger import VERDICTS, claims, claims_in_chinese
from demos.chapter.ledger_page import CHINESE, ENGLISH, Language, page
from demos.scenario import all_names, chapter_names
from miniasgi.events import listening, mark
from miniasgi.testing import Client, Reply
from tests.servers import PATIENCE, uvicorn_process

ROOT = Path(__file__).resolve().parent.parent
COUNTS = {"true": 21, "false": 23, "conditional": 20, "version": 3, "opinion": 3}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The libraries that the claims are about run on asyncio."""
    return "asyncio"


# The ledger's form


def test_there_are_seventy_claims_each_once_with_the_verdicts_that_were_counted() -> None:
    assert [claim.id for claim in claims()] == [f"L{number:02}" for number in range(1, 71)]
    assert Counter(claim.verdict for claim in claims()) == COUNTS
    assert set(COUNTS) == set(VERDICTS)


def test_every_claim_has_a_proof_or_the_reason_why_it_has_none() -> None:
    for claim in claims():
        assert bool(claim.proof) != bool(claim.reason), claim.id
        assert claim.claim.endswith(".") and claim.seen.endswith("."), claim.id


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.id)
def test_the_proof_exists(claim: Any) -> None:
    for proof in claim.proof:
        if "::" not in proof:
            assert proof in {*all_names(), *chapter_names()}
            continue
        file, _, test = proof.partition("::")
        name = test.partition("[")[0]
        tree = ast.parse((ROOT / file).read_text())
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert name in {node.name for node in tree.body if isinstance(node, functions)}


def test_every_test_below_proves_a_claim() -> None:
    proofs = {proof for claim in claims() for proof in claim.proof}
    text = Path(__file__).read_text().partition("# The proofs\n")[2]

    for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE):
        assert f"tests/test_ledger.py::{name}" in proofs


@pytest.mark.parametrize("language", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_the_page_of_the_ledger_is_made_from_it(language: Language) -> None:
    written = (ROOT / language.page).read_text("utf-8")

    assert written == page(language), "run: python -m demos.chapter.ledger_page"


def test_the_chinese_ledger_says_the_same_names_and_numbers() -> None:
    for ours, theirs in zip(claims(), claims_in_chinese(), strict=True):
        for english, chinese in ((ours.claim, theirs.claim), (ours.seen, theirs.seen)):
            assert _names_and_numbers(chinese) == _names_and_numbers(english), ours.id


def _names_and_numbers(text: str) -> list[str]:
    return sorted(re.findall(r"`[^`]+`|\d+(?:[.,]\d+)*", text))


# The proofs


def on_starlette(endpoint: Callable[[Request], Awaitable[Any]]) -> Starlette:
    return Starlette(routes=[Route("/", endpoint)])


async def ask(app: Any, path: str = "/", method: str = "GET", **options: Any) -> Reply:
    """The whole reply, and whatever the application raised after it in ``exception``."""
    async with Client(app, raise_background=False) as client:
        reply = await client.request(method, path, **options)
        await reply.finished()
    return reply


def test_the_samples_need_no_python_newer_than_3_10() -> None:
    def is_enough(version: str) -> bool:
        options = ["--eval-annotations", "--feature", "union-types", f"--target={version}-"]
        samples = [str(path) for path in Path(ledger.__file__).parent.glob("c*.py")]
        command = [Path(sys.executable).with_name("vermin"), "--quiet", *options, *samples]
        return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0

    assert is_enough("3.10") and not is_enough("3.9")


@pytest.mark.anyio
async def test_tasks_that_default_to_none_are_injected_over_http_and_only_there() -> None:
    app = fastapi.FastAPI()

    @app.get("/")
    async def give(tasks: fastapi.BackgroundTasks = None) -> None:
        tasks.add_task(mark, "run")

    assert "run" in (await ask(app)).events
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'add_task'"):
        await give()
    with pytest.raises(fastapi.exceptions.FastAPIError):

        @app.get("/honest")
        async def honest(tasks: fastapi.BackgroundTasks | None = None) -> None: ...


@pytest.mark.anyio
async def test_a_task_that_fails_is_run_once_and_never_again() -> None:
    runs = []

    async def fails() -> None:
        runs.append("run")
        raise OSError

    async def give(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", background=BackgroundTask(fails))

    reply = await ask(on_starlette(give))

    assert isinstance(reply.exception, OSError)
    assert runs == ["run"]


def test_add_task_takes_a_function_and_its_arguments_and_nothing_else() -> None:
    kinds = inspect.signature(BackgroundTasks.add_task).parameters.values()

    assert [str(kind).partition(":")[0] for kind in kinds] == ["self", "func", "*args", "**kwargs"]


def test_a_name_that_says_async_makes_nothing_asynchronous() -> None:
    assert not asyncio.iscoroutinefunction(inspect.unwrap(send_letter_async))


def test_add_task_appends_to_a_list_and_returns_none() -> None:
    tasks = BackgroundTasks()

    returned: Any = tasks.add_task(print, "one")  # type: ignore[func-returns-value]

    assert returned is None
    assert [task.func for task in tasks.tasks] == [print]


@pytest.mark.anyio
async def test_what_a_task_returns_is_dropped() -> None:
    result: Any = await BackgroundTask(lambda: 42)()  # type: ignore[func-returns-value]

    assert result is None


def test_fastapis_background_tasks_are_a_subclass_of_starlettes() -> None:
    mro = fastapi.BackgroundTasks.__mro__

    assert mro[1:3] == (starlette.background.BackgroundTasks, starlette.background.BackgroundTask)


@pytest.mark.anyio
async def test_dependencies_come_before_the_endpoint_and_both_before_the_response() -> None:
    app = fastapi.FastAPI()

    @app.get("/")
    async def give(_: Annotated[None, fastapi.Depends(lambda: mark("dependency"))]) -> None:
        mark("endpoint")

    events = (await ask(app)).events

    assert events[:3] == ["dependency", "endpoint", "response.start"]


@pytest.mark.anyio
async def test_a_lambda_around_a_coroutine_function_never_runs_and_the_client_gets_200() -> None:
    async def mail() -> None:
        mark("mail")

    async def give(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", background=BackgroundTask(lambda: mail()))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reply = await ask(on_starlette(give))
        gc.collect()

    assert reply.status == 200 and "mail" not in reply.events
    assert any("was never awaited" in str(one.message) for one in caught)


@pytest.mark.anyio
async def test_the_background_is_the_last_thing_a_response_does_and_a_bad_range_drops_it() -> None:
    async def give(request: Request) -> Any:
        background = BackgroundTask(mark, "run")
        if "range" in request.headers:
            return FileResponse(__file__, background=background)
        return PlainTextResponse("", background=background)

    reply = await ask(on_starlette(give))
    bad = await ask(on_starlette(give), headers={"range": "bytes=9-1"})

    assert reply.events == ["response.start", "response.body", "run", "app returned"]
    assert bad.status in (400, 416) and "run" not in bad.events


def test_a_dictionary_with_three_dots_in_it_is_no_python() -> None:
    with pytest.raises(SyntaxError):
        compile('await send({"type": "http.response.start", ...})', "sketch", "exec")


@pytest.mark.anyio
async def test_a_background_that_is_called_with_arguments_fails_after_the_200() -> None:
    class Sketch(PlainTextResponse):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            background, self.background = self.background, None
            await super().__call__(scope, receive, send)
            assert background is not None
            await background(scope, receive, send)  # type: ignore[call-arg]

    async def give(request: Request) -> Sketch:
        return Sketch("", background=BackgroundTask(mark, "run"))

    reply = await ask(on_starlette(give))

    assert reply.status == 200 and "run" not in reply.events
    assert isinstance(reply.exception, TypeError)


def test_no_limit_ends_a_task_that_runs_for_a_day_on_a_clock_that_jumps() -> None:
    async def work() -> None:
        await anyio.sleep(86_400)
        mark("a day later")

    async def give(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", background=BackgroundTask(work))

    clock = trio.testing.MockClock(autojump_threshold=0)
    reply = trio.run(ask, on_starlette(give), clock=clock)

    assert reply.events == ["response.start", "response.body", "a day later", "app returned"]


def test_background_tasks_are_a_list_of_one_response_and_no_queue_that_could_be_read() -> None:
    public = [name for name in dir(BackgroundTasks()) if not name.startswith("_")]
    shared = [name for name in vars(starlette.background) if name[0].islower()]

    assert public == ["add_task", "tasks"]
    assert BackgroundTasks().tasks == []
    assert not {type(getattr(starlette.background, name)) for name in shared} & {list, dict, set}


@pytest.mark.anyio
async def test_a_task_runs_in_the_process_that_answers() -> None:
    async def give(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(os.getpid()), background=BackgroundTask(tell_process))

    def tell_process() -> None:
        mark(f"process {os.getpid()}")

    reply = await ask(on_starlette(give))

    assert f"process {reply.text}" in reply.events


def test_parameters_of_a_post_that_are_plain_text_are_in_the_query_string() -> None:
    app = fastapi.FastAPI()

    @app.post("/send")
    async def send(email: str, body: str) -> None: ...

    parameters = app.openapi()["paths"]["/send"]["post"]["parameters"]

    assert [(one["name"], one["in"]) for one in parameters] == [
        ("email", "query"),
        ("body", "query"),
    ]


def test_fastapi_tells_opentelemetry_of_its_background_tasks() -> None:
    package = find_spec("fastapi.telemetry")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("this version has no telemetry")
    [folder] = package.submodule_search_locations
    texts = [path.read_text() for path in Path(folder).rglob("*.py")]

    assert any("background_task" in text for text in texts)


def test_no_python_has_a_coroutine_in_asyncio() -> None:
    with pytest.raises(AttributeError):
        asyncio.Coroutine  # type: ignore[attr-defined]  # noqa: B018


def test_a_task_that_nobody_holds_is_collected_in_the_middle_of_its_work() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()  # which only this task knows
        finally:
            ends.append("closed, unfinished")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        asyncio.create_task(work())  # noqa: RUF006
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())

    assert ends == ["closed, unfinished"]


def test_create_task_fails_in_a_plain_endpoint_which_has_no_loop() -> None:
    async def work() -> None: ...

    def endpoint() -> None:
        coroutine = work()
        try:
            asyncio.create_task(coroutine)  # noqa: RUF006
        finally:
            coroutine.close()

    with pytest.raises(RuntimeError, match="no running event loop"):
        anyio.run(anyio.to_thread.run_sync, endpoint)


def test_a_record_kept_by_except_exception_says_running_for_ever_after_a_cancel() -> None:
    record: list[str] = []

    async def main() -> None:
        task = asyncio.create_task(run_on_record(1, asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with listening(lambda kind, name: record.append(name) if kind == "mark" else None):
        asyncio.run(main())

    assert record == ["record of 1: running"]


def test_a_coroutine_object_runs_once_and_cannot_be_kept() -> None:
    async def work() -> None: ...

    coroutine = work()
    asyncio.run(coroutine)

    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        asyncio.run(coroutine)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(coroutine)


def tracked() -> Any:
    """A task on record, in a file that outlives the process; it runs for as long as that does."""
    app, record = fastapi.FastAPI(), Path(os.environ["LEDGER_RECORD"])

    async def work() -> None:
        with record.open("a") as file:
            file.write("running;")
        await anyio.sleep_forever()

    @app.post("/works")
    async def begin(tasks: fastapi.BackgroundTasks) -> None:
        tasks.add_task(work)

    @app.get("/works")
    async def read() -> str:
        return record.read_text() if record.exists() else "pending"

    return app


def test_after_a_kill_the_record_says_running_and_nothing_resumes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEDGER_RECORD", str(tmp_path / "record"))
    with uvicorn_process("tests.test_ledger:tracked", "h11") as (port, _):  # ends it by SIGKILL
        works = f"http://127.0.0.1:{port}/works"
        httpx.post(works, timeout=PATIENCE)
        while httpx.get(works, timeout=PATIENCE).json() != "running;":
            pass

    with uvicorn_process("tests.test_ledger:tracked", "h11") as (port, _):
        answer = httpx.get(f"http://127.0.0.1:{port}/works", timeout=PATIENCE).json()

    assert answer == "running;"  # once: the second process has not begun it again


@pytest.fixture
def celery_app() -> Any:
    return celery.Celery("tasks", broker="memory://", backend="cache+memory://")


@pytest.mark.filterwarnings("ignore")
def test_without_a_worker_a_job_has_an_id_and_is_pending_and_so_is_an_unknown_id(
    celery_app: Any,
) -> None:
    @celery_app.task  # type: ignore[untyped-decorator]
    def send() -> None: ...

    job = send.delay()

    assert job.id and job.state == "PENDING"
    assert celery_app.AsyncResult("no-such-job").state == "PENDING"


@pytest.mark.filterwarnings("ignore")
def test_while_delay_waits_for_redis_nothing_else_runs_on_the_loop() -> None:
    beats: list[str] = []

    async def another_request() -> None:
        while True:
            beats.append("beat")
            await asyncio.sleep(0)

    async def endpoint(job: Any) -> None:
        other = asyncio.create_task(another_request())
        await asyncio.sleep(0)
        with pytest.raises(celery.exceptions.OperationalError):
            job.apply_async(retry=False)
        other.cancel()

    with socket.create_server(("127.0.0.1", 0)) as silent:  # a Redis that accepts and says nothing
        port = silent.getsockname()[1]
        app = celery.Celery("tasks", broker=f"redis://127.0.0.1:{port}/0", set_as_current=False)
        app.conf.broker_transport_options = {"socket_timeout": 0.2, "max_retries": 0}

        @app.task  # type: ignore[untyped-decorator]
        def send() -> None: ...

        asyncio.run(endpoint(send))

    assert beats == ["beat"]


@pytest.mark.filterwarnings("ignore")
def test_without_a_backend_a_jobs_state_cannot_be_asked_for() -> None:
    app = celery.Celery("tasks", broker="memory://", set_as_current=False)

    with pytest.raises(AttributeError, match="DisabledBackend"):
        _ = app.AsyncResult("any").state


@pytest.mark.filterwarnings("ignore")
def test_a_list_of_words_is_queued_as_well_and_fails_only_in_the_worker(celery_app: Any) -> None:
    celery_app.conf.task_always_eager = True

    @celery_app.task  # type: ignore[untyped-decorator]
    def add_up(numbers: list) -> dict[str, int]:  # type: ignore[type-arg]
        return {"sum": sum(numbers), "count": len(numbers)}

    assert add_up.delay([1, 2, 3]).result == {"sum": 6, "count": 3}
    assert isinstance(add_up.delay(["a", "b"]).result, TypeError)


@pytest.mark.filterwarnings("ignore")
def test_celery_retries_what_asks_for_it_and_nothing_else(celery_app: Any) -> None:
    celery_app.conf.task_always_eager = True
    runs: list[str] = []

    @celery_app.task  # type: ignore[untyped-decorator]
    def plain() -> None:
        runs.append("plain")
        raise OSError

    @celery_app.task(autoretry_for=(OSError,), max_retries=2, retry_backoff=False)  # type: ignore[untyped-decorator]
    def retried() -> None:
        runs.append("retried")
        raise OSError

    plain.delay()
    retried.delay()

    assert Counter(runs) == {"plain": 1, "retried": 3}


def test_the_redis_transport_of_celery_needs_what_only_its_extra_installs() -> None:
    needs = [need for need in requires("kombu") or () if need.startswith("packaging")]

    assert needs and all("extra ==" in need for need in needs)


def test_flower_is_not_a_part_of_celery() -> None:
    commands = celery.bin.celery.celery.commands

    assert "worker" in commands
    assert ("flower" in commands) is (find_spec("flower") is not None)


def test_the_redis_transport_emulates_priorities_with_four_lists_and_zero_is_first() -> None:
    channel: Any = kombu.transport.redis.Channel

    assert list(channel.priority_steps) == [0, 3, 6, 9]
