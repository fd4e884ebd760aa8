"""What became of a job: `AsyncResult`, with Celery's words and one of our own, UNKNOWN."""

import json
import time
from functools import partial
from typing import Any

from miniasgi.queue import store
from miniasgi.queue.errors import JobFailed
from miniasgi.queue.writer import Writer

_STATES = {
    "held": "PENDING",
    "running": "STARTED",
    "success": "SUCCESS",
    "failure": "FAILURE",
    "revoked": "REVOKED",
}
_PHASES = {
    "PENDING": "pending",
    "RETRY": "pending",
    "STARTED": "running",
    "SUCCESS": "completed",
    "FAILURE": "failed",
    "REVOKED": "failed",
}


def state_of(row: store.Row) -> str:
    """Celery's word for a row's state; RETRY for what waits after a failure."""
    waiting = "RETRY" if row["retries"] else "PENDING"
    return _STATES.get(row["state"], waiting)


class AsyncResult:
    """A handle on one job, by its id.

    Each property reads the file at that moment (a few microseconds); after `arefresh` they answer
    from the row that it read. An id nobody created has state "UNKNOWN", and so has one whose accept
    has not committed yet.
    """

    def __init__(self, writer: Writer, id: str) -> None:
        self.id = id
        self._writer = writer
        self._pinned: tuple[store.Row | None] | None = None

    def __repr__(self) -> str:
        return f"AsyncResult({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def row(self) -> store.Row | None:
        """The job's row as it is stored, or None."""
        return self._pinned[0] if self._pinned else self._read()

    def _read(self) -> store.Row | None:
        return self._writer.read(partial(store.find, id=self.id))

    async def arefresh(self) -> "AsyncResult":
        """Read the row off the loop and keep it for the properties."""
        from anyio.to_thread import run_sync

        self._pinned = (await run_sync(self._read),)
        return self

    @property
    def state(self) -> str:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED, or UNKNOWN."""
        row = self.row
        return "UNKNOWN" if row is None else state_of(row)

    status = state

    @property
    def phase(self) -> str:
        """pending, running, completed, failed, or unknown."""
        return _PHASES.get(self.state, "unknown")

    @property
    def result(self) -> Any:
        """What the task returned; the `JobFailed` it ended with; None before its end."""
        row = self.row
        if row is None or row["settled_at"] is None:
            return None
        if row["state"] == "success":
            return json.loads(row["result"])
        state = state_of(row)
        return JobFailed(row["error"] or state.lower(), state)

    info = result

    @property
    def traceback(self) -> str | None:
        """The last failed attempt's traceback."""
        row = self.row
        return None if row is None else row["traceback"]

    def exists(self) -> bool:
        return self.row is not None

    def ready(self) -> bool:
        """Has it ended, either way?"""
        row = self.row
        return row is not None and row["settled_at"] is not None

    def successful(self) -> bool:
        return self.state == "SUCCESS"

    def failed(self) -> bool:
        return self.state == "FAILURE"

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the task returned; blocks.

        Raises JobFailed, TimeoutError, or LookupError for an id that does not exist.
        """
        until, wait = _wait(timeout)
        while not self._look(until):
            time.sleep(wait := min(wait * 1.5, 0.1))
        return self._value()

    async def aget(self, timeout: float | None = None) -> Any:
        """The same, awaited."""
        from anyio import sleep

        until, wait = _wait(timeout)
        while not self._look(until):
            await sleep(wait := min(wait * 1.5, 0.1))
        return self._value()

    def _look(self, until: float) -> bool:
        row = self._read()
        if row is None:
            raise LookupError(f"no job {self.id!r} in {self._writer.path}")
        if row["settled_at"] is None:
            if time.monotonic() > until:
                raise TimeoutError(f"job {self.id} is {state_of(row)} still")
            return False
        self._pinned = (row,)
        return True

    def _value(self) -> Any:
        value = self.result
        self._pinned = None
        if isinstance(value, JobFailed):
            raise value
        return value

    def revoke(self) -> bool:
        """A waiting job never runs; a running ``async def`` is cancelled within about a second.

        A thread cannot be stopped: its job is REVOKED when it ends. False if it had ended already.
        """
        return self._writer.run(partial(store.revoke, id=self.id, now=time.time()))

    def forget(self) -> bool:
        """Delete the row of a job that has ended."""
        return self._writer.run(partial(store.forget, id=self.id))


def _wait(timeout: float | None) -> tuple[float, float]:
    return time.monotonic() + (float("inf") if timeout is None else timeout), 0.001
