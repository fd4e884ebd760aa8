"""One look for all who watch; and one that is taken though nobody does.

Rules of this file: whoever comes first after a snapshot has grown old looks again, everyone else
gets what is there; where a look takes long nobody waits for it while a snapshot is at hand that
says when it was taken; a long look is followed by a longer rest, so that watching costs at most a
twentieth of one processor.
"""

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from miniasgi.concurrency import run_in_threadpool
from miniasgi.monitor.alarms import Watchman

logger = logging.getLogger("miniasgi.monitor")

REST = 20  #: a look is followed by a rest of so many times its length, of a second at least
QUICK = 0.02  #: seconds of a look for which a request waits
STANDS = 2.0  #: seconds after its rest in which a snapshot is shown while the next one is taken
EVERY = 5.0  #: seconds between two looks that nobody asked for


class Seen(Protocol):
    at: float
    alarms: list[dict[str, Any]]

    def measured(self) -> dict[str, float]: ...


S = TypeVar("S", bound=Seen)


class Watch(Generic[S]):
    """Looks at most once a second for all who ask. ``look(now)`` gives a snapshot."""

    def __init__(
        self,
        look: Callable[[float], S],
        watchman: Watchman,
        clock: Callable[[], float] = time.time,
        rest: float = REST,
    ) -> None:
        self._look = look
        self._watchman = watchman
        self._clock = clock
        self._rest = rest
        self._looking = threading.Lock()
        self._seen: S | None = None
        self._cost = 0.0
        self._rests_until = 0.0
        self._keeping = threading.Lock()

    @property
    def _is_old(self) -> bool:
        return time.monotonic() >= self._rests_until

    def forget(self) -> None:
        """Something was done: who asks next looks again."""
        self._seen = None

    def newest(self) -> S | None:
        """What can be shown without waiting, if anything."""
        seen = self._seen
        if seen is None or not self._is_old:
            return seen
        if self._cost < QUICK or time.monotonic() > self._rests_until + STANDS:
            return None
        if not self._looking.locked():
            threading.Thread(target=self.look_quietly, daemon=True).start()
        return seen

    def snapshot(self) -> S:
        """The newest figures; blocks where it has to look, and raises what that raises."""
        with self._looking:
            seen = self._seen
            if seen is None or self._is_old:
                begin = time.perf_counter()
                now = self._clock()
                seen = self._look(now)
                seen.alarms = self._watchman.judge(seen.measured(), now)
                cost = time.perf_counter() - begin
                self._rests_until = time.monotonic() + max(1.0, self._rest * cost)
                self._cost = cost if self._seen else 0.0  # the first one is dear
                self._seen = seen
            return seen

    async def asnapshot(self) -> S:
        """The same, awaited."""
        newest = self.newest()
        return await run_in_threadpool(self.snapshot) if newest is None else newest

    # Though nobody watches

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Look every few seconds while this is open, so that alarms ring though no page is."""
        stop = threading.Event()
        thread = threading.Thread(target=self.keep_looking, args=(stop.wait,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            await run_in_threadpool(thread.join)

    def keep_looking(self, wait: Callable[[float], bool]) -> None:
        """Until ``wait(seconds)`` says that it is over. A second one has nothing to add."""
        if not self._keeping.acquire(blocking=False):
            return
        try:
            self.look_quietly()
            while not wait(max(EVERY, self._rest * self._cost)):
                self.look_quietly()
        finally:
            self._keeping.release()

    def look_quietly(self) -> None:
        try:
            self.snapshot()
        except Exception as exc:
            logger.warning("the queue cannot be watched: %s", exc)
