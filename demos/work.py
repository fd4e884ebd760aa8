"""A worker process of the runner: the real command with a recorder around it.

``python -m demos.work PLACE demos.s23_killed_before_work:queue --concurrency 1`` is ``python -m
miniasgi worker demos.s23_killed_before_work:queue --concurrency 1``, recorded in the lane PLACE.
"""

import sys

from demos.journal import Journal
from miniasgi.queue.commands import run

if __name__ == "__main__":
    place, *arguments = sys.argv[1:]
    with Journal(place).listening():
        sys.exit(run(["worker", *arguments]))
