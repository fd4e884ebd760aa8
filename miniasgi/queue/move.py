"""From a SQLite file to a Celery broker: hand over the jobs that wait, in batches.

A batch is taken out in one commit (its rows belong to this process, by a kernel lock), published,
and deleted in another commit. Killed in between, the rows are a dead mover's: the next one takes
them again and publishes them under the same ids. The backend's marks keep what was published and
said so from being published twice, and a worker skips the second copy of what it runs or has run.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from miniasgi.queue import store
from miniasgi.queue.celery import CeleryEngine
from miniasgi.queue.celery_application import PRIORITIES
from miniasgi.queue.owners import Owner, is_alive, living
from miniasgi.queue.writer import Writer


def move(writer: Writer, engine: Any, batch: int = 100) -> Iterator[int]:
    """Yields how many jobs each batch had. What is due too late for the broker stays.

    Raises ValueError if workers run on the file, QueueUnavailable if the broker does not answer.
    """
    if not isinstance(engine, CeleryEngine):
        raise ValueError(f"{engine.where} is no broker: redis:// or amqp://")
    directory = writer.directory
    if workers := living(directory, "worker"):
        raise ValueError(f"{len(workers)} workers run on {writer.path}: stop them first")
    owner = Owner(directory, "mover")
    try:
        for row in writer.read(store.counts):  # what dead workers had in hand waits again
            writer.run(store.recover, row["queue"], partial(is_alive, directory), None, time.time())
        before = time.time() + engine.longest / 2
        while jobs := writer.run(store.take_out, owner.name, batch, before):
            for job in jobs:
                engine.publish(replace(job, priority=min(max(job.priority, 0), PRIORITIES - 1)))
            writer.run(store.delete_owned, owner.name)
            yield len(jobs)
    finally:
        owner.drop()
        writer.run(store.give_back_moved, partial(is_alive, directory), time.time())
