"""A Celery worker of the runner: the real one with a recorder around it.

``python -m demos.chapter.celery_work PLACE`` is ``celery --app demos.chapter.celery_jobs worker``,
recorded in the lane PLACE. It has one slot, in its own process: nothing is told from a child.
"""

import sys
from typing import Any

from celery import signals

from demos.chapter.celery_jobs import queue
from demos.journal import Journal
from miniasgi.events import tell


@signals.task_prerun.connect
def begins(task: Any, **_: Any) -> None:
    tell("job.start", task.__name__)


@signals.task_postrun.connect
def has_ended(task: Any, state: str, **_: Any) -> None:
    tell("job.end" if state == "SUCCESS" else "job.failed", task.__name__)


if __name__ == "__main__":
    options = ["--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with Journal(sys.argv[1]).listening():
        queue.worker_main(["worker", "--loglevel", "warning", *options])
