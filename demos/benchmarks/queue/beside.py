"""The queue beside Huey, Celery, RQ and potatoq: the same job, in turns, in one run.

Each round visits every contender once for enqueueing (one producer, 32 threads; and 32 coroutines
where there is a way), once for draining (one worker process, one slot and best), and for the time
from enqueue to start on an idle worker. Printed are medians, and the median of the rounds' ratios.
A package that is not installed, and Redis without ``redis-server``, is left out with one line.

Redis is started twice on free loopback ports, at its default (snapshots) and with ``appendonly yes,
appendfsync always``, and ended with this process.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from demos.benchmarks.report import environment, print_environment, print_json, ratio, table

if TYPE_CHECKING:
    from demos.benchmarks.queue.contenders import Contender

PACKAGES = ("miniasgi", "huey", "celery", "rq", "potatoq", "redis")
KINDS = ("enqueue 1", "enqueue 32", "drain 1", "drain best", "start p50", "start p99")
STARTING = 20.0  #: seconds that a worker may take until its first job


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m demos.benchmarks.queue.beside")
    parser.description = (__doc__ or "").split("\n\n")[0]
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="how often everybody is visited (3)")
    add("--seconds", type=float, default=1.0, help="of each enqueueing (1)")
    add("--jobs", type=int, default=2_000, help="to drain, for 6 seconds at most (2000)")
    add("--only", default="", metavar="WORD,...", help="contenders whose name has one of these")
    add("--json", action="store_true", help="all rounds as JSON")
    options = parser.parse_args()
    logging.getLogger("miniasgi.queue").setLevel(logging.ERROR)
    # As Ctrl-C: else a SIGTERM, such as timeout(1) sends, leaves Redis and a worker behind.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="beside-")))
        os.environ["BESIDE_FOLDER"] = str(folder)
        for variable, settings in (
            ("BESIDE_REDIS", ()),
            ("BESIDE_REDIS_ALWAYS", ("--appendonly", "yes", "--appendfsync", "always")),
        ):
            os.environ[variable] = stack.enter_context(redis_server(folder / variable, *settings))
        chosen = contenders(options.only)
        disk = [fsyncs_a_second(folder)]
        rounds = measured(chosen, options, folder)
        disk.append(fsyncs_a_second(folder))
    facts = environment(PACKAGES) | {"fsync a second": ", ".join(f"{rate:,.0f}" for rate in disk)}
    if not rounds:
        say("nothing was measured to its end")
        return 1
    if options.json:
        print_json(facts, rounds=rounds)
    else:
        print_environment(facts)
        print_tables(rounds)
    return 0


def fsyncs_a_second(folder: Path, seconds: float = 0.5) -> float:
    """What every durable figure depends on: 16 KiB written and synced, again and again."""
    begin, count = time.perf_counter(), 0
    with (folder / "synced").open("wb") as file:
        while time.perf_counter() < begin + seconds:
            os.pwrite(file.fileno(), b"x" * 16_384, 0)
            os.fsync(file.fileno())
            count += 1
    return count / (time.perf_counter() - begin)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextlib.contextmanager
def redis_server(folder: Path, *settings: str) -> Iterator[str]:
    """A Redis of our own; gives its URL, or an empty one if there is no ``redis-server``."""
    command = shutil.which("redis-server")
    if command is None:
        yield ""
        return
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *settings]
    process = subprocess.Popen([command, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def contenders(only: str) -> "list[Contender]":
    """Those that can be measured here, and a line for each that cannot."""
    from demos.benchmarks.queue.contenders import all_contenders

    words = [word.strip().lower() for word in only.split(",") if word.strip()]
    found = list(all_contenders())
    for package in PACKAGES[:-1]:
        if package not in {contender.package for contender in found}:
            say(f"{package} is left out: it is not installed, or has no Redis")
    if not os.environ["BESIDE_REDIS"]:
        say("Celery and RQ are left out: there is no redis-server")
        found = [contender for contender in found if not contender.needs]
    matching = [c for c in found if not words or any(word in c.name.lower() for word in words)]
    return matching or found


def measured(
    chosen: "Sequence[Contender]", options: argparse.Namespace, folder: Path
) -> dict[str, list[dict[str, float]]]:
    """For each contender what each round saw. Who fails is left out from then on."""
    rounds: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in chosen}
    for number in range(options.rounds):
        turn = number % len(chosen)
        for contender in (*chosen[turn:], *chosen[:turn]):
            if contender.name not in rounds:
                continue
            say(f"round {number + 1} of {options.rounds}: {contender.name}")
            try:
                rounds[contender.name].append(visit(contender, options, folder))
            except KeyboardInterrupt:
                say("stopped: only the rounds that were whole are shown")
                return {name: seen[:number] for name, seen in rounds.items() if seen[:number]}
            except (OSError, RuntimeError) as exc:  # a TimeoutError is an OSError
                say(f"{contender.name} is left out: {exc}")
                del rounds[contender.name]
    return rounds


def visit(contender: "Contender", options: argparse.Namespace, folder: Path) -> dict[str, float]:
    stamps = folder / "stamps"
    seen: dict[str, float] = {}
    for kind, command, produce in (
        ("drain 1", contender.one_slot, contender.produce),
        ("drain best", contender.best, contender.produce_best or contender.produce),
    ):
        for _ in range(options.jobs):
            produce(0.0)
        with worker(command):
            seen[kind] = drained(stamps, options.jobs)
    seen["enqueue 1"] = enqueued(contender.produce, 1, options.seconds)
    seen["enqueue 32"] = enqueued(contender.produce, 32, options.seconds)
    if contender.aproduce is not None:
        seen["enqueue 32, awaited"] = asyncio.run(awaited(contender.aproduce, 32, options.seconds))
    waits = idle(contender, stamps)
    seen["start p50"] = median(waits) * 1e3
    seen["start p99"] = waits[int(len(waits) * 0.99)] * 1e3
    return seen


def enqueued(produce: Callable[[float], object], threads: int, seconds: float) -> float:
    """Jobs a second, by so many threads at once."""
    counts = [0] * threads
    begin = time.perf_counter()

    def work(slot: int) -> None:
        while time.perf_counter() < begin + seconds:
            produce(0.0)
            counts[slot] += 1

    pool = [threading.Thread(target=work, args=(slot,)) for slot in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return sum(counts) / (time.perf_counter() - begin)


async def awaited(
    aproduce: Callable[[float], Awaitable[object]], tasks: int, seconds: float
) -> float:
    count, begin = 0, time.perf_counter()

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < begin + seconds:
            await aproduce(0.0)
            count += 1

    await asyncio.gather(*(work() for _ in range(tasks)))
    return count / (time.perf_counter() - begin)


@contextlib.contextmanager
def worker(command: Sequence[str]) -> Iterator[None]:
    """A worker process in a group of its own, which ends with all its children."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"its worker ended with {process.returncode}")
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def drained(stamps: Path, wanted: int) -> float:
    """Jobs a second, from the first that began to the last; at most 6 seconds of them."""
    stamps.unlink(missing_ok=True)
    until = time.perf_counter() + STARTING
    while count(stamps) == 0:
        if time.perf_counter() > until:
            raise TimeoutError(f"no job began in {STARTING:g} s")
        time.sleep(0.001)
    begin, first = time.perf_counter(), count(stamps)
    newest, done = begin, first
    while done < wanted and (now := time.perf_counter()) < begin + 6.0:
        if (more := count(stamps)) > done:
            newest, done = now, more
        elif now > newest + 2.0:  # some went with the worker before, which was ended in mid-work
            break
        time.sleep(0.001)
    if done <= first:
        raise TimeoutError("only one job began")
    return (done - first) / (newest - begin)


