"""From enqueue to start: in another process on an idle system, and after a response's body.

Also what an idle worker eats of a core.
"""

import asyncio
import statistics
import time
from pathlib import Path

from demos.benchmarks.queue.peers import in_a_fresh_folder, start, stop


def measure(produce: object, stamps: Path, count: int) -> list[float]:
    stamps.unlink(missing_ok=True)
    for n in range(count):
        produce(time.monotonic())  # type: ignore[operator]
        while not stamps.exists() or stamps.read_text().count("\n") <= n:
            time.sleep(0.005)
        time.sleep(0.02)
    return sorted(map(float, stamps.read_text().split()))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def after_the_body(with_worker: bool, count: int = 300) -> tuple[list[float], list[float]]:
    """Milliseconds that accept took, and from the end of the body to the start of the task."""
    from demos.benchmarks.queue import tasks

    started: list[float] = []
    queue = tasks.queue

    async def note() -> None:
        started.append(time.perf_counter())

    task = queue.task(name=f"note {with_worker}")(note)
    accepts, waits = [], []

    async def respond() -> None:
        begin = time.perf_counter()
        promise = await task.accept()
        accepts.append((time.perf_counter() - begin) * 1e3)
        body = time.perf_counter()
        await promise()
        await promise.result.aget(5)
        waits.append((started[-1] - body) * 1e3)

    if with_worker:
        async with queue.worker():
            for _ in range(count):
                await respond()
    else:
        for _ in range(count):
            await respond()
    return accepts, waits


@in_a_fresh_folder
def main() -> None:
    from demos.benchmarks.queue import tasks

    here = "demos.benchmarks.queue.tasks"
    for name, produce, count, command in (
        ("ours", tasks.stamp.delay, 200, ("-m", "miniasgi", "worker", f"{here}:queue")),
        (
            "huey sqlite",
            tasks.huey_stamp,
            40,
            ("-m", "huey.bin.huey_consumer", f"{here}.huey", "--quiet"),
        ),
    ):
        process = start(*command)
        time.sleep(2)
        found = measure(produce, Path(tasks.STAMPS), count)
        before = cpu_seconds(process.pid)
        time.sleep(5)
        idle = (cpu_seconds(process.pid) - before) / 5
        stop(process)
        p50, p99 = statistics.median(found), found[int(len(found) * 0.99)]
        print(f"{name:12} p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  idle {idle:.1%} of a core")
    for with_worker in (False, True):
        accepts, waits = map(statistics.median, asyncio.run(after_the_body(with_worker)))
        where = "a worker here" if with_worker else "run in place"
        print(f"durable task, {where}: accept {accepts:.3f} ms, body to start {waits:.4f} ms")


if __name__ == "__main__":
    main()
