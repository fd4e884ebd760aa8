"""Celery with the settings that it comes with, for the scenarios that ask what those do.

Only the visibility timeout is shorter than its hour, so that one can wait for it.

``python -m demos.celery_as_it_comes PLACE`` is ``celery --app demos.celery_as_it_comes worker``
with one slot, recorded in the lane PLACE.
"""

import os
import sys
from typing import Any

from celery import Celery, signals

from demos.journal import Journal
from demos.post import deliver_now
from miniasgi.events import tell

BROKER = "PLAIN_BROKER"  #: the variable that says where
VISIBLE = 1.0  #: seconds until what a worker took and did not acknowledge is handed out again

app = Celery("mail", broker=os.environ.get(BROKER, "redis://127.0.0.1:6379/0"))
app.conf.task_default_queue = "mail"
app.conf.broker_transport_options = {
    "visibility_timeout": VISIBLE,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}


@app.task(name="send_mail")
def send_mail(to: str) -> None:
    deliver_now(f"mail to {to}")


def record(place: str, arguments: list[str]) -> None:
    """Be a worker whose tasks are told in this lane, also those of its children."""

    def begins(task: Any, **_: Any) -> None:
        tell("job.start", task.name)

    def has_ended(task: Any, state: str, **_: Any) -> None:
        tell("job.end" if state == "SUCCESS" else "job.failed", task.name)

    signals.task_prerun.connect(begins, weak=False)
    signals.task_postrun.connect(has_ended, weak=False)
    with Journal(place).listening():
        app.worker_main(["worker", "--loglevel", "warning", *arguments])


if __name__ == "__main__":
    lane = sys.argv[1]
    name = lane.replace(" ", "-")
    record(lane, ["--concurrency", "1", "--hostname", name, "--without-gossip", "--without-mingle"])
