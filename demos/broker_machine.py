"""A machine with a broker: our queue on a Redis beside one in a file, beside Celery as it comes.

``fastapi`` has Celery as it comes (`demos.celery_as_it_comes`), ``miniasgi`` our queue in a file,
``miniasgi_redis`` our queue on the Redis. Where there is no Redis the scenarios say so: `unless`.

Rule of this file: only processes started here are signalled here.
"""

import importlib.util
import os
import signal
import sys
import time
from functools import cached_property

from demos import redis_server
from demos.machine import Machine, MachineVisitor, Worker
from demos.post import PATIENCE
from demos.redis_server import RedisServer
from demos.scenario import no_such_thing
from demos.servers import Server
from miniasgi.queue import Queue

OUTBOX = "DEMOS_OUTBOX"  #: the variable with the URL of an outbox, if there is a broker
VISIBLE = 1.0  #: our queues' ``visibility_timeout``, as short as that of Celery beside them


def why_not() -> str:
    """Why there can be no Celery here, in one sentence; empty if there can."""
    if importlib.util.find_spec("celery") is None:
        return "celery is not installed; try: pip install 'miniasgi[celery]'"
    return redis_server.why_not()


def if_there_is_a_redis(outcome: str) -> str:
    """What is expected of an application that takes a broker to run."""
    return no_such_thing(why_not()) if why_not() else outcome


class BrokerMachine(Machine):
    """As the runner knows a machine; its Redis ends with it."""

    @cached_property
    def redis(self) -> RedisServer:
        return RedisServer(self.folder)

    def _new_server(self, port: int = 0) -> Server:
        if self.framework == "fastapi":
            self.environment["PLAIN_BROKER"] = self.redis.url(0)
        if self.framework == "miniasgi_redis":
            self.environment["MINIASGI_BROKER"] = self.redis.url(1)
            self.environment[OUTBOX] = f"sqlite:///{self.folder / 'outbox.db'}"
        return super()._new_server(port)

    def worker_command(self, place: str, *options: str) -> list[str]:
        if self.framework == "fastapi":
            return [sys.executable, "-m", "demos.celery_as_it_comes", place]
        return super().worker_command(place, *options)

    def start_mover(self, *options: str) -> Worker:
        """Move all jobs to another broker, ``celery`` or ``ours``: see `demos.mover`."""
        source = self.environment["MINIASGI_BROKER"]
        if self.framework == "fastapi":
            source = self.redis.url(0)
        kind = "celery" if self.framework == "fastapi" else "ours"
        number = 1 + sum(other.name.startswith("mover") for other in self._workers)
        name = f"mover {number}" if number > 1 else "mover"
        command = [sys.executable, "-m", "demos.mover", name, kind, source, self.redis.url(2)]
        mover = Worker(name, [*command, *options], self.environment)
        self._workers.append(mover)
        return mover

    def visitor(self) -> "BrokerVisitor":
        super().visitor()
        return BrokerVisitor(self)

    def end(self) -> None:
        super().end()
        if "redis" in self.__dict__:
            self.redis.kill()


class BrokerVisitor(MachineVisitor):
    """A client that also kills workers with their children, and asks the broker what it holds."""

    _machine: BrokerMachine

    def kill(self, worker: Worker) -> None:
        """``kill -9`` for it and its children, and wait until it is dead."""
        self.say(f"kill -9 {worker.name}")
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()

    def held(self) -> int:
        """How many messages the first Redis holds: they wait, or were not acknowledged."""
        redis = self._machine.redis
        return redis.count("LLEN", "mail") + redis.count("HLEN", "unacked")

    def wait_until_the_broker_holds(self, number: int) -> None:
        until = time.monotonic() + PATIENCE
        while self.held() != number and time.monotonic() < until:
            self.rest(0.005)
        self.say(f"the broker holds {self.held()}")

    def start_mover(self, *options: str) -> Worker:
        mover = self._machine.start_mover(*options)
        self.say(f"start {mover.name}")
        return mover

    def wait_for_end(self, worker: Worker) -> None:
        """Wait until a process that ends by itself has ended."""
        worker.wait()
        self.say(f"{worker.name} has ended")

    def left(self, jobs: list[str]) -> int:
        """How many of these the mover has left where they were."""
        if self.framework == "fastapi":
            return self.held()
        queue = Queue("mail", self._machine.environment["MINIASGI_BROKER"])
        try:
            return sum(queue.AsyncResult(job).exists() for job in jobs)
        finally:
            queue.close()

    def work_at_the_new_broker(self) -> Worker:
        for broker in ("MINIASGI_BROKER", "PLAIN_BROKER"):
            self._machine.environment[broker] = self._machine.redis.url(2)
        return self.start_worker()
