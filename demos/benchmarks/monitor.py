"""The monitor at a million rows: how long each page takes, and what open pages cost the queue.

The file is made anew, with a day's history. Pages are asked for in process, one after the other, at
first by monitors that have seen nothing yet. Then a worker in another process empties a backlog, in
turns with ten pages open (a stream of events each, and the page whenever it tells of a change) and
with none; only the ratio of neighbouring turns is believed, and where others use the machine rather
that of the processor's time a job than that of jobs a second.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import httpx

from demos.benchmarks.report import environment, print_environment, table
from miniasgi import MiniASGI
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
PAGES = 10
TURN = 4.0  #: seconds
_COLUMNS = (
    "id, queue, task, arguments, state, priority, created_at, due_at, attempt, started_at,"
    "settled_at, result, error, traceback"
)

queue = Queue("mail", os.environ.get("BENCHMARK_FILE"), durability="process")
app = MiniASGI(lifespan=queue.lifespan)
app.mount("/jobs", monitor(queue))


@queue.task
async def send(to: str) -> str:
    return "done"


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

    write(queue, (row(number) for number in range(rows)))


def write(queue: Queue, rows: object) -> None:
    sql = f"insert into miniasgi_job ({_COLUMNS}) values ({', '.join('?' * 14)})"
    queue.writer.run(lambda db: db.executemany(sql, rows))


def fill_backlog(queue: Queue, rows: int) -> None:
    """Jobs for the worker: what runs first, because it is more urgent."""
    now = time.time()
    nothing = (None,) * 5
    jobs = (
        (
            new_id(now),
            "mail",
            "send",
            '[["ada@example.com"], {}]',
            "ready",
            9,
            now,
            None,
            0,
            *nothing,
        )
        for _ in range(rows)
    )
    write(queue, jobs)


# Pages


Took = tuple[float, float]  #: milliseconds, and those of them in which a processor worked


async def pages(queue: Queue, rounds: int) -> dict[str, tuple[list[Took], list[Took]]]:
    """What each page took: by monitors that have seen nothing, and by one that has."""
    took: dict[str, tuple[list[Took], list[Took]]] = {path: ([], []) for path in PATHS}
    for path in PATHS:
        for _ in range(5):
            async with Client(monitor(queue)) as client:
                took[path][0].append(await _milliseconds(client, path))
            queue.close()  # the next one opens the file anew
    async with Client(monitor(queue)) as client:
        await client.get("/")
        for _ in range(rounds):
            for path in PATHS:
                took[path][1].append(await _milliseconds(client, path))
            await asyncio.sleep(0.1)
    return took


async def _milliseconds(client: Client, path: str) -> Took:
    begin, worked = time.perf_counter(), time.process_time()
    reply = await client.get(path, headers={"accept": "text/html"})
    took = (time.perf_counter() - begin) * 1e3, (time.process_time() - worked) * 1e3
    assert reply.status == 200
    return took


# What they cost the queue


class Turn(NamedTuple):
    """Some seconds: jobs a second; of processors, what one job took in the worker's process (µs),
    and the share that the process with the pages took.
    """

    rate: float
    job: float
    share: float


async def turns(queue: Queue, rounds: int, *, mounted: bool) -> list[tuple[Turn, Turn]]:
    """Without and with open pages, turn about.

    ``mounted``: the worker shares its process with the pages; else it has one of its own.
    """
    port = free_port()
    base = f"http://127.0.0.1:{port}" + ("/jobs" if mounted else "")
    serve = (
        ["uvicorn", f"{__spec__.name}:app", "--port", str(port), "--log-level", "warning"]
        if mounted
        else ["miniasgi", "monitor", f"{__spec__.name}:queue", "--port", str(port)]
    )
    work = [] if mounted else [["miniasgi", "worker", f"{__spec__.name}:queue"]]
    children = [
        subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL)
        for command in (serve, *work)
    ]
    pids = (children[0].pid, children[-1].pid)
    try:
        async with httpx.AsyncClient(base_url=base, timeout=30.0) as client:
            await until_up(client)
            seen = []
            for _ in range(rounds):
                closed = await a_turn(queue, *pids)
                async with open_pages(client):
                    seen.append((closed, await a_turn(queue, *pids)))
            return seen
    finally:
        for child in children:
            child.terminate()
            child.wait()


async def a_turn(queue: Queue, server: int, worker: int) -> Turn:
    await asyncio.sleep(0.5)
    begin, before, worked, served = time.perf_counter(), waiting(queue), cpu(worker), cpu(server)
    await asyncio.sleep(TURN)
    after, seconds = waiting(queue), time.perf_counter() - begin
    assert after > 0, "the backlog is empty: give more --backlog"
    done = before - after
    job = (cpu(worker) - worked) / done * 1e6
    return Turn(done / seconds, job, (cpu(server) - served) / seconds)


def cpu(pid: int) -> float:
    """Seconds of processors that a process has used (proc(5), "utime" and "stime")."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waiting(queue: Queue) -> int:
    sql = "select count(*) from miniasgi_job where queue = 'mail' and state = 'ready'"
    found: int = queue.writer.read(lambda db: db.execute(sql).fetchone()[0])
    return found


