"""Durable enqueue: one lone producer, and 32 at once, beside Huey's SQLite, in one run."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable

from demos.benchmarks.queue.peers import fsyncs_a_second, in_a_fresh_folder

SECONDS = 2.0


def lone(produce: Callable[[int], object]) -> float:
    produce(0)  # opens the file
    count, begin = 0, time.perf_counter()
    while (now := time.perf_counter()) < begin + SECONDS:
        produce(count)
        count += 1
    return count / (now - begin)


def in_threads(produce: Callable[[int], object], number: int = 32) -> float:
    produce(0)
    counts = [0] * number
    until = time.perf_counter() + SECONDS

    def work(slot: int) -> None:
        while time.perf_counter() < until:
            produce(0)
            counts[slot] += 1

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


async def on_a_loop(number: int = 32) -> float:
    from demos.benchmarks.queue.tasks import noop

    count, until = 0, time.perf_counter() + SECONDS

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < until:
            await noop.adelay(count)
            count += 1

    await asyncio.gather(*(work() for _ in range(number)))
    return count / SECONDS


@in_a_fresh_folder
def main() -> None:
    from demos.benchmarks.queue.tasks import huey_noop, noop

    rounds: dict[str, list[float]] = {}
    print(f"fsync {fsyncs_a_second():,.0f}/s")
    for _ in range(3):
        for name, measure in {
            "huey sqlite, 1 producer": lambda: lone(huey_noop),
            "ours, 1 producer, delay": lambda: lone(noop.delay),
            "huey sqlite, 32 threads": lambda: in_threads(huey_noop),
            "ours, 32 threads, delay": lambda: in_threads(noop.delay),
            "ours, 32 coroutines, adelay": lambda: asyncio.run(on_a_loop()),
        }.items():
            rounds.setdefault(name, []).append(measure())
    for name, rates in rounds.items():
        print(f"{name:32} {statistics.median(rates):10,.0f}/s   {[round(r) for r in rates]}")
    print(f"fsync {fsyncs_a_second():,.0f}/s")


if __name__ == "__main__":
    main()
