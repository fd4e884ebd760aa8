"""The queue and the Huey that the benchmarks measure, on files named by the environment."""

import os
import time

from huey import SqliteHuey

from miniasgi.queue import Queue

FOLDER = os.environ.get("BENCH_FOLDER", ".")
STAMPS = os.path.join(FOLDER, "stamps")

queue = Queue("bench", f"sqlite:///{FOLDER}/ours.db")
huey = SqliteHuey("bench", filename=f"{FOLDER}/huey.db", results=False)


@queue.task
async def noop(n: int) -> None:
    """Nothing, on the loop."""


@queue.task
def noop_in_thread(n: int) -> None:
    """Nothing, in a thread."""


@huey.task()
def huey_noop(n: int) -> None:
    """Nothing, in Huey."""


@queue.task
async def stamp(sent: float) -> None:
    _stamp(sent)


@queue.task
def stay(number: int) -> None:
    """Say who began, and when; then stay."""
    with open(os.path.join(FOLDER, "starts"), "a") as file:
        file.write(f"{os.getpid()} {time.monotonic()}\n")
    time.sleep(60)


@huey.task()
def huey_stamp(sent: float) -> None:
    _stamp(sent)


def _stamp(sent: float) -> None:
    # CLOCK_MONOTONIC is one clock for all processes of a machine.
    with open(STAMPS, "a") as file:
        file.write(f"{(time.monotonic() - sent) * 1000:.3f}\n")
