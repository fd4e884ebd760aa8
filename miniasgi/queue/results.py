"""What became of a job: `AsyncResult`, with Celery's words and one of our own, UNKNOWN."""

import json
import time
from typing import Any

from miniasgi.queue import store
from miniasgi.queue.errors import JobFailed
from miniasgi.queue.writer import Writer

_PHASES = {
    "UNKNOWN": "unknown",
    "PENDING": "pending",
    "RETRY": "pending",
    "STARTED": "running",
    "SUCCESS": "completed",
    "FAILURE": "failed",
    "REVOKED": "failed",
}


def state_of(row: store.Row | None) -> str:
    """Celery's word for a row's state; RETRY for what waits after a failure."""
    if row is None:
        return "UNKNOWN"
    if row["state"] in ("ready", "scheduled", "held"):
        return "RETRY" if row["retries"] else "PENDING"
    return "STARTED" if row["state"] == "running" else str(row["state"]).upper()


class AsyncResult:
    """A handle on one job, by its id.

    Each property reads the file at that moment (a few microseconds); after `arefresh` they answer
    from the row that it read. An id nobody created has state "UNKNOWN", and so has one whose accept
    has not committed yet.
    """

    def __init__(self, writer: Writer, id: str) -> None:
        self.id = id
        self._writer = writer
        self._where: object = writer.path
        self._pinned: tuple[store.Row | None] | None = None

    def __repr__(self) -> str:
        return f"AsyncResult({self.id!r})"

    @property
    def row(self) -> store.Row | None:
        """The job's row as it is stored, or None."""
        return self._pinned[0] if self._pinned else self._read()

    def _read(self) -> store.Row | None:
        return self._writer.read(store.find, self.id)

    async def arefresh(self) -> "AsyncResult":
        """Read the row off the loop and keep it for the properties."""
        from anyio.to_thread import run_sync

        self._pinned = (await run_sync(self._read),)
        return self

    @property
    def state(self) -> str:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED, or UNKNOWN."""
        return state_of(self.row)

    @property
    def phase(self) -> str:
        """pending, running, completed, failed, or unknown."""
        return _PHASES[self.state]

    @property
    def result(self) -> Any:
        """What the task returned; the `JobFailed` it ended with; None before its end."""
        return _result(self.row)

    @property
    def traceback(self) -> str | None:
        """The last failed attempt's traceback."""
        row = self.row
        return None if row is None else row["traceback"]

    status = state
    info = result

    def exists(self) -> bool:
        return self.row is not None

    def ready(self) -> bool:
        """Has it ended, either way?"""
        return _PHASES[self.state] in ("completed", "failed")

    def successful(self) -> bool:
        return self.state == "SUCCESS"

    def failed(self) -> bool:
        return self.state == "FAILURE"

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the task returned; blocks.

        Raises JobFailed, TimeoutError, or LookupError for an id that does not exist.
        """
        until, wait = time.monotonic() + (1e9 if timeout is None else timeout), 0.001
        while not (row := self._ended(until)):
            time.sleep(wait := min(wait * 1.5, 0.1))
        return _value(row)

    async def aget(self, timeout: float | None = None) -> Any:
        """The same, awaited."""
        from anyio import sleep
        from anyio.to_thread import run_sync

        until, wait = time.monotonic() + (1e9 if timeout is None else timeout), 0.001
        while not (row := await run_sync(self._ended, until)):
            await sleep(wait := min(wait * 1.5, 0.1))
        return _value(row)

    def _ended(self, until: float) -> store.Row | None:
        row = self._read()
        if row is None:
            raise LookupError(f"no job {self.id!r} in {self._where}")
        if row["settled_at"] is None and time.monotonic() > until:
            raise TimeoutError(f"job {self.id} is {state_of(row)} still")
        return None if row["settled_at"] is None else row

    def revoke(self) -> bool:
        """A waiting job never runs; an ``async def`` that a worker runs is cancelled within about a
        second. What runs in a thread, or after its response in a process without a worker, is not
        stopped: it is REVOKED when it ends. False if it had ended already.
        """
        return self._writer.run(store.revoke, self.id, time.time())

    def forget(self) -> bool:
        """Delete the row of a job that has ended."""
        return self._writer.run(store.forget, self.id)


def _result(row: store.Row | None) -> Any:
    if row is None or row["settled_at"] is None:
        return None
    if row["state"] == "success":
        return json.loads(row["result"])
    return JobFailed(row["error"] or row["state"], state_of(row))


def _value(row: store.Row) -> Any:
    value = _result(row)
    if isinstance(value, JobFailed):
        raise value
    return value
