"""The monitor at a million rows: how long each page and each answer takes.

The file is made anew, with a day's history. Requests are made in process, one after the other.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from demos.benchmarks.report import environment, print_environment, table
from miniasgi.monitor import monitor
from miniasgi.queue import Queue
from miniasgi.queue.tasks import new_id
from miniasgi.testing import Client

PATHS = (
    "/",
    "/jobs",
    "/jobs?state=failure",
    "/jobs?state=failure&text=nowhere",
    "/jobs?text=nowhere",
    "/failures",
    "/queues",
    "/workers",
    "/api/overview",
    "/api/jobs?state=success",
    "/metrics",
)
_COLUMNS = (
    "id, queue, task, arguments, state, priority, created_at, due_at, attempt, started_at,"
    "settled_at, result, error, traceback"
)


def fill(queue: Queue, rows: int) -> None:
    """A day's history: 9 of 10 succeeded, 1 of 20 failed, the rest waits."""
    luck, now = random.Random(7), time.time()
    errors = ("ConnectionRefusedError: [Errno 111]", "TimeoutError: ran longer than 30 s")

    def row(number: int) -> tuple[object, ...]:
        at = now - 86_400 * (1 - number / rows)
        state = luck.choices(("success", "failure", "ready", "scheduled"), (90, 5, 2, 3))[0]
        ended = state in ("success", "failure")
        began = at + luck.random() / 10
        moments = (began, began + luck.lognormvariate(-3, 1)) if ended else (None, None)
        error = luck.choice(errors) if state == "failure" else None
        due_at = now + 3_600 if state == "scheduled" else None
        waits = (state, luck.choice((0, 0, 1)), at, due_at, int(ended))
        told = ('"done"' if state == "success" else None, error, error and error * 20)
        arguments = json.dumps([[f"user{number}@example.com"], {}])
        return (new_id(at), "mail", "send", arguments, *waits, *moments, *told)

    sql = f"insert into miniasgi_job ({_COLUMNS}) values ({', '.join('?' * 14)})"
    for begin in range(0, rows, 50_000):
        some = range(begin, min(begin + 50_000, rows))
        queue.writer.run(lambda db, some=some: db.executemany(sql, map(row, some)))


async def pages(queue: Queue, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each page, the look at the figures included where one is due."""
    took: dict[str, list[float]] = {path: [] for path in PATHS}
    async with Client(monitor(queue)) as client:
        await client.get("/")  # the first look has nothing to share
        for _ in range(rounds):
            for path in PATHS:
                begin = time.perf_counter()
                reply = await client.get(path, headers={"accept": "text/html"})
                took[path].append((time.perf_counter() - begin) * 1e3)
                assert reply.status == 200
            await asyncio.sleep(0.3)
    return took


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m demos.benchmarks.monitor")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitor-") as folder:
        queue = Queue("mail", f"sqlite:///{Path(folder) / 'jobs.db'}", durability="process")
        print(f"writing {options.rows:,} rows ...", file=sys.stderr)
        fill(queue, options.rows)
        took = asyncio.run(pages(queue, options.rounds))
        queue.close()
    print_environment(environment(("miniasgi", "jinja2", "prometheus_client")))
    rows = [(path, f"{median(ms):.1f} ms", f"{max(ms):.1f} ms") for path, ms in took.items()]
    print(table(("page", "median", "slowest"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
