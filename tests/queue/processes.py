"""Other processes for the tests: a script that imports this tree, killed and waited for."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]


class Process:
    """Python code in a process of its own group. ``line()`` waits for its next line of output."""

    def __init__(self, code: str, folder: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", textwrap.dedent(code)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the process ended: {self.errors()}")
        return line.strip()

    def errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(30)

    def kill(self) -> None:
        """``kill -9``, and the kernel has cleared up when this returns."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


#: A worker on jobs.db in the process's folder, with the tasks that the crash tests use.
WORKER = """
    import asyncio, os, sys, time
    from miniasgi.queue import Queue

    queue = Queue("mail", "sqlite:///jobs.db", max_crashes={max_crashes})

    @queue.task
    def stay():
        print("running", os.getpid(), flush=True)
        time.sleep(3600)

    @queue.task
    def quick(n):
        print("did", n, flush=True)

    @queue.task
    def die():
        os.kill(os.getpid(), 9)

    async def main():
        async with queue.worker(concurrency=2, grace=0.1):
            print("ready", flush=True)
            await asyncio.Event().wait()

    if {serve}:
        asyncio.run(main())
"""


def worker(folder: Path, *, max_crashes: int | None = 5) -> Process:
    process = Process(WORKER.format(max_crashes=max_crashes, serve=True), folder)
    assert process.line() == "ready"
    return process
