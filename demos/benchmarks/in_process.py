"""What does the framework cost, with no server and no network beside it?

All applications are driven in one process (driver.py), CPU time of the process is taken, threads
included, with the garbage collector on. Each round visits every application once for each case, in
an order that turns; a figure is the median over rounds of the ratio to bare in the same round,
which noise that lasts longer than a round cannot move.

``python -m demos.benchmarks.in_process`` (half a minute; ``--rounds 20`` for a quick look).
"""

import argparse
import asyncio
import contextlib
from statistics import median
from time import process_time_ns

from demos.benchmarks import report
from demos.benchmarks.applications import CASES, FRAMEWORKS, PLAINTEXT, ASGIApp, Case, load_all
from demos.benchmarks.driver import calls, calls_and_tasks, check, nothing, started

#: How long one batch of equal requests takes, in ns: long beside the clock, short beside a round.
BATCH = 8_000_000

#: CPU time of a request in us: one list for each framework and case, one entry for each round.
Times = dict[str, dict[str, list[float]]]


async def measure(apps: dict[str, ASGIApp], rounds: int) -> Times:
    times: Times = {name: {case.name: [] for case in CASES} for name in apps}
    async with contextlib.AsyncExitStack() as stack:
        for name, app in apps.items():
            await stack.enter_async_context(started(app))
            await check(name, app, CASES)
        sizes = {
            (name, case.name): await batch_size(app, case)
            for name, app in apps.items()
            for case in CASES
        }
        order = list(apps)
        for done in range(rounds):
            report.progress(done, rounds)
            for case in CASES:
                for name in order:
                    spent = await cpu_time(apps[name], case, sizes[name, case.name])
                    times[name][case.name].append(spent / 1000)
            order.append(order.pop(0))
        report.progress(rounds, rounds)
    return times


async def cpu_time(app: ASGIApp, case: Case, times: int) -> float:
    """Nanoseconds of CPU for one request, the mean of so many."""
    before = process_time_ns()
    await calls_and_tasks(app, case, times)
    return (process_time_ns() - before) / times


async def driver_alone() -> float:
    """Microseconds of each request that are the driver's own."""
    spent = []
    for _ in range(50):
        before = process_time_ns()
        await calls(nothing, PLAINTEXT, 2000)
        spent.append((process_time_ns() - before) / 2000)
    return median(spent) / 1000


async def batch_size(app: ASGIApp, case: Case) -> int:
    await cpu_time(app, case, 50)  # warm-up: caches, threads, what is built at the first request
    return max(10, min(2000, int(BATCH / await cpu_time(app, case, 50))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=150, help="default: %(default)s")
    parser.add_argument("--only", nargs="+", default=FRAMEWORKS, help="frameworks, beside bare")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    apps = load_all(arguments.only)
    times = asyncio.run(measure(apps, arguments.rounds))
    driver = asyncio.run(driver_alone())

    facts = report.environment(apps)
    bare = times[FRAMEWORKS[0]]
    ratios = {
        name: {case: report.ratio(spent, bare[case]) for case, spent in cases.items()}
        for name, cases in times.items()
    }
    medians = {
        name: {case: median(spent) for case, spent in cases.items()}
        for name, cases in times.items()
    }
    if arguments.json:
        report.print_json(
            facts, rounds=arguments.rounds, ratio_to_bare=ratios, cpu_us=medians, driver_us=driver
        )
        return
    report.print_environment(facts)
    print("CPU time of a request, as a multiple of bare (in us)\n")
    rows = [
        [
            name,
            *(f"x{ratios[name][case.name]:.2f} ({medians[name][case.name]:.1f})" for case in CASES),
        ]
        for name in apps
    ]
    print(report.table(["", *(case.name for case in CASES)], rows))
    print(f"\nIn each figure, bare's too, the driver: {driver:.2f} us")


if __name__ == "__main__":
    main()
