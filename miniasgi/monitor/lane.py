"""One job as a reader sees it, and its swim lane: drawn from the moments in its row.

The row keeps when the job was created, when it is due, when its newest attempt began and ended, and
of each attempt before, one line of JSON: ``[attempt, started_at, ended_at, error, traceback]``.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from miniasgi.monitor.rows import Row
from miniasgi.timeline import Moment, Recording, svg

_HIDDEN = ("arguments", "result")
_PAST = ("attempt", "started_at", "ended_at", "error", "traceback")


def job(row: Mapping[str, Any] | Row, *, hide: bool) -> dict[str, Any]:
    """A row as plain data. ``hide``: without what it was called with, and what it returned."""
    told = {name: row[name] for name in row.keys() if name not in ("seq", "past", "unknown_at")}  # noqa: SIM118
    for name in _HIDDEN:
        if hide:
            told.pop(name, None)
        elif told.get(name) is not None:
            told[name] = json.loads(told[name])
    if "past" in row.keys():  # noqa: SIM118
        told["past"] = list(_past(row["past"] or ""))
    return told


def _past(lines: str) -> Iterator[dict[str, Any]]:
    for line in lines.split("\n"):
        with suppress(ValueError):  # the oldest may have been cut off
            yield dict(zip(_PAST, json.loads(line), strict=True))


def picture(job: dict[str, Any], now: float | None = None) -> str:
    """The job's life as SVG, until its end or until now."""
    return svg(
        recording(job, time.time() if now is None else now), title=f"{job['task']} {job['id']}"
    )


def recording(job: dict[str, Any], now: float) -> Recording:
    """The moments of a job, counted from its creation."""
    origin = job["created_at"]
    moments = []

    def add(at: float, place: str, kind: str, name: str) -> None:
        moments.append(Moment(int(max(at - origin, 0) * 1e9), place, kind, name))

    def waits(begin: float, end: float | None, name: str) -> None:
        add(begin, "queue", "wait.start", name)
        if end is not None:
            add(end, "queue", "wait.end", name)

    waiting_since, name = origin, "waits"
    for attempt in job["past"]:
        if attempt["started_at"]:
            waits(waiting_since, attempt["started_at"], name)
            add(
                attempt["started_at"], "queue worker", "task.start", f"attempt {attempt['attempt']}"
            )
            add(attempt["ended_at"], "queue worker", "task.failed", f"attempt {attempt['attempt']}")
        waiting_since, name = attempt["ended_at"], "waits for another attempt"
    started_at, settled_at = job["started_at"], job["settled_at"]
    has_begun = started_at and started_at >= waiting_since
    waits(waiting_since, started_at if has_begun else settled_at, name)
    if has_begun:
        add(started_at, "queue worker", "task.start", f"attempt {job['attempt']}")
        if settled_at is not None:
            add(settled_at, "queue worker", _ENDS[job["state"]], f"attempt {job['attempt']}")
    if settled_at is None:
        add(now, "queue", "mark", "now")
    return Recording(moments)


_ENDS = {"success": "task.end", "failure": "task.failed", "revoked": "task.cancelled"}
