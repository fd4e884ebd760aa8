"""Runs: at most so many wait, two go on at once, each in a child process and bounded in time.

A run is a job of our queue, in a file that lives as long as the lab: the answer to the button is
sent, then the job begins. What it does is told to whoever listens (`Runs.follow`), one dictionary
a step.
Rule of this file: only processes started here are signalled here.
"""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from demos.lab.shelf import Shelf
from demos.servers import ROOT
from miniasgi.queue import Queue
from miniasgi.queue.tasks import new_id

AT_ONCE = 2  #: runs that go on
WAITING = 6  #: runs that may wait or go on; one more is refused
REMEMBERED = 50  #: runs whose steps can still be read
SECONDS = 90.0  #: that one scenario may take
ENDING = 20.0  #: seconds that a child may take to end its servers
LONGEST_LINE = 64 * 1024 * 1024


class Full(Exception):
    """Too many runs wait already."""


@dataclass(eq=False)
class Run:
    """One run of one scenario or of many."""

    id: str
    names: tuple[str, ...]
    guess: int | None = None
    state: str = "waiting"  #: then running, and at last done, failed or stopped
    error: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    entries: dict[str, str] = field(default_factory=dict)  #: ids on the shelf by scenario
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None

    def said(self, name: str) -> dict[str, list[tuple[float, str]]]:
        """What was said so far in this scenario."""
        return said(self.steps, name)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "stopped")

    def tell(self, **step: Any) -> None:
        self.steps.append(step)
        self.wake()

    def wake(self) -> None:
        """Wake who listens: each waits at the event that was there when it looked."""
        self.changed.set()
        self.changed = asyncio.Event()


class Runs:
    """All runs of this lab: ``async with Runs(shelf, folder)``; the folder is for the jobs."""

    def __init__(self, shelf: Shelf, folder: Path, seconds: float = SECONDS) -> None:
        self.shelf = shelf
        self.seconds = seconds
        self.queue = Queue("lab", f"sqlite:///{folder / 'jobs.db'}", durability="process")
        self.record = self.queue.task(self._record, name="record")
        self._runs: dict[str, Run] = {}
        self.is_closing = False

    async def __aenter__(self) -> "Runs":
        self._worker = self.queue.worker(concurrency=AT_ONCE, grace=ENDING + 5)
        await self._worker.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await self._worker.__aexit__(*exc)
        self.queue.close()

    def close(self) -> None:
        """End every run, and let go of those who listen."""
        self.is_closing = True
        for run in self._runs.values():
            if not run.is_over:
                self.stop(run)
            run.wake()

    def get(self, id: str) -> Run | None:
        return self._runs.get(id)

    def latest_of_all(self) -> Run | None:
        """The newest run of many scenarios."""
        return next((run for run in reversed(self._runs.values()) if len(run.names) > 1), None)

    def unfinished(self) -> list[Run]:
        return [run for run in self._runs.values() if not run.is_over]

    def new(self, names: tuple[str, ...], guess: int | None = None) -> Run:
        """A run that waits for its job. Raises Full."""
        if len(self.unfinished()) >= WAITING or self.is_closing:
            raise Full
        run = Run(new_id(time.time()), names, guess)
        self._runs[run.id] = run
        for id in [run.id for run in self._runs.values() if run.is_over][:-REMEMBERED]:
            del self._runs[id]
        return run

    def stop(self, run: Run) -> None:
        """End it, wherever it is. Nothing more is told of it or kept."""
        if run.is_over:
            return
        run.state = "stopped"
        if run.process is not None and run.process.returncode is None:
            run.process.send_signal(signal.SIGINT)
        run.wake()

    async def follow(self, run: Run) -> AsyncIterator[dict[str, Any]]:
        """Its steps from the first on, until it is over."""
        seen = 0
        while True:
            changed = run.changed
            for step in run.steps[seen:]:
                yield step
            seen = len(run.steps)
            if run.is_over or self.is_closing:
                return
            if changed is run.changed:
                await changed.wait()

    async def _record(self, id: str) -> None:
        run = self._runs[id]
        if run.is_over:
            return
        run.state = "running"
        with tempfile.TemporaryFile() as errors:
            try:
                run.process = process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "demos.lab.child", *run.names),
                    cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE,  # it ends when we do, however we end
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    limit=LONGEST_LINE,
                    start_new_session=True,  # Ctrl-C is for us; we end it
                )
            except OSError as exc:
                run.state, run.error = "failed", f"could not be started: {exc}"
                run.wake()
                return
            why = ""
            try:
                limit = self.seconds * len(run.names)
                async with asyncio.timeout(limit):
                    if not run.is_over:  # or it was stopped before there was a process to end
                        await self._listen(run, process)
                        await process.wait()
            except TimeoutError:
                why = f"ended after {limit:g} seconds"
            finally:
                await _ended(process)
                if not run.is_over:
                    is_whole = len(run.entries) == len(run.names)
                    if not is_whole:
                        run.error = why or run.error or _last_words(process, errors)
                    run.state = "done" if is_whole else "failed"
                    run.wake()

    async def _listen(self, run: Run, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                words = json.loads(line)
            except ValueError:  # it was killed in the middle of a line
                continue
            if run.is_over:
                return
            if "result" in words:
                await asyncio.to_thread(self._put, run, words["result"])
                run.tell(name=words["result"]["name"], what="kept")
            elif "error" in words:
                run.error = "; ".join(filter(None, (run.error, words["error"])))
            else:
                run.tell(**words)

    def _put(self, run: Run, result: dict[str, Any]) -> None:
        id = run.id if len(run.names) == 1 else f"{run.id}.{result['name']}"
        more = {"recorded_at": time.time(), "guess": run.guess, "is_kept": False}
        more["said"] = run.said(result["name"])
        self.shelf.put({"id": id, **more, **result})
        run.entries[result["name"]] = id


def said(steps: list[dict[str, Any]], name: str) -> dict[str, list[tuple[float, str]]]:
    """What was said in a scenario, for each framework: seconds since its first word, and words."""
    found: dict[str, list[tuple[float, str]]] = {}
    for step in steps:
        if step["name"] == name and "said" in step:
            found.setdefault(step["framework"], []).append((step["at"], step["said"]))
    return {
        framework: [(at - lines[0][0], words) for at, words in lines]
        for framework, lines in found.items()
    }


def _last_words(process: asyncio.subprocess.Process, errors: IO[bytes]) -> str:
    """Why a child that said no reason is not there any more."""
    code = process.returncode or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"the recording process {how}: {last}"


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Ask it to end its servers and itself; one that does not is killed."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(ENDING):
            await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
