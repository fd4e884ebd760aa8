"""The queues that `beside` measures, each as its documentation sets it up, on one job.

The job appends two doubles to a file: when it was ordered and when it began, on CLOCK_MONOTONIC. So
one `stat` tells how many jobs are done, whatever the queue is, and the file tells how long each
waited. Where files and servers are say ``$BESIDE_FOLDER``, ``$BESIDE_REDIS`` and
``$BESIDE_REDIS_ALWAYS``, because a queue's own worker command imports this module too.

Rule of this file: a package that is not installed is a contender less, and nothing else.
"""

import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from miniasgi.queue import Queue

FOLDER = os.environ.get("BESIDE_FOLDER", ".")
REDIS = os.environ.get("BESIDE_REDIS", "")
REDIS_ALWAYS = os.environ.get("BESIDE_REDIS_ALWAYS", "")
STAMPS = os.path.join(FOLDER, "stamps")
HERE = "demos.benchmarks.queue.contenders"


def stamp(sent: float) -> None:
    """The job. One write to a file opened to append is whole."""
    file = os.open(STAMPS, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(file, struct.pack("dd", sent, time.monotonic()))
    os.close(file)


@dataclass
class Contender:
    """One queue in one configuration. Commands follow ``python -m``."""

    name: str
    package: str
    durability: str  #: what survives when it says "queued": the loss of power, or ``kill -9``
    produce: Callable[[float], object]
    one_slot: list[str]
    best: list[str]
    aproduce: Callable[[float], Any] | None = None  #: the same awaited, where there is such
    produce_best: Callable[[float], object] | None = None  #: for the best slots, if another
    needs: str = ""  #: "redis" or "redis-always"


def all_contenders() -> Iterator[Contender]:
    """Ours first; then whoever is installed."""
    for find in (_ours, _huey, _celery, _rq, _potatoq):
        with suppress(ModuleNotFoundError):
            yield from find()


# miniasgi: durable against the loss of power by default; against kill -9 by choice.

power = Queue("power", f"sqlite:///{FOLDER}/miniasgi-power.db")
process = Queue("process", f"sqlite:///{FOLDER}/miniasgi-process.db", durability="process")


async def _stamp_on_the_loop(sent: float) -> None:
    stamp(sent)


for _queue in (power, process):
    _queue.task(name="stamp")(stamp)
    _queue.task(name="stamp_async")(_stamp_on_the_loop)


def _ours() -> Iterator[Contender]:
    for name, queue in (("power", power), ("process", process)):
        task = queue.tasks["stamp"]
        worker = ["miniasgi", "worker", f"{HERE}:{name}", "--concurrency"]
        yield Contender(
            f"miniasgi, {'FULL' if name == 'power' else 'NORMAL'}",
            "miniasgi",
            "power" if name == "power" else "kill -9",
            task.delay,
            [*worker, "1"],
            [*worker, "100"],
            queue.tasks["stamp_async"].adelay,
            queue.tasks["stamp_async"].delay,
        )


def _huey() -> Iterator[Contender]:
    import huey as _huey_package  # noqa: F401 (is it there?)

    consumer = ["huey.bin.huey_consumer", f"{HERE}.huey", "--quiet", "-k", "thread", "-w", "1"]
    yield Contender("Huey SQLite", "huey", "power", huey_stamp, consumer, consumer)


def _celery() -> Iterator[Contender]:
    import celery as _celery_package  # noqa: F401

    for app, durability, needs in (
        ("celery_default", "snapshots", "redis"),
        ("celery_equal", "power", "redis-always"),
    ):
        worker = ["celery", "-A", f"{HERE}:{app}", "worker", "-l", "ERROR"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        yield Contender(
            f"Celery Redis, {'default' if needs == 'redis' else 'acks late, fsync always'}",
            "celery",
            durability,
            globals()[f"{app}_stamp"].delay,
            [*worker, "-P", "prefork", "-c", "1"],
            [*worker, "-P", "solo"],
            needs=needs,
        )


def _rq() -> Iterator[Contender]:
    import rq

    for url, durability, needs in (
        (REDIS, "snapshots", "redis"),
        (REDIS_ALWAYS, "power", "redis-always"),
    ):
        if not url:
            continue
        import redis

        jobs = rq.Queue("beside", connection=redis.Redis.from_url(url))
        worker = ["rq.cli", "worker", "--quiet", "--url", url, "beside"]

        def produce(sent: float, jobs: Any = jobs) -> object:
            return jobs.enqueue(stamp, sent, result_ttl=0)

        yield Contender(
            f"RQ Redis, {'default' if needs == 'redis' else 'fsync always'}",
            "rq",
            durability,
            produce,
            worker,
            [*worker[:2], "-w", "rq.worker.SimpleWorker", *worker[2:]],
            needs=needs,
        )


def _potatoq() -> Iterator[Contender]:
    import potatoq as _potatoq_package  # noqa: F401

    for app, durability in (("potato_default", "kill -9"), ("potato_equal", "power")):
        worker = ["potatoq", "-A", f"{HERE}:{app}", "worker", "-l", "ERROR"]
        yield Contender(
            f"potatoq SQLite, {'FULL' if durability == 'power' else 'default'}",
            "potatoq",
            durability,
            globals()[f"{app}_stamp"].delay,
            [*worker, "-c", "1"],
            [*worker, "-P", "solo"],
        )


# The applications, where their own workers look for them.

with suppress(ModuleNotFoundError):
    from huey import SqliteHuey

    # It makes its file at once, also for who only asks what contenders there are.
    _file = f"{FOLDER}/huey.db" if "BESIDE_FOLDER" in os.environ else ":memory:"
    huey = SqliteHuey("beside", filename=_file, results=False)
    huey_stamp = huey.task()(stamp)

with suppress(ModuleNotFoundError):
    from celery import Celery

    def _celery_app(url: str, **settings: Any) -> Any:
        app = Celery("beside", broker=url or "memory://")
        app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
        app.conf.update(settings)
        return app

    celery_default = _celery_app(REDIS)
    celery_equal = _celery_app(
        REDIS_ALWAYS,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
    )
    celery_default_stamp = celery_default.task(name="stamp")(stamp)
    celery_equal_stamp = celery_equal.task(name="stamp")(stamp)

with suppress(ModuleNotFoundError):
    from potatoq import Potatoq

    def _potato_app(name: str, **settings: Any) -> Any:
        return Potatoq(name, broker=f"sqlite:///{FOLDER}/{name}.db", **settings)

    potato_default = _potato_app("potato_default")
    potato_equal = _potato_app("potato_equal", broker_transport_options={"durable": True})
    potato_default_stamp = potato_default.task(name="stamp")(stamp)
    potato_equal_stamp = potato_equal.task(name="stamp")(stamp)

if __name__ == "__main__":
    sys.exit("these are the contenders; run: python -m demos.benchmarks.queue.beside")
