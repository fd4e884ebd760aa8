"""Off the loop and back: which callables are coroutines, and threads for those that are not.

Two kinds of threads, so that neither starves the other:

- *the request's*: `run_in_threadpool`, anyio's, with the 40 tokens that ``anyio.to_thread`` gives.
  Endpoints, iterators, files and error handlers that are plain functions use them.
- *the background's*: `BackgroundThreads`, 40 of their own. Work after a response waits only for
  work after other responses. Source: "Forty tokens", a scenario of the demos.

Rules of this file: nothing is imported that a purely async application does not need; a context
variable set by the caller is seen in the thread.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect itself takes 16 ms to import
_END: Any = object()  # an iterator may yield None


def is_async_callable(obj: Any) -> bool:
    """Is calling ``obj`` a coroutine: a function, a method, a partial, or an object's ``__call__``?

    False for a lambda or a plain wrapper around a coroutine function: only their result tells.
    """
    code = getattr(obj, "__code__", None)
    if code is not None:  # a function: one look; inspect takes 2 us
        return bool(code.co_flags & _CO_COROUTINE)
    if isinstance(obj, partial):
        return is_async_callable(obj.func)
    # An object is called by its class. A class is called by its own, which has no code.
    method = getattr(type(obj), "__call__", None)  # noqa: B004
    return hasattr(method, "__code__") and is_async_callable(method)


async def run_in_threadpool(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a plain function in one of anyio's threads and await its result.

    A cancel waits for the thread to end, as anyio does by default. Costs about 0.1 ms.
    """
    import anyio.to_thread

    [result] = await anyio.to_thread.run_sync(_call, partial(func, *args, **kwargs))
    return result


async def call(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a coroutine function on the loop, a plain one in a thread; an awaitable is awaited."""
    if is_async_callable(func):
        return await func(*args, **kwargs)
    result = await run_in_threadpool(func, *args, **kwargs)
    return await result if hasattr(result, "__await__") else result


async def shielded(func: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Await it to its end, whatever is cancelled around it."""
    import anyio

    with anyio.CancelScope(shield=True):
        await func(*args)


async def iterate_in_threadpool(iterable: Iterable[T]) -> AsyncIterator[T]:
    """Step through a plain iterator in anyio's threads; a generator is closed there too."""
    iterator = iter(iterable)
    try:
        while (item := await run_in_threadpool(next, iterator, _END)) is not _END:
            yield item
    finally:
        if hasattr(iterator, "close"):  # a reader that left must not leave a file open
            await shielded(run_in_threadpool, iterator.close)


class BackgroundThreads:
    """Threads for work after a response, apart from those that serve requests.

    ``limit`` is how many tasks run at one time; the others wait in order. On asyncio an executor of
    its own, which also cuts the tail of waiting; on trio a limiter of its own over trio's threads.
    """

    def __init__(self, limit: int = 40) -> None:
        if limit < 1:
            raise ValueError(f"background work needs at least one thread, not {limit}")
        self.limit = limit
        self._executors: dict[int, Any] = {}  # by process: a forked child makes its own
        self._limiter: Any = None

    async def run(self, func: Callable[[], T]) -> T:
        """Run ``func`` in one of these threads.

        On asyncio a cancel returns at once and the thread runs on, still holding its place: a
        thread cannot be cancelled. On trio a cancel waits for the thread.
        """
        import asyncio

        call = partial(copy_context().run, _call, func)
        if asyncio._get_running_loop() is None:
            import anyio.to_thread

            self._limiter = self._limiter or anyio.CapacityLimiter(self.limit)
            [result] = await anyio.to_thread.run_sync(call, limiter=self._limiter)
            return result
        process = os.getpid()
        if process not in self._executors:
            from concurrent.futures import ThreadPoolExecutor

            self._executors[process] = ThreadPoolExecutor(self.limit, "miniasgi background")
        [result] = await asyncio.get_running_loop().run_in_executor(self._executors[process], call)
        return result


def _call(func: Callable[[], T]) -> list[T]:
    try:
        return [func()]  # in a list: trio takes a thread that returns a coroutine for a mistake
    except StopIteration as exc:
        # A future refuses a StopIteration and would never be done: PEP 479's answer, in a thread.
        raise RuntimeError(f"{func!r} raised StopIteration") from exc


#: The threads that `BackgroundTask` uses here. An application with its own number sets its own.
threads_here: ContextVar[BackgroundThreads] = ContextVar(
    "miniasgi.threads_here",
    default=BackgroundThreads(),  # noqa: B039 (shared on purpose: one set of threads a process)
)
