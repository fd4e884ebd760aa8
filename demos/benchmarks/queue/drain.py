"""Drain of no-op jobs by one worker process, beside Huey's consumer, in one run."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from demos.benchmarks.queue.peers import fsyncs_a_second, in_a_fresh_folder, start, stop
from miniasgi.queue import store
from miniasgi.queue.store import Job
from miniasgi.queue.tasks import new_id

JOBS = 6_000
#: By the indexes of what has not ended, as Huey's table holds only that: a look at all rows would
#: be half of the worker's work, and a reader in the way of its checkpoints.
LEFT = """
    select (select count(*) from miniasgi_job where state = 'ready')
        + (select count(*) from miniasgi_job where owner is not null)
"""


def seconds(file: Path, left: str, *command: str) -> float:
    """From the first job gone to the last, as another program sees it."""
    db = sqlite3.connect(file)
    process = start(*command)
    begin = None
    while count := db.execute(left).fetchone()[0]:
        if begin is None and count < JOBS:
            begin, first = time.perf_counter(), count
        time.sleep(0.02)  # the look is work on the same file
    took = time.perf_counter() - (begin or 0)
    stop(process)
    db.close()
    return first / took


@in_a_fresh_folder
def main() -> None:
    from demos.benchmarks.queue import tasks

    folder = Path(tasks.FOLDER)
    here = "demos.benchmarks.queue.tasks"
    for name, task, worker in (
        ("huey sqlite, 1 thread", None, ("-w", "1")),
        ("ours, 1 slot, def", tasks.noop_in_thread, ("--concurrency", "1")),
        ("ours, 1 slot, async", tasks.noop, ("--concurrency", "1")),
        ("ours, 10 slots, async", tasks.noop, ("--concurrency", "10")),
        ("ours, 100 slots, async", tasks.noop, ("--concurrency", "100")),
        ("ours, 100 slots, def", tasks.noop_in_thread, ("--concurrency", "100")),
    ):
        if task is None:
            for _ in range(JOBS):
                tasks.huey_noop(0)
            consumer = (
                "-m",
                "huey.bin.huey_consumer",
                f"{here}.huey",
                "-k",
                "thread",
                "--quiet",
                *worker,
            )
            rate = seconds(folder / "huey.db", "select count(*) from task", *consumer)
        else:
            tasks.queue.writer.run(fill, task._job((0,), {}))
            ours = ("-m", "miniasgi", "worker", f"{here}:queue", *worker)
            rate = seconds(folder / "ours.db", LEFT, *ours)
        print(f"{name:24} {rate:8,.0f} jobs/s   (fsync {fsyncs_a_second():,.0f}/s)", flush=True)


def fill(db: sqlite3.Connection, job: Job, jobs: int = JOBS) -> None:
    for _ in range(jobs):
        store.insert(db, replace(job, id=new_id(time.time())))


if __name__ == "__main__":
    main()