def count(stamps: Path) -> int:
    return stamps.stat().st_size // 16 if stamps.exists() else 0


def idle(contender: "Contender", stamps: Path, jobs: int = 60) -> list[float]:
    """Seconds from enqueue to start, one job at a time, once the worker has nothing left."""
    waits: list[float] = []
    with worker(contender.best):
        settled(stamps)
        for _ in range(jobs):
            stamps.unlink(missing_ok=True)
            contender.produce(sent := time.monotonic())
            until = time.perf_counter() + 5.0
            while (began := begins(stamps).get(sent)) is None:  # not one that was left over
                if time.perf_counter() > until:
                    raise TimeoutError("a job did not begin within 5 s on an idle worker")
                time.sleep(0.0005)
            waits.append(began - sent)
            time.sleep(0.01)
    return sorted(waits)


def begins(stamps: Path) -> dict[float, float]:
    """When each job began, by when it was ordered."""
    content = stamps.read_bytes() if stamps.exists() else b""
    return dict(struct.iter_unpack("dd", content[: len(content) // 16 * 16]))


def settled(stamps: Path) -> None:
    """Wait until nothing has begun for a second: the backlog is done."""
    until, last, quiet = time.perf_counter() + 120.0, -1, 0.0
    while time.perf_counter() < until and quiet < 1.0:
        time.sleep(0.05)
        now = count(stamps)
        quiet = quiet + 0.05 if now == last and now else 0.0
        last = now
    if quiet < 1.0:
        raise TimeoutError("its backlog was not done in 120 s")


def print_tables(rounds: dict[str, list[dict[str, float]]]) -> None:
    """Medians; and below, how many times the first contender is quicker in the same round."""
    base = next(iter(rounds))
    kinds = [*KINDS[:2], "enqueue 32, awaited", *KINDS[2:]]
    rows = []
    for name, seen in rounds.items():
        row = [name]
        for kind in kinds:
            values = [one[kind] for one in seen if kind in one]
            number = median(values) if values else None
            unit = " ms" if kind.startswith("start") else "/s"
            digits = 2 if kind.startswith("start") else 0
            row.append("-" if number is None else f"{number:,.{digits}f}{unit}")
        rows.append(row)
    print(table(["queue", *kinds], rows))
    print(f"\n{base}, how many times quicker (the median of the rounds' ratios):\n")
    rows = []
    for name, seen in rounds.items():
        if name == base:
            continue
        row = [name]
        for kind in KINDS:
            ours = [one[kind] for one in rounds[base]]
            if kind == "enqueue 32":  # its best way for many at once
                ours = [max(one[kind], one["enqueue 32, awaited"]) for one in rounds[base]]
            theirs = [one[kind] for one in seen]
            pair = (theirs, ours) if kind.startswith("start") else (ours, theirs)
            row.append(f"{ratio(*pair):.1f}x")
        rows.append(row)
    print(table(["beside", *KINDS], rows))


if __name__ == "__main__":
    sys.exit(main())
