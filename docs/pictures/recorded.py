"""Recordings of the book that no scenario has: one file's writer, and one job as its row tells it.

Rule of this file: what is recorded is the project's own work with real files; each function says
what must have happened, and raises AssertionError if it did not, so that it is not kept.
"""

import asyncio
import tempfile
from collections.abc import Callable
from typing import Any

from miniasgi.monitor import lane
from miniasgi.queue import Queue, Retry
from miniasgi.queue.store import find
from miniasgi.timeline import Moment, Recording

CALLERS = 8  #: who want a job written down at nearly the same time


def sharing_a_sync() -> Recording:
    """Eight callers want a job written down. One comes first, the others while the disk works."""
    moments: list[Moment] = []
    jobs: list[int] = []

    async def scene(queue: Queue) -> None:
        writer, loop, begun = queue.writer, asyncio.get_running_loop(), asyncio.Event()
        await send.adelay(0)  # opens the file
        plain = writer._commit

        def commit(batch: list[Any]) -> None:
            words = f"{len(batch)} job{'s' * (len(batch) > 1)}: sync"
            jobs.append(len(batch))
            loop.call_soon_threadsafe(begun.set)
            moments.append(Moment.now("writer", "task.start", words))
            plain(batch)
            moments.append(Moment.now("writer", "task.end", words))

        async def call(number: int) -> None:
            moments.append(Moment.now("callers", "wait.start", f"caller {number}"))
            await send.adelay(number)
            moments.append(Moment.now("callers", "wait.end", f"caller {number}"))

        writer._commit = commit  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            group.create_task(call(1))
            await begun.wait()
            for number in range(2, CALLERS + 1):
                group.create_task(call(number))

    with tempfile.TemporaryDirectory() as folder:
        queue = Queue("mail", f"sqlite:///{folder}/jobs.db")

        @queue.task
        def send(number: int) -> None: ...

        asyncio.run(scene(queue))
    assert sum(jobs) == CALLERS and jobs[0] == 1 and len(jobs) <= 3, f"commits of {jobs} jobs"
    return Recording(moments)


def one_job() -> Recording:
    """A mail that bounces twice and is delivered at its third attempt, drawn from its row."""

    async def scene(queue: Queue) -> dict[str, Any]:
        async with queue.worker():
            await (await send.adelay("warm@example.com", fails=0)).aget()
            result = await send.adelay("ada@example.com", fails=2)
            await result.aget()
        row = queue.writer.read(find, result.id)
        return lane.job(row, hide=True)

    with tempfile.TemporaryDirectory() as folder:
        queue = Queue("mail", f"sqlite:///{folder}/jobs.db")

        @queue.task(bind=True, max_retries=5)
        async def send(job: Any, to: str, fails: int) -> None:
            await asyncio.sleep(0.1)
            if job.attempt <= fails:
                raise Retry("the mail server is down", countdown=0.2 * job.attempt)

        row = asyncio.run(scene(queue))
    assert (row["state"], row["attempt"], len(row["past"])) == ("success", 3, 2), row
    return lane.recording(row, now=row["settled_at"])


#: File: what is recorded, the picture's title.
RECORDED: dict[str, tuple[Callable[[], Recording], str]] = {
    "sharing_a_sync": (sharing_a_sync, "How many syncs of the disk do eight callers wait for?"),
    "one_job": (one_job, "What does the row of a job remember?"),
}
