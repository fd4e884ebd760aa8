"""Tasks by themselves: order, threads, failures, cancels, and what is refused at once."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from miniasgi import BackgroundTask, BackgroundTasks, MiniASGI, PlainTextResponse, Response
from miniasgi.events import listening
from miniasgi.testing import Client
from miniasgi.types import Background
from tests.asgi import PATIENCE, call, http, receiving, sending

pytestmark = pytest.mark.anyio


class Promise:
    """A background that is told everything, as a queue's task is."""

    def __init__(self, order: list[str], name: str = "promise", result: Any = None) -> None:
        self.order, self.name, self.result = order, name, result

    async def accept(self, *others: Background) -> None:
        with_it = [one.name for one in others if isinstance(one, Promise)]
        self.order.append(f"{self.name} accepted" + (f" with {with_it}" if with_it else ""))
        if others:
            await others[0].accept(*others[1:])

    async def __call__(self) -> None:
        self.order.append(f"{self.name} runs")

    async def abandon(self, because: BaseException) -> None:
        self.order.append(f"{self.name} abandoned: {because}")


# One task


async def test_an_async_task_runs_on_the_loop_and_a_plain_one_in_a_thread():
    threads = {}

    async def on_the_loop():
        threads["async"] = threading.current_thread()

    def in_a_thread():
        threads["plain"] = threading.current_thread()

    await BackgroundTask(on_the_loop)()
    await BackgroundTask(in_a_thread)()

    assert threads["async"] is threading.current_thread()
    assert threads["plain"] is not threading.current_thread()


async def test_arguments_are_kept_by_reference():
    users = []

    async def send_email(to, *, subject):
        to.append(subject)

    task = BackgroundTask(send_email, users, subject="hi")
    users.append("Ada")
    await task()

    assert users == ["Ada", "hi"]


class Mailer:
    async def __call__(self):
        pass


def send_email():
    pass


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (send_email, "send_email"),
        (functools.partial(functools.partial(send_email)), "send_email"),
        (Mailer(), "Mailer"),
        (BackgroundTask(send_email), "send_email"),
    ],
    ids=["function", "partial of a partial", "callable object", "task in a task"],
)
def test_a_task_is_named_as_its_function(func, name):
    assert BackgroundTask(func).name == name


# Which callables run: all, or they are refused at once


async def note(order: list[str]) -> None:
    await anyio.lowlevel.checkpoint()
    order.append("ran")


class Notes:
    async def method(self, order: list[str]) -> None:
        await note(order)

    async def __call__(self, order: list[str]) -> None:
        await note(order)


@functools.wraps(note)
def wrapped(order: list[str]) -> Any:
    return note(order)


@pytest.mark.parametrize(
    "func",
    [
        note,
        functools.partial(note),
        Notes().method,
        Notes(),
        lambda order: note(order),
        wrapped,
        lambda order: order.append("ran"),
    ],
    ids=[
        "coroutine function",
        "partial",
        "method",
        "callable object",
        "lambda around a coroutine function",
        "plain wrapper around a coroutine function",
        "plain lambda",
    ],
)
@pytest.mark.parametrize("heard", [False, True], ids=["nobody listens", "somebody listens"])
async def test_lambdas_and_plain_wrappers_around_coroutine_functions_do_run(
    func: Callable[..., Any], heard: bool
):
    """Awaitable results are awaited: nothing that was added silently never runs."""
    order = []
    task = BackgroundTask(func, order)

    if heard:
        with listening(lambda kind, name: None):
            await task()
    else:
        await task()

    assert order == ["ran"]


async def test_a_coroutine_object_is_refused_at_add_task_with_what_to_pass():
    """A coroutine object is refused before the 200, with a sentence that says what to pass."""
    tasks = BackgroundTasks()

    with pytest.raises(TypeError, match=r"note\(\) was called already.*add_task\(note, \.\.\.\)"):
        tasks.add_task(note([]))

    assert tasks.tasks == []


@pytest.mark.parametrize("func", [None, "send_email", 7])
def test_what_cannot_be_called_is_refused_at_add_task(func):
    with pytest.raises(TypeError, match=f"must be callable, not {func!r}"):
        BackgroundTasks().add_task(func)


# Several tasks, and the first that fails


def steps(order: list[str], *, failing: set[str]) -> list[Callable[[], Any]]:
    def step(name: str) -> Callable[[], Any]:
        async def run() -> None:
            order.append(name)
            if name in failing:
                raise ValueError(name)

        run.__name__ = name
        return run

    return [step(name) for name in ("first", "second", "third", "fourth")]


