"""A recording for Perfetto (ui.perfetto.dev) or chrome://tracing: JSON, times in microseconds.

Bars are asynchronous events, because requests on one thread overlap and a thread's own slices may
not. Source: "Trace Event Format", async nestable events.
"""

import json
from typing import Any

from miniasgi.timeline.recording import Moment, Recording


def chrome_trace(recording: Recording) -> str:
    """The text of a ``.json`` file that these viewers open."""
    events: list[dict[str, Any]] = []
    threads = {(m.process, m.thread): m.thread_name for m in recording.moments}
    for (process, thread), name in threads.items():
        events.append(_named("thread_name", name, pid=process, tid=thread))
    for process in {m.process: None for m in recording.moments}:
        places = {m.place: None for m in recording.moments if m.process == process}
        events.append(_named("process_name", ", ".join(places), pid=process, tid=0))
    for number, bar in enumerate(recording.bars()):
        ends = [("b", bar.start), ("e", bar.end)]
        for phase, moment in ends:
            if moment is not None:
                # An end belongs to the beginning of its id and category, wherever it was told.
                shared = {"ph": phase, "id": number, "name": bar.label, "cat": bar.start.place}
                events.append(_event(moment, recording.begin) | shared)
    for point in recording.points():
        events.append({"ph": "i", "s": "t", "name": point.label} | _event(point, recording.begin))
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": events})


def _event(moment: Moment, begin: int) -> dict[str, Any]:
    return {
        "cat": moment.place,
        "ts": (moment.at - begin) / 1e3,
        "pid": moment.process,
        "tid": moment.thread,
        "args": {"kind": moment.kind, "detail": moment.detail, "request": moment.request},
    }


def _named(what: str, name: str, **where: int) -> dict[str, Any]:
    return {"ph": "M", "name": what, "args": {"name": name}, **where}
