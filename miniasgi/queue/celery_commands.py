"""The command line on a queue of Celery's: what Celery can answer, and where to look for the rest.

The backend knows a job by its id, workers know what they run, the broker how many messages wait.
Nobody keeps a list of jobs, so a command that takes one is refused, and says where else to look.
"""

from typing import Any

from miniasgi.queue.celery import ANSWERS, waiting

_ELSEWHERE = {
    "list": "Celery keeps no list of jobs: Flower shows those it saw, `show` one by its id",
    "retry": "Celery keeps no job that has ended: enqueue it again, under another id",
    "pause": "tell its workers: celery -A module:celery_app control cancel_consumer {name}",
    "resume": "tell its workers: celery -A module:celery_app control add_consumer {name}",
    "purge": "results expire by themselves; --state ready deletes what waits at the broker",
}


def answer(queue: Any, options: Any) -> dict[str, Any] | int | None:
    """The row of a status, or how many jobs were purged; None for what needs no list of jobs.

    Raises ValueError if Celery cannot do this.
    """
    command = options.command.__name__.rstrip("_")
    if command in _ELSEWHERE and not (command == "purge" and options.state == ["ready"]):
        raise ValueError(f"{queue!r}: {_ELSEWHERE[command].format(name=queue.name)}")
    if command == "purge" and options.older:
        raise ValueError(f"{queue!r}: no broker tells how old a message is: leave out --older")
    if command == "status" and getattr(options, "check", False):
        raise ValueError(f"{queue!r}: --check looks into a file: ask /api/overview of its monitor")
    with queue.engine.explained():
        if command == "purge":
            return _purge(queue)
        if command == "status":
            return _status(queue)
    return None


def _status(queue: Any) -> dict[str, Any]:
    """How many messages wait, how many workers answer, and how many jobs they run and hold."""
    inspect = queue.celery.control.inspect(timeout=ANSWERS)
    active, held = inspect.active() or {}, inspect.scheduled() or {}
    row = {"queue": queue.name, "waiting": waiting(queue.celery, queue.name), "held": _count(held)}
    return row | {"running": _count(active), "workers": len(active)}


def _purge(queue: Any) -> int:
    """One message after the other, because with it goes what is known of its job."""
    purged = 0
    with queue.celery.connection_for_write() as connection:
        channel = connection.default_channel
        while (message := channel.basic_get(queue.name, no_ack=True)) is not None:
            if id := (message.headers or {}).get("id"):  # a stranger's has none
                queue.engine.marks.drop(id)
            purged += 1
    return purged


def _count(jobs: dict[str, list[Any]]) -> int:
    return sum(map(len, jobs.values()))