async def test_tasks_run_in_the_order_in_which_they_were_added():
    order = []
    tasks = BackgroundTasks([BackgroundTask(order.append, "given")])
    for step in steps(order, failing=set()):
        tasks.add_task(step)

    await tasks()

    assert order == ["given", "first", "second", "third", "fourth"]


async def test_a_running_task_may_add_another():
    order = []
    tasks = BackgroundTasks()
    tasks.add_task(lambda: tasks.add_task(order.append, "added while running"))

    await tasks()

    assert order == ["added while running"]


async def test_the_first_failure_stops_the_rest_and_the_log_names_what_did_not_run(caplog):
    """The first failure stops the rest, the default; what is dropped is logged by name."""
    order = []
    tasks = BackgroundTasks([BackgroundTask(f) for f in steps(order, failing={"second"})])

    with pytest.raises(ValueError, match="second") as raised:
        await tasks()

    assert order == ["first", "second"]
    assert caplog.messages == [
        "background task 'third' will not run: ValueError('second')",
        "background task 'fourth' will not run: ValueError('second')",
    ]
    assert raised.value.__notes__ == ["in background task 'second'"]


async def test_on_error_continue_runs_all_and_raises_one_group(caplog):
    """A failure need not stop the rest: all run, then one ExceptionGroup."""
    order = []
    failing = {"first", "third"}
    tasks = BackgroundTasks(
        [BackgroundTask(f) for f in steps(order, failing=failing)], on_error="continue"
    )

    with pytest.raises(ExceptionGroup) as raised:
        await tasks()

    assert order == ["first", "second", "third", "fourth"]
    assert [str(exc) for exc in raised.value.exceptions] == ["first", "third"]
    assert [exc.__notes__ for exc in raised.value.exceptions] == [
        ["in background task 'first'"],
        ["in background task 'third'"],
    ]
    assert caplog.messages == []


async def test_on_error_continue_without_a_failure_raises_nothing():
    order = []
    tasks = BackgroundTasks(
        [BackgroundTask(f) for f in steps(order, failing=set())], on_error="continue"
    )

    await tasks()

    assert order == ["first", "second", "third", "fourth"]


def test_another_on_error_is_refused():
    with pytest.raises(ValueError, match="'stop' or 'continue', not 'retry'"):
        BackgroundTasks(on_error="retry")


async def test_a_plain_function_that_raises_stop_iteration_fails_and_does_not_hang():
    def exhausted():
        next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await BackgroundTask(exhausted)()


# A cancel is an outcome


async def test_a_cancelled_task_is_recorded_and_the_cancel_goes_on(caplog):
    """Cancelled is a recorded outcome, then re-raised."""
    told = []
    began = anyio.Event()

    async def wait():
        began.set()
        await anyio.sleep_forever()

    async def run():
        with listening(lambda kind, name: told.append(f"{kind} {name}")):
            try:
                await BackgroundTasks([BackgroundTask(wait), BackgroundTask(send_email)])()
            except anyio.get_cancelled_exc_class():
                told.append("raised on")
                raise

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await began.wait()
        group.cancel_scope.cancel()

    assert told == ["task.start wait", "task.cancelled wait", "raised on"]
    assert caplog.messages[0] == "background task 'wait' was cancelled before its end"
    assert caplog.messages[1].startswith("background task 'send_email' will not run: Cancelled")


async def test_a_cancelled_task_is_in_the_events_of_its_reply():
    async def wait():
        await anyio.sleep_forever()

    app = MiniASGI()

    @app.get("/")
    async def home(request):
        return Response(background=BackgroundTask(wait))

    with anyio.fail_after(PATIENCE), pytest.raises(AssertionError):
        async with Client(app) as client:
            reply = await client.get("/")
            raise AssertionError("left while the task runs")

    assert reply.events == [
        "accept",
        "response.start",
        "response.body",
        "task: wait",
        "task cancelled: wait",
        "app cancelled",
    ]


# Two moments: promised before the first byte, run after the last


async def test_what_is_promised_is_accepted_before_the_first_byte_and_run_after_the_last():
    order = []

    async def effect():
        order.append("effect")

    tasks = BackgroundTasks([Promise(order, "first"), BackgroundTask(effect), Promise(order)])
    await PlainTextResponse("hi", background=tasks)(http(), receiving(), sending(order))

    assert order == [
        "first accepted with ['promise']",
        "promise accepted",
        "start 200",
        "body 'hi'",
        "first runs",
        "effect",
        "promise runs",
    ]


async def test_the_first_that_can_promise_is_asked_for_all_also_in_nested_tasks():
    order = []
    nested = BackgroundTasks([BackgroundTask(send_email), Promise(order, "inner")])

    await BackgroundTasks([BackgroundTask(send_email), nested, Promise(order, "outer")]).accept()

    assert order == ["inner accepted with ['outer']", "outer accepted"]


