"""Failures grouped by task and error, numbers aside.

Rules of this file: a failure's text is read once and remembered, so that a look at failures that
are known already is a walk along the index; one look reads no more than `AT_ONCE` texts, and says
how many failures it has grouped.
"""

import re
from dataclasses import dataclass

from miniasgi.monitor import rows

AT_ONCE = 300
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8,}\b|\d+")


@dataclass
class Group:
    """Failures of one task with the same error, numbers aside; among the newest of each queue."""

    queue: str
    task: str
    signature: str
    error: str  #: the newest one's first 400 characters
    jobs: int
    first_at: float
    last_at: float
    example: str  #: a job's id


class Groups:
    """The newest failures of one queue, `rows.LOOKED_THROUGH` of them at most."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._mark: object = None
        self._known: dict[tuple[int, float], tuple[str, str, str, str]] = {}
        self.found: list[Group] = []

    @property
    def size(self) -> int:
        """How many failures are in the groups; fewer than there are where they are many."""
        return len(self._known)

    def look(self, db: rows.Database) -> None:
        """Read what is new, if anything is."""
        mark = rows.mark_of_failures(db, self._queue)
        if mark == self._mark:
            return
        there = rows.newest_failures(db, self._queue, self.size + AT_ONCE)
        fresh = [key for key in there if key not in self._known][:AT_ONCE]
        told = self._known | {
            key: (task, signature(error), error, id)
            for key, (task, error, id) in rows.told(db, fresh).items()
        }
        self._known = {key: told[key] for key in there if key in told}
        if self.size == mark[0]:  # else the others are read in the next look
            self._mark = mark
        self.found = self._grouped()

    def _grouped(self) -> list[Group]:
        found: dict[tuple[str, str], Group] = {}
        for (_, at), (task, like, error, id) in self._known.items():
            group = found.get((task, like))
            if group is None:
                group = Group(self._queue, task, like, error, 0, at, at, id)
                found[task, like] = group
            group.jobs += 1
            group.first_at = at
        return list(found.values())


def signature(error: str | None) -> str:
    """What errors of one kind have in common: the first line, without its numbers."""
    first = "".join((error or "").splitlines()[:1])[:300]  # no \r: a browser sends it as \r\n
    return _NUMBERS.sub("#", first)
