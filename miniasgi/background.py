"""Work after the response: one task, or several in order.

Both are *backgrounds* (`miniasgi.types.Background`): a response awaits `accept` before its first
byte and the background itself after its last. An ordinary task promises nothing: it lives in this
process, runs once, and is lost with the process. A queue's task promises to be on disk; it says so
by the one method that `BackgroundTasks.add_task` asks for, ``__background__(*args, **kwargs)``,
which returns a background whose ``result`` add_task gives back.

Rules of this file: tasks run one after the other, in the order in which they were added; a task
that will not run is named in the log; nothing here knows what a queue is.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

from miniasgi.concurrency import is_async_callable, shielded, threads_here
from miniasgi.events import listeners, tell
from miniasgi.types import Background

OnError = Literal["stop", "continue"]


class BackgroundTask:
    """One function with its arguments: ``async def`` runs on the loop, ``def`` in a thread.

    Arguments are kept by reference, not copied. What the function returns is dropped, except that
    an awaitable is awaited: a lambda or a plain wrapper around a coroutine function does run.
    """

    __slots__ = ("args", "func", "is_async", "kwargs")

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if not callable(func):
            raise _refusal(func)
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.is_async = is_async_callable(func)

    @property
    def name(self) -> str:
        """The function's own name, also through `functools.partial`; an object's class name."""
        func: Any = self.func
        # A partial or a task, also Starlette's, holds a function and a tuple; a mock seems to.
        while isinstance(getattr(func, "args", None), tuple):
            func = func.func
        return getattr(func, "__name__", type(func).__name__)

    async def accept(self, *others: Background) -> None:
        """Nothing to promise: an ordinary task may be lost with its process."""

    async def __call__(self) -> None:
        """Run to the end. Raises what the function raised, with a note that names the task."""
        try:
            if self.is_async and not listeners.get():
                await self.func(*self.args, **self.kwargs)
            else:
                await self._run_and_tell()
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            self._note_failure(exc)
            raise
        except BaseException as exc:
            if not is_cancelled():
                failure = RuntimeError("it awaited something that somebody else had cancelled")
                self._note_failure(failure)
                raise failure from exc
            # A cancel is an outcome too: recorded, then raised on, as both event loops demand.
            tell("task.cancelled", self.name)
            _log("background task %r was cancelled before its end", self.name)
            raise

    def _note_failure(self, exc: BaseException) -> None:
        tell("task.failed", self.name)
        note = f"in background task {self.name!r}"
        if note not in getattr(exc, "__notes__", ()):  # the same object may be raised again
            exc.add_note(note)

    async def _run_and_tell(self) -> None:
        def begin() -> Any:
            tell("task.start", self.name)
            return self.func(*self.args, **self.kwargs)

        result = begin() if self.is_async else await threads_here.get().run(begin)
        if hasattr(result, "__await__"):
            await result
        elif type(result).__name__ in ("generator", "async_generator"):
            raise TypeError(f"{self.name} is a generator function: its body would never run")
        tell("task.end", self.name)

    async def abandon(self, because: BaseException) -> None:
        """Log that this task will not run."""
        _log("background task %r will not run: %r", self.name, because)


def is_cancelled() -> bool:
    """Is this task to end? On asyncio a CancelledError may also be another task's."""
    import asyncio

    if asyncio._get_running_loop() is None:
        return True  # on trio a cancel is never somebody else's
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _log(message: str, *args: object) -> None:
    import logging  # on use: 7 ms of import

    logging.getLogger("miniasgi").warning(message, *args)


def _refusal(func: Any) -> TypeError:
    if not hasattr(func, "cr_code"):
        return TypeError(f"a background task must be callable, not {func!r}")
    func.close()  # or Python would warn a second time, about a coroutine that nobody awaited
    name = func.cr_code.co_name
    return TypeError(f"{name}() was called already; pass it uncalled: add_task({name}, ...)")


class BackgroundTasks(BackgroundTask):
    """Several backgrounds, run one after the other; a running task may add another.

    ``on_error="stop"`` (Starlette's way): the first failure ends the row, and the log names what
    did not run. ``on_error="continue"``: all run, then one ExceptionGroup carries the failures.
    """

    __slots__ = ("_accepted", "on_error", "tasks")

    def __init__(self, tasks: Sequence[Background] = (), *, on_error: OnError = "stop") -> None:
        if on_error not in ("stop", "continue"):
            raise ValueError(f"on_error is 'stop' or 'continue', not {on_error!r}")
        self.tasks: list[Background] = list(tasks or ())
        self.on_error = on_error
        self._accepted = 0

    def add_task(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run ``func(*args, **kwargs)`` after the response.

        Returns None, or for a queue's task its result's handle. Raises TypeError for a coroutine
        object or anything else that cannot be called.
        """
        durable = getattr(func, "__background__", None)
        if durable is None:
            self.tasks.append(BackgroundTask(func, *args, **kwargs))
            return None
        task = durable(*args, **kwargs)
        self.tasks.append(task)
        return task.result

    async def accept(self, *others: Background) -> None:
        """Ask the first that can promise to promise all of them: in one step, all or none."""
        self._accepted = len(self.tasks)
        promising = list(_promising((*self.tasks, *others)))
        if promising:
            await promising[0].accept(*promising[1:])

    async def __call__(self) -> None:
        failures: list[Exception] = []
        try:
            for begun, task in enumerate(self.tasks, 1):  # the live list: a task may add a task
                try:
                    if begun > self._accepted:  # it was added after the promise, by another task
                        await task.accept()
                    await task()
                except Exception as exc:
                    if self.on_error == "stop":
                        raise
                    failures.append(exc)
        except BaseException as because:
            await shielded(partial(self.abandon, because, after=begun))
            raise
        if failures:
            group = ExceptionGroup("background tasks failed", failures)
            notes = [note for exc in failures for note in getattr(exc, "__notes__", [repr(exc)])]
            group.add_note("; ".join(notes))
            raise group

    async def abandon(self, because: BaseException, *, after: int = 0) -> None:
        """Abandon the tasks ``after`` so many that have begun."""
        for begun, task in enumerate(self.tasks[after:], after):
            # One that was not accepted has nothing to let go, and would not say so.
            if begun >= self._accepted and not isinstance(task, BackgroundTask):
                _log("background task %r will not run: %r", getattr(task, "name", task), because)
            try:
                await task.abandon(because)
            except Exception as exc:  # the others are to be let go as well
                _log("%r could not be abandoned: %r", task, exc)


def _promising(tasks: Sequence[Background]) -> Iterator[Background]:
    for task in tasks:
        if isinstance(task, BackgroundTasks):
            yield from _promising(task.tasks)
        elif not isinstance(task, BackgroundTask):
            yield task
