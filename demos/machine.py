"""One machine for one application: a web server, workers, a file of jobs, and what may kill them.

To the runner it looks like a `Server`. What its processes record is in their journals, so that it
is there after a SIGKILL as well. The client is a `MachineVisitor`: it starts and kills processes,
and it is the mail server that the tasks talk to.

Rule of this file: only processes started here are signalled here.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from demos.journal import FOLDER, written
from demos.post import ADDRESS, Delivery, MailServer
from demos.scenario import Visitor
from demos.servers import ROOT, STOPPING, DemoError, Server, Settings
from miniasgi.queue import Queue
from miniasgi.timeline import Moment, Recording


class Machine:
    """The servers and workers of one application, one after the other or at once."""

    def __init__(self, target: str, framework: str, settings: Settings, port: int = 0) -> None:
        self.target = target
        self.framework = framework
        self.settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="demos-")
        self.folder = Path(self._folder.name)
        self.mail = MailServer(self.folder / "mail")
        self.environment = {
            FOLDER: str(self.folder),
            ADDRESS: str(self.folder / "mail"),
            "MINIASGI_BROKER": f"sqlite:///{self.folder / 'jobs.db'}",
        }
        self._began_at = 0
        self.is_down = False  #: has its visitor seen the newest server end?
        self._workers: list[Worker] = []
        self._servers = [self._new_server(port)]

    @property
    def port(self) -> int:
        return self._servers[-1].port

    @property
    def pid(self) -> int:
        return self.server.pid

    @property
    def server(self) -> subprocess.Popen[bytes]:
        return self._servers[-1].process

    def _new_server(self, port: int = 0) -> Server:
        return Server(self.target, self.framework, self.settings, port, self.environment)

    def next_server(self) -> Server:
        """The server after the one that was killed."""
        self.is_down = False
        self._servers.append(self._new_server())
        return self._servers[-1]

    def start_worker(self, *options: str) -> "Worker":
        number = 1 + sum(other.name.startswith("queue worker") for other in self._workers)
        place = "queue worker" if number == 1 else f"queue worker {number}"
        worker = Worker(place, self.worker_command(place, *options), self.environment)
        self._workers.append(worker)
        return worker

    def worker_command(self, place: str, *options: str) -> list[str]:
        """A worker with one slot, recorded in the lane ``place``."""
        command = [sys.executable, "-m", "demos.work", place, self.queue]
        return [*command, "--concurrency", "1", *options]

    @property
    def queue(self) -> str:
        """What its workers work for."""
        return f"{self.target.partition(':')[0]}:queue"

    def visitor(self) -> Visitor:
        self._began_at = time.monotonic_ns()
        return MachineVisitor(self)

    # As the runner knows a server

    def wait_until_up(self) -> None:
        self._servers[-1].wait_until_up()

    def warm_up(self, paths: tuple[str, ...]) -> None:
        self._servers[-1].warm_up(paths)

    def begin_to_stop(self) -> None:
        self.mail.be_lenient()
        for worker in self._workers:
            worker.ask_to_stop()
        self._servers[-1].begin_to_stop()

    def stop(self) -> Recording:
        for worker in self._workers:
            worker.wait()
        if self.server.returncode != -signal.SIGKILL and not self.is_down:  # else nothing is left
            self._servers[-1].stop()
        moments = (moment for moment in written(self.folder) if moment.at >= self._began_at)
        return Recording(moments)

    def end(self) -> None:
        for worker in self._workers:
            worker.end()
        for server in self._servers:
            server.end()
        with contextlib.suppress(OSError):
            self.mail.close()
        self._folder.cleanup()


class Worker:
    """``python -m miniasgi worker``, recorded in a lane of its own."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in end)
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            process_group=0,
        )

    def ask_to_stop(self) -> None:
        """SIGTERM, after SIGCONT in case that it is stopped."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()

    def wait(self) -> None:
        try:
            self.process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the {self.name} did not stop in {STOPPING:g} seconds") from None
        if self.process.returncode not in (0, -signal.SIGKILL):
            raise DemoError(f"the {self.name} ended badly: {self._last_words()}")

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was said")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._errors.close()


class MachineVisitor(Visitor):
    """A client that may also start, stop and kill, and that plays the mail server."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.port, machine.framework)
        self._machine = machine
        #: Do its tasks survive their process? Bare Starlette's and FastAPI's do not.
        self.has_queue = machine.framework not in ("starlette", "fastapi")
        machine.mail.is_lenient = False
        machine.mail.note = self._note_delivery

    def _note_delivery(self, at: int, words: str, sender: int) -> None:
        self.moments.append(Moment(at, "mail server", "mark", words, process=os.getpid()))
        self.tell(f"the mail server hears from process {sender}: {words}")

    def visit(self, path: str, *, noted: bool = True) -> str:
        """Ask on a connection of its own and read the answer: its body."""
        with self.connect(noted=noted) as connection:
            return connection.must_get(path).text

    def next_delivery(self, words: str = "") -> Delivery:
        """Wait until a task delivers words that begin so; answer ``ok`` to all before it."""
        return self._machine.mail.next(words)

    def has_taken(self, words: str) -> bool:
        """Was this among the deliveries so far?"""
        return words in self._machine.mail.taken

    def take_deliveries(self, last: str) -> None:
        """Answer ``ok`` to whatever is delivered, up to and with the one that begins so."""
        self.next_delivery(last).answer()

    def look_up(self, job: str) -> None:
        """Put into the client's lane what the file says of a job."""
        queue = Queue("mail", self._machine.environment["MINIASGI_BROKER"])
        try:
            found = queue.AsyncResult(job)
            self.say(f"{found.state}: {found.result}")
        finally:
            queue.close()

    def kill_server(self) -> None:
        """``kill -9``, and wait until the kernel has cleared up."""
        server = self._machine.server
        self.say("kill -9 server", f"kill -9 is sent to process {server.pid}")
        server.kill()
        server.wait()
        self.tell(f"process {server.pid} is gone; {self._left()}")

    def _left(self) -> str:
        """What is left of the work now, as another process finds it."""
        file = self._machine.folder / "jobs.db"
        if not file.exists():
            return "nothing is left: no file holds its work"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            left = db.execute(
                "select task, state from miniasgi_job where settled_at is null"
            ).fetchall()
        found = ", ".join(f"{task} is on disk, {state}" for task, state in left)
        return found or "no job is left on disk"

    def wait_for_death(self, worker: "Worker | None" = None) -> None:
        """Wait until a process that kills itself is dead: this worker, or the server."""
        process = worker.process if worker else self._machine.server
        process.wait(STOPPING)
        self._machine.is_down |= worker is None
        self.say(f"{worker.name if worker else 'server'} is dead")

    def stop_server(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop, as an operator or Ctrl-C does."""
        self.say(f"{sign.name} server")
        self._machine.server.send_signal(sign)

    def wait_until_refused(self) -> None:
        """Wait until the server takes no new connection: it has begun to stop."""
        self.wait_until(self._is_refused, "the server takes no more connections")
        self.say("no new connection is taken")

    def _is_refused(self) -> bool:
        try:
            self.connect(noted=False).close()
        except ConnectionRefusedError:
            return True
        except ConnectionError:  # reset: it was in the line when the server closed
            return False
        return False

    def start_server(self) -> None:
        """Another web server on the same machine; from now on requests go there."""
        self._machine.next_server().wait_until_up()
        self.port = self._machine.port
        self.say("server is back", f"the server is back, as process {self._machine.pid}")

    def start_worker(self, *options: str) -> "Worker":
        """A worker process with one slot, on the file of jobs."""
        worker = self._machine.start_worker(*options)
        self.say(f"start {worker.name}", f"start {worker.name}: process {worker.process.pid}")
        return worker

    def freeze(self, worker: "Worker") -> None:
        """SIGSTOP: it is alive, and does nothing."""
        self.say(f"SIGSTOP {worker.name}")
        worker.process.send_signal(signal.SIGSTOP)

    def thaw(self, worker: "Worker") -> None:
        self.say(f"SIGCONT {worker.name}")
        worker.process.send_signal(signal.SIGCONT)

    def stop(self, worker: "Worker") -> None:
        """SIGTERM, and wait for its end."""
        self.say(f"SIGTERM {worker.name}")
        worker.ask_to_stop()
        worker.wait()
        self.say(f"{worker.name} has ended")