async def test_a_promise_that_cannot_be_given_sends_nothing_and_runs_nothing():
    order = []

    class Full(Promise):
        async def accept(self, *others: Background) -> None:
            raise OSError("disk full")

    response = Response("202", 202, background=BackgroundTasks([Full(order)]))
    with pytest.raises(OSError, match="disk full"):
        await response(http(), receiving(), sending(order))

    assert order == []


async def test_a_response_that_cannot_be_sent_abandons_what_it_accepted():
    order = []

    async def send(message):
        raise RuntimeError("not a status")

    tasks = BackgroundTasks([Promise(order)])
    with pytest.raises(RuntimeError, match="not a status"):
        await Response("hi", background=tasks)(http(), receiving(), send)

    assert order == ["promise accepted", "promise abandoned: not a status"]


async def test_what_was_never_promised_is_named_when_it_is_dropped(caplog):
    order: list[str] = []
    tasks = BackgroundTasks([Promise(order, "send_email")])

    await tasks.abandon(ValueError("the endpoint raised"))

    assert order == ["send_email abandoned: the endpoint raised"]
    assert caplog.messages == [
        "background task 'send_email' will not run: ValueError('the endpoint raised')"
    ]


async def test_after_a_failure_what_was_promised_is_abandoned():
    order = []

    async def fail():
        raise ValueError("no database")

    tasks = BackgroundTasks([BackgroundTask(fail), Promise(order)])
    await tasks.accept()
    with pytest.raises(ValueError):
        await tasks()

    assert order == ["promise accepted", "promise abandoned: no database"]


async def test_add_task_asks_a_queues_task_for_its_background_and_gives_its_result_back():
    order = []

    class QueueTask:
        def __background__(self, *args: Any, **kwargs: Any) -> Promise:
            return Promise(order, f"{args} {kwargs}", result="handle")

    tasks = BackgroundTasks()
    results = [tasks.add_task(QueueTask(), "Ada", subject="hi"), tasks.add_task(send_email)]
    await call(Response(background=tasks))

    assert results == ["handle", None]
    assert order == [
        "('Ada',) {'subject': 'hi'} accepted",
        "('Ada',) {'subject': 'hi'} runs",
    ]


# Threads of their own


async def test_forty_blocked_plain_tasks_do_not_stop_a_plain_endpoint():
    """Background work has its own threads: slow plain tasks do not starve plain endpoints."""
    go_on, begun = threading.Event(), threading.Semaphore(0)
    app = MiniASGI()

    def block():
        begun.release()
        go_on.wait(PATIENCE)

    def wait_for_all_to_begin():
        for _ in range(40):
            begun.acquire(timeout=PATIENCE)

    @app.post("/jobs")
    def create(request):
        return Response(status_code=202, background=BackgroundTask(block))

    @app.get("/")
    def home(request):
        return PlainTextResponse("still here")

    async with Client(app) as client:
        try:
            with anyio.fail_after(PATIENCE):
                jobs = [await client.post("/jobs") for _ in range(40)]
                await anyio.to_thread.run_sync(wait_for_all_to_begin, abandon_on_cancel=True)
                reply = await client.get("/")
            returned = [job for job in jobs if job.events[-1] == "app returned"]
        finally:
            go_on.set()

    assert reply.text == "still here"
    assert returned == []


async def test_the_number_of_background_threads_is_the_applications_to_set():
    """Background work has its own threads, their number settable."""
    go_on, order = threading.Event(), []
    app = MiniASGI(background_threads=1)

    def task(name):
        order.append(f"{name} begins")
        go_on.wait(PATIENCE)
        order.append(f"{name} ends")

    @app.post("/{name}")
    async def create(request):
        return Response(background=BackgroundTask(task, request.path_params["name"]))

    async with Client(app) as client:
        try:
            with anyio.fail_after(PATIENCE):
                await client.post("/first")
                await client.post("/second")
            order.append("both answered")
        finally:
            go_on.set()

    assert sorted(order[:2]) == ["both answered", "first begins"]
    assert order[2:] == ["first ends", "second begins", "second ends"]


async def test_more_than_forty_can_be_asked_for():
    meeting = threading.Barrier(50, timeout=PATIENCE)
    app = MiniASGI(background_threads=50)

    @app.post("/")
    async def create(request):
        return Response(background=BackgroundTask(meeting.wait))

    async with Client(app) as client:
        replies = [await client.post("/") for _ in range(50)]

    assert {reply.events[-1] for reply in replies} == {"app returned"}
