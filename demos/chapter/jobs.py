"""Part 2.3 on miniasgi's queue: `celery_jobs` with another import and another broker."""

import os

from demos.post import deliver_now
from miniasgi.queue import Queue

queue = Queue("tasks", broker=os.environ.get("MINIASGI_BROKER", "sqlite:///jobs.db"))


@queue.task
def post_letter(to: str, subject: str, text: str) -> dict[str, str]:
    deliver_now(f"a letter to {to}")
    return {"status": "sent", "to": to}


@queue.task
def add_up(numbers: list) -> dict[str, int]:
    return {"sum": sum(numbers), "count": len(numbers)}
