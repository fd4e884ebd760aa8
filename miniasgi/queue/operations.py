"""One caller's part of a commit, and how the caller hears of it."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from miniasgi.queue.errors import QueueUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Future = asyncio.Future[Any]


class Operation:
    """A function of the connection, and who waits for its value: a loop, a thread, or nobody.

    Who takes it first decides what becomes of it: the writer, or impatience.
    """

    __slots__ = ("_turn", "done", "error", "future", "value", "wakes", "work")

    def __init__(self, work: Work[Any], wakes: bool, future: Future | None = None) -> None:
        self.work = work
        self.wakes = wakes  # it brings work: ring the workers' bell after the commit
        self.future = future
        self.done: threading.Lock | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self._turn = threading.Lock()

    def take(self) -> bool:
        return self._turn.acquire(blocking=False)

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def tell(operations: Iterable[Operation]) -> list[Operation]:
    """Wake who waits, with one call into each loop. Returns what must be done again.

    That is what nobody waits for and what could not be done now.
    """
    loops: dict[asyncio.AbstractEventLoop, list[Operation]] = {}
    again = []
    for operation in operations:
        if operation.future is not None:
            loops.setdefault(operation.future.get_loop(), []).append(operation)
        elif operation.done is not None:
            operation.done.release()
        elif isinstance(operation.error, QueueUnavailable):
            again.append(operation)
    for loop, waiting in loops.items():
        with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, waiting)
    return again


def _resolve(operations: list[Operation]) -> None:
    for operation in operations:
        future = operation.future
        if future is not None and not future.done():
            if operation.error is None:
                future.set_result(operation.value)
            else:
                future.set_exception(operation.error)
