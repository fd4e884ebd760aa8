"""``python -m demos.on_celery``: Celery as it comes beside Celery as the queue's engine.

Three questions, asked of both on a Redis of the demo's own, with real workers that really die:

- a worker is killed in mid-work, with all its children: is the job done?
- a job is to wait longer than the broker's visibility timeout: how often does it run?
- the broker stands still for 1.5 seconds: how long does everything else on the event loop?

It needs Debian's ``redis-server`` and says so where there is none.
"""

import asyncio
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from celery import Celery

from demos import command
from demos.redis_server import RedisServer, why_not
from miniasgi.queue import Queue

ROOT = Path(__file__).resolve().parent.parent
BROKER = os.environ.get("ON_CELERY", "redis://127.0.0.1:6379/0")
VISIBLE = 2.0  #: seconds; by default an hour
PATIENCE = 40.0
STOPPED = 1.5

#: Celery as it comes, but for a visibility timeout that one can wait for.
plain = Celery("plain", broker=BROKER, backend=BROKER, set_as_current=False)
plain.conf.task_default_queue = "plain"
plain.conf.broker_transport_options = {
    "visibility_timeout": VISIBLE,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
queue = Queue("ours", BROKER, visibility_timeout=VISIBLE)
ours = queue.celery


def _work(name: str, seconds: float) -> None:
    """Say when it begins and ends, in files."""
    say(f"begun {name}")
    if len(told(f"begun {name}")) == 1:
        time.sleep(seconds)
    say(f"ended {name}")


plain.task(name="work", shared=False)(_work)
queue.task(name="work")(_work)


def say(words: str) -> None:
    with open("told", "a") as file:
        file.write(words + "\n")


def told(words: str) -> list[str]:
    return [line for line in Path("told").read_text().splitlines() if line == words]


@contextlib.contextmanager
def worker(app: str) -> Iterator[Callable[[], None]]:
    """A Celery worker in a group of its own; gives the function that kills it all."""
    options = ["--concurrency=1", "--without-gossip", "--without-mingle", "--hostname", f"{app}@%n"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", f"demos.on_celery:{app}", "worker", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def kill() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    try:
        yield kill
    finally:
        kill()


def wait_for(words: str, patience: float = PATIENCE) -> bool:
    until = time.monotonic() + patience
    while not told(words) and time.monotonic() < until:
        time.sleep(0.01)
    return bool(told(words))


def wait_until_it_is_known(app: str) -> None:
    """Until the worker's parent has heard of the start: as Celery comes, it acknowledges then."""
    celery = plain if app == "plain" else ours
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        active = celery.control.inspect(timeout=5.0, limit=1).active() or {}
        if any(job["worker_pid"] for jobs in active.values() for job in jobs):
            return


def publish(app: str, *args: Any, **options: Any) -> None:
    if app == "plain":
        plain.send_task("work", args, **options)
    else:
        queue.tasks["work"].apply_async(args, **options)


def killed(app: str) -> str:
    with worker(app) as kill:
        publish(app, f"{app} killed", 60.0)
        wait_for(f"begun {app} killed")
        wait_until_it_is_known(app)
        kill()
    with worker(app):
        publish(app, f"{app} next", 0.0)
        wait_for(f"ended {app} next")
        again = wait_for(f"ended {app} killed", 4 * VISIBLE)
    return "done, by the next worker" if again else "lost; the next worker does the next job"


def delayed(app: str) -> str:
    try:
        publish(app, f"{app} delayed", 0.0, countdown=3 * VISIBLE)
    except ValueError as exc:
        return f"refused: {exc}"
    with worker(app), worker(app):
        wait_for(f"ended {app} delayed")
        time.sleep(VISIBLE)
    return f"it ran {len(told(f'begun {app} delayed'))} times"


async def stopped(redis: RedisServer, enqueue: Callable[[], Awaitable[object]]) -> str:
    """The longest time that the loop came to nothing else."""
    longest, over = 0.0, False

    async def others() -> None:
        nonlocal longest
        while not over:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    await enqueue()
    running = asyncio.create_task(others())
    await asyncio.sleep(0.1)
    with subprocess.Popen(["sleep", str(STOPPED)]) as rest:
        redis.signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        going_on = loop.run_in_executor(None, lambda: (rest.wait(), redis.signal(signal.SIGCONT)))
        await enqueue()
        await going_on
    over = True
    await running  # it has to come round once more, or the longest wait would not be counted
    return f"others waited at most {longest * 1000:.0f} ms"


async def delay_on_celery() -> None:
    plain.send_task("work", ("stopped", 0.0))


async def delay_on_ours() -> None:
    await queue.tasks["work"].adelay("stopped", 0.0)


def run(redis: RedisServer) -> None:
    Path("told").touch()
    for question, answers in (
        ("a worker is killed in mid-work", killed),
        (f"a countdown of {3 * VISIBLE:g} s, a visibility timeout of {VISIBLE:g} s", delayed),
    ):
        print(f"{question}\n  Celery's defaults: {answers('plain')}\n  ours: {answers('ours')}")
    print(f"the broker stands still for {STOPPED:g} s")
    print(f"  Celery's delay(): {asyncio.run(stopped(redis, delay_on_celery))}")
    print(f"  ours, adelay(): {asyncio.run(stopped(redis, delay_on_ours))}")


def main() -> int:
    if reason := why_not():
        print(f"demos: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        os.chdir(folder)
        os.environ["ON_CELERY"] = redis.url()  # for the workers, and for this module anew
        importlib.import_module("demos.on_celery").run(redis)
        os.chdir(ROOT)
    return 0


if __name__ == "__main__":
    command.run(main)
