"""Off the loop and back: what is a coroutine function, and where plain functions run."""

import functools
import threading
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from miniasgi.concurrency import (
    BackgroundThreads,
    is_async_callable,
    iterate_in_threadpool,
    run_in_threadpool,
)
from tests.asgi import PATIENCE

pytestmark = pytest.mark.anyio

user: ContextVar[str] = ContextVar("user", default="nobody")


async def coroutine_function():
    pass


async def async_generator():
    yield 1


def plain():
    pass


class Object:
    async def method(self):
        pass

    async def __call__(self):
        pass

    def plain_method(self):
        pass


class Plain:
    def __call__(self):
        pass


@pytest.mark.parametrize(
    ("obj", "answer"),
    [
        (coroutine_function, True),
        (functools.partial(coroutine_function), True),
        (functools.partial(functools.partial(Object().method)), True),
        (Object().method, True),
        (Object(), True),
        (functools.partial(Object()), True),
        (plain, False),
        (functools.partial(plain), False),
        (lambda: coroutine_function(), False),
        (Object().plain_method, False),
        (Plain(), False),
        (Object, False),
        (async_generator, False),
        (len, False),
        (None, False),
    ],
    ids=lambda value: None if isinstance(value, bool) else getattr(value, "__name__", None),
)
def test_a_coroutine_function_is_recognised_whatever_wraps_it(obj: Any, answer: bool):
    assert is_async_callable(obj) is answer


@pytest.mark.parametrize("run", [run_in_threadpool, BackgroundThreads(2).run], ids=["pool", "own"])
async def test_a_thread_sees_the_context_variables_of_its_caller(run: Any):
    user.set("Ada")

    seen = await run(lambda: (user.get(), threading.current_thread()))

    assert seen[0] == "Ada"
    assert seen[1] is not threading.current_thread()


@pytest.mark.parametrize("run", [run_in_threadpool, BackgroundThreads(2).run], ids=["pool", "own"])
async def test_what_a_thread_raises_is_raised_here(run: Any):
    with pytest.raises(ZeroDivisionError):
        await run(lambda: 1 / 0)


@pytest.mark.parametrize("run", [run_in_threadpool, BackgroundThreads(2).run], ids=["pool", "own"])
async def test_a_thread_that_raises_stop_iteration_does_not_hang_its_caller(run: Any):
    with pytest.raises(RuntimeError, match="StopIteration"):
        await run(lambda: next(iter(())))


async def test_arguments_are_passed_on():
    assert await run_in_threadpool("{} {name}".format, "hi", name="Ada") == "hi Ada"


async def test_a_plain_iterator_gives_its_items_none_included():
    assert [item async for item in iterate_in_threadpool([1, None, 2])] == [1, None, 2]


async def test_a_generator_is_closed_when_its_reader_leaves():
    order = []

    def numbers():
        try:
            yield 1
            yield 2
        finally:
            order.append("closed")

    stream = iterate_in_threadpool(numbers())
    order.append(await anext(stream))
    await stream.aclose()

    assert order == [1, "closed"]


async def test_a_generator_is_closed_when_its_reader_is_cancelled():
    order = []

    def numbers():
        try:
            yield 1
            yield 2
        finally:
            order.append("closed")

    with anyio.CancelScope() as scope:
        async with aclosing(iterate_in_threadpool(numbers())) as stream:
            order.append(await anext(stream))
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    assert order == [1, "closed"]


async def test_no_more_background_threads_run_at_one_time_than_their_limit():
    threads, order = BackgroundThreads(1), []
    go_on, begun = threading.Event(), threading.Event()

    def first():
        order.append("first begins")
        begun.set()
        go_on.wait(PATIENCE)
        order.append("first ends")

    async with anyio.create_task_group() as group:
        group.start_soon(threads.run, first)
        await run_in_threadpool(begun.wait)
        group.start_soon(threads.run, lambda: order.append("second"))
        await anyio.wait_all_tasks_blocked()
        order.append("second waits")
        go_on.set()

    assert order == ["first begins", "second waits", "first ends", "second"]


async def test_a_cancel_never_ends_a_thread():
    threads, order = BackgroundThreads(1), []
    go_on, begun = threading.Event(), threading.Event()

    def work():
        begun.set()
        go_on.wait(PATIENCE)
        order.append("work ended")

    async with anyio.create_task_group() as group:
        group.start_soon(threads.run, work)
        await run_in_threadpool(begun.wait)
        group.cancel_scope.cancel()
        go_on.set()
    await threads.run(lambda: order.append("the thread is free again"))

    assert order == ["work ended", "the thread is free again"]
