"""Part 2.3 as it is: a Celery with one database of Redis as its broker and one for results."""

import os

from celery import Celery

from demos.post import deliver_now

queue = Celery(
    "tasks",
    broker=os.environ.get("CHAPTER_BROKER", "redis://localhost:6379/0"),
    backend=os.environ.get("CHAPTER_BACKEND", "redis://localhost:6379/1"),
)


@queue.task
def post_letter(to: str, subject: str, text: str) -> dict[str, str]:
    deliver_now(f"a letter to {to}")
    return {"status": "sent", "to": to}


@queue.task
def add_up(numbers: list) -> dict[str, int]:
    return {"sum": sum(numbers), "count": len(numbers)}
