"""One caller's part of a commit, and how the caller hears of it."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from sqlite3 import Connection
from typing import Any, TypeAlias, TypeVar

from miniasgi.queue.errors import QueueUnavailable

T = TypeVar("T")
Work = Callable[..., T]
Again: TypeAlias = Callable[..., Any] | None  #: what is tried again if storage fails


@dataclass(slots=True, eq=False)
class Operation:
    """``work(db, *args)``, and who waits for its value: a loop, a thread, or nobody.

    Who takes it first decides what becomes of it: the writer, or impatience.
    """

    work: Work[Any]
    args: tuple[Any, ...]
    wakes: bool  # it brings work, unless its value is 0: ring the workers' bell after the commit
    surely: Again
    future: asyncio.Future[Any] | None = None
    done: "threading.Lock | None" = None
    value: Any = None
    error: BaseException | None = None
    _turn: "threading.Lock" = field(default_factory=threading.Lock)

    def take(self) -> bool:
        return self._turn.acquire(blocking=False)

    @property
    def brought_work(self) -> bool:
        return self.wakes and self.error is None and self.value not in (0, None)

    @property
    def delayed(self) -> bool:
        """Storage failed, and it will be tried again."""
        return self.surely is not None and isinstance(self.error, QueueUnavailable)

    def outcome(self) -> Any:
        """The value; None for what is `delayed`, which is no error of who waits."""
        if self.error is not None and not self.delayed:
            raise self.error
        return self.value


def perform(operations: Iterable[Operation], db: Connection) -> None:
    """Do the work of each, in their order.

    Work with an attribute ``together`` is called once for all that stand side by side, with a list
    of their arguments, and returns a list of values.
    """
    for work, some in groupby(operations, key=attrgetter("work")):
        beside = list(some)
        if getattr(work, "together", False):
            values = work(db, [operation.args for operation in beside])
        else:
            values = [work(db, *operation.args) for operation in beside]
        for operation, value in zip(beside, values, strict=True):
            operation.value = value


def resolve(operations: Iterable[Operation]) -> None:
    for operation in operations:
        if operation.future is not None and not operation.future.done():
            operation.future.set_result(None)
