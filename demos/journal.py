"""A recorder whose moments outlive its process: each is written to a file when it happens.

A write is in the kernel's hands when it returns, so it is there after ``kill -9``; one write to a
file that was opened to append is whole, from whatever thread.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from miniasgi.timeline import Moment, Recorder

FOLDER = "DEMOS_JOURNALS"  #: the variable that says where; without it nothing is written


class Journal(Recorder):
    """A `Recorder` that also writes, if the environment says where."""

    def __init__(self, place: str | None = None, *, keep: int = 100) -> None:
        super().__init__(place, keep=keep)
        self._fd = -1
        if folder := os.environ.get(FOLDER):
            flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
            self._fd = os.open(Path(folder) / f"{os.getpid()}.journal", flags)

    def add(self, moment: Moment) -> None:
        super().add(moment)
        if self._fd >= 0:
            os.write(self._fd, json.dumps(asdict(moment)).encode() + b"\n")


def written(folder: Path) -> Iterator[Moment]:
    """What all processes wrote there, living and dead."""
    for path in sorted(folder.glob("*.journal")):
        # A writer that was killed may have left the half of a line.
        for line in path.read_text().rpartition("\n")[0].splitlines():
            yield Moment(**json.loads(line))
