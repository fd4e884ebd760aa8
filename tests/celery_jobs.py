"""Jobs for a real Celery worker: ``celery --app tests.celery_jobs worker``.

Each tells the test what it does, on a list of the broker's Redis, and waits for the test's word.
"""

import os
from typing import Any

import celery
import redis

BROKER = os.environ.get("LEDGER_BROKER", "redis://127.0.0.1:1/0")
PATIENCE = 20  #: seconds that a job waits for its word

app = celery.Celery(
    "jobs", broker=BROKER, backend=os.environ.get("LEDGER_BACKEND"), set_as_current=False
)
# What takes an hour and more by default, in seconds.
app.conf.broker_transport_options = {
    "visibility_timeout": int(os.environ.get("LEDGER_VISIBILITY", "3600")),
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}


def told() -> Any:
    return redis.Redis.from_url(BROKER)


@app.task  # type: ignore[untyped-decorator]
def tell(word: str) -> int:
    """Say the word. Returns the process."""
    told().rpush("told", word)
    return os.getpid()


@app.task  # type: ignore[untyped-decorator]
def tell_and_wait(word: str) -> int:
    """Say the word, and go on when somebody says ``go``."""
    told().rpush("told", word)
    told().blpop(["go"], PATIENCE)
    return os.getpid()


@app.task(acks_late=True)  # type: ignore[untyped-decorator]
def late(word: str) -> int:
    """The same, acknowledged only when it has ended."""
    return int(tell_and_wait(word))