@asynccontextmanager
async def open_pages(client: httpx.AsyncClient) -> AsyncIterator[None]:
    pages = [asyncio.create_task(open_page(client)) for _ in range(PAGES)]
    try:
        yield
    finally:
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)


async def open_page(client: httpx.AsyncClient) -> None:
    """What live.js does."""
    await client.get("/")
    while True:
        async with client.stream("GET", "/live") as events:
            async for line in events.aiter_lines():
                if line.startswith("data:"):
                    (await client.get("/")).raise_for_status()


async def until_up(client: httpx.AsyncClient) -> None:
    for _ in range(300):
        try:
            (await client.get("/api/workers")).raise_for_status()
            return
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise OSError("the monitor does not come up")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m demos.benchmarks.monitor")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=100, help="of each page")
    parser.add_argument("--turns", type=int, default=6, help="with pages open, and without")
    parser.add_argument("--backlog", type=int, default=500_000, help="jobs for these turns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitor-") as folder:
        where = f"sqlite:///{Path(folder) / 'jobs.db'}"
        os.environ["BENCHMARK_FILE"] = where
        queue = Queue("mail", where, durability="process")
        print(f"writing {options.rows:,} rows ...", file=sys.stderr)
        fill(queue, options.rows)
        print_environment(environment(("miniasgi", "jinja2", "prometheus_client")))
        print_pages(asyncio.run(pages(queue, options.rounds)))
        kinds = (("of its own", False), ("shared with the pages", True))
        for name, mounted in kinds if options.turns else ():
            fill_backlog(queue, options.backlog)
            print_turns(name, asyncio.run(turns(queue, options.turns, mounted=mounted)))
        queue.close()
    return 0


def print_pages(took: dict[str, tuple[list[Took], list[Took]]]) -> None:
    rows = []
    for path, (cold, warm) in took.items():
        cells = [f"{max(wall):.0f} {max(cpu):.0f}" for wall, cpu in [zip(*cold, strict=True)]]
        for figure in (median, p99, max):
            cells.append(" ".join(f"{figure(one):.1f}" for one in zip(*warm, strict=True)))
        rows.append((path, *cells))
    print("Milliseconds, and those in which a processor worked:\n")
    print(table(("page", "first request, slowest of 5", "median", "p99", "slowest"), rows))


def p99(took: Sequence[float]) -> float:
    return quantiles(took, n=100, method="inclusive")[98]


def print_turns(process: str, seen: list[tuple[Turn, Turn]]) -> None:
    print(f"\nThe worker in a process {process}, without and with {PAGES} pages open:\n")
    rows = [
        (
            f"{closed.rate:,.0f} {opened.rate:,.0f} {opened.rate / closed.rate - 1:+.1%}",
            f"{closed.job:.0f} {opened.job:.0f} {opened.job / closed.job - 1:+.1%}",
            f"{closed.share:.0%} {opened.share:.0%}",
        )
        for closed, opened in seen
    ]
    rate = median(opened.rate / closed.rate for closed, opened in seen) - 1
    job = median(opened.job / closed.job for closed, opened in seen) - 1
    rows.append((f"median {rate:+.1%}", f"median {job:+.1%}", ""))
    print(
        table(("jobs a second", "µs of processor a job", "processor of the pages' process"), rows)
    )


if __name__ == "__main__":
    sys.exit(main())
