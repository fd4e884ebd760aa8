"""A move from one broker to another, recorded, which meets the client after so many jobs.

``python -m demos.mover LANE ours sqlite:///jobs.db redis://...`` is ``python -m miniasgi move``,
``python -m demos.mover LANE celery redis://... redis://...`` is ``celery migrate``. With
``--meet 4`` it tells the client when it has published that many, and waits for the answer.
"""

import argparse
import sys
from typing import Any

from demos.journal import Journal
from demos.post import deliver_now
from miniasgi.events import tell
from miniasgi.queue.commands import run

MEETING = "half of them are at the new broker"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("lane", "kind", "source", "target"):
        parser.add_argument(name)
    parser.add_argument("--meet", type=int, default=0)
    options = parser.parse_args()
    move = _ours if options.kind == "ours" else _celerys
    with Journal(options.lane).listening():
        return move(options.source, options.target, options.meet)


class Counted:
    """Around what publishes one job: tells of each, and meets the client at one of them."""

    def __init__(self, publish: Any, meet: int) -> None:
        self._publish = publish
        self._meet = meet
        self._published = 0

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self._publish(*args, **kwargs)
        self._published += 1
        tell("mark", f"published {self._published}")
        if self._published == self._meet:
            deliver_now(MEETING)


def _ours(source: str, target: str, meet: int) -> int:
    from miniasgi.queue.celery import CeleryEngine

    publish = Counted(CeleryEngine.publish, meet)
    CeleryEngine.publish = lambda *args: publish(*args)  # type: ignore[method-assign]
    return run(["move", source, target, "--batch", "3"])


def _celerys(source: str, target: str, meet: int) -> int:
    from celery.contrib import migrate

    from demos.celery_as_it_comes import app

    migrate.republish = Counted(migrate.republish, meet)
    # Without a limit it waits for more, for ever.
    waiting = app.connection(source).default_channel.client.llen(app.conf.task_default_queue)
    return int(app.start(["migrate", source, target, "--limit", str(waiting)]) or 0)


if __name__ == "__main__":
    sys.exit(main())
