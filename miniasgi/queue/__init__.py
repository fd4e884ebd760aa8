"""A persistent queue in one SQLite file: durable before acknowledged, alive after ``kill -9``.

Floors, lowest first: `errors`, `retry`, `schema`; `owners` (who is alive, and the bell), `store`
(all other SQL), `arguments` (JSON); `files` (lock and connections), `operations`, `tracing`,
`writer` (group commit); `jobs` (running one), `results`; `worker`; `promises`; `tasks` (Queue and
Task); `commands`. Needs flock(2), which Linux and macOS have.
"""

import sys

if sys.platform == "win32":
    raise ImportError("miniasgi.queue needs flock(2), which Windows does not have")

from miniasgi.queue.errors import JobFailed, QueueUnavailable
from miniasgi.queue.results import AsyncResult
from miniasgi.queue.retry import Retry
from miniasgi.queue.store import Job
from miniasgi.queue.tasks import Queue, Task

__all__ = ["AsyncResult", "Job", "JobFailed", "Queue", "QueueUnavailable", "Retry", "Task"]
