"""Torture: a web server and three workers on one file, and every 200 ms one of them is killed.

    python -m tests.queue.torture --rounds 20 --jobs 5000

Every job that was acknowledged over HTTP must have run to its end; none may run twice at one time;
a job runs again only where a kill fell between its work and its commit. Even jobs are promised by
the response (promise, send, run), odd ones are awaited enqueues.

How it is judged: each run appends ``start`` and ``end`` with its job, process and moment on
CLOCK_MONOTONIC to one file, and the killer notes when each process had ended.
"""

import argparse
import asyncio
import http.client
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from miniasgi.background import BackgroundTasks
from miniasgi.queue import Queue

FAULTS = ("lost", "at one time", "again without a kill")
ROOT = Path(__file__).parents[2]
queue = Queue("torture", os.environ.get("TORTURE", "sqlite:///torture.db"), max_crashes=None)


@queue.task(bind=True)
async def work(self: Any, n: int) -> None:
    _note("start", self.id)
    await asyncio.sleep(random.uniform(0, 0.01))
    _note("end", self.id)


@queue.task(bind=True)
def work_in_thread(self: Any, n: int) -> None:
    _note("start", self.id)
    time.sleep(random.uniform(0, 0.01))
    _note("end", self.id)


def _note(what: str, id: str) -> None:
    file = os.open("runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{what} {id} {os.getpid()} {time.monotonic()}\n".encode())
    os.close(file)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer 202 with the job's id, in the order of `Response.__call__`."""
    if scope["type"] != "http":
        return
    n = int(scope["query_string"])
    background = BackgroundTasks()
    task = work if n % 3 else work_in_thread
    result = background.add_task(task, n) if n % 2 else await task.adelay(n)
    await background.accept()
    await send({"type": "http.response.start", "status": 202, "headers": []})
    await send({"type": "http.response.body", "body": result.id.encode()})
    await background()


@dataclass
class Round:
    """One round: the processes, what was acknowledged, and the verdict."""

    folder: Path
    jobs: int
    acknowledged: set[str] = field(default_factory=set)
    ended: dict[int, float] = field(default_factory=dict)  # by process, when it was dead
    kills: int = 0

    def run(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.processes = [self._start(kind) for kind in range(4)]
        over = threading.Event()
        killer = threading.Thread(target=self._kill, args=(over,))
        killer.start()
        numbers = iter(range(self.jobs))
        clients = [threading.Thread(target=self._enqueue, args=(numbers,)) for _ in range(8)]
        try:
            for client in clients:
                client.start()
            for client in clients:
                client.join()
        finally:
            over.set()
            killer.join()
        self._await_all()
        for process in self.processes:
            process.kill()
            process.wait()
        self.socket.close()

    def _start(self, kind: int) -> subprocess.Popen[bytes]:
        server = f"import uvicorn; uvicorn.run('tests.queue.torture:app', fd={self.socket.fileno()}"
        command = (
            ["-c", f"{server}, log_level='error', lifespan='off')"]
            if kind == 0
            else ["-m", "miniasgi", "worker", "tests.queue.torture:queue"]
        )
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "TORTURE": "sqlite:///torture.db"},
                pass_fds=[self.socket.fileno()],
                stdout=log,
                stderr=log,
            )

    def _kill(self, over: threading.Event) -> None:
        while not over.is_set() or self.kills < 10:
            time.sleep(0.2)
            # One that is just starting may be hit as well. But where starting takes longer than the
            # next kill is away, on a busy machine, nobody would ever come to work.
            if sum(map(self._is_up, range(4))) < 2:
                continue
            kind = random.randrange(4)
            process = self.processes[kind]
            process.kill()
            process.wait()
            self.ended[process.pid] = time.monotonic()
            self.kills += 1
            self.processes[kind] = self._start(kind)

    def _is_up(self, kind: int) -> bool:
        owners = self.folder / "torture.db-owners"
        return any(owners.glob(f"*-{self.processes[kind].pid}-*"))

    def _enqueue(self, numbers: Any) -> None:
        for n in numbers:
            while not self._post(n):
                pass

    def _post(self, n: int) -> bool:
        connection = http.client.HTTPConnection(*self.socket.getsockname(), timeout=10)
        try:
            connection.request("POST", f"/?{n}")
            reply = connection.getresponse()
            if reply.status == 202:
                self.acknowledged.add(reply.read().decode())
            return reply.status == 202
        except (OSError, http.client.HTTPException):
            return False  # killed before it could answer: nothing was promised
        finally:
            connection.close()

    def _await_all(self, patience: float = 60.0) -> None:
        until = time.monotonic() + patience
        while self.acknowledged - {id for what, id, *_ in self.runs() if what == "end"}:
            if time.monotonic() > until:
                return
            time.sleep(0.05)

    def runs(self) -> list[list[str]]:
        return [line.split() for line in (self.folder / "runs").read_text().splitlines()]

    def verdict(self) -> dict[str, int]:
        """Counts; all but ``acknowledged``, ``kills`` and ``again`` must be 0."""
        runs: dict[str, list[tuple[float, float, int]]] = {}  # start, end, process
        finished = set()
        for what, id, pid, at in self.runs():
            if what == "start":
                # Until it is known to have ended: the death of its process, or never.
                end = self.ended.get(int(pid), float("inf"))
                runs.setdefault(id, []).append((float(at), end, int(pid)))
            else:
                runs[id][-1] = (runs[id][-1][0], float(at), int(pid))
                finished.add(id)
        pairs = [pair for found in runs.values() for pair in pairwise(found)]
        return {
            "acknowledged": len(self.acknowledged),
            "kills": self.kills,
            "again": len(pairs),
            "lost": len(self.acknowledged - finished),
            "at one time": sum(later[0] < earlier[1] for earlier, later in pairs),
            "again without a kill": sum(earlier[2] not in self.ended for earlier, _ in pairs),
        }


def torture(jobs: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        one = Round(Path(folder), jobs)
        one.run()
        return one.verdict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=5_000)
    options = parser.parse_args()
    bad = 0
    for number in range(options.rounds):
        verdict = torture(options.jobs)
        bad += sum(verdict[fault] for fault in FAULTS)
        print(number + 1, verdict, flush=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
