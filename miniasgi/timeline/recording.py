"""A recording: moments in order, and what follows from them: bars, lanes, durations.

A moment's ``kind`` says what it is. ``X.start`` opens a bar that the next ``X.end``, ``X.failed``
or ``X.cancelled`` of the same process, request and name closes; every other kind is a point.

======================  =======================  ===============================================
place                   kinds                    told by
======================  =======================  ===============================================
client                  request.start, .end      the client: sent, and its answer is complete
server                  app.start, .end, ...     the middleware: the whole call
server                  response.start, .end     the head is given; the last body was taken
server                  receive, response.body   each message
event loop, a thread,   task.start, .end, ...,   `miniasgi.events`
or a queue's worker     accept, mark
======================  =======================  ===============================================
"""

import json
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from time import monotonic_ns

#: The lanes from top to bottom; a place of another name comes after them.
PLACES = ("client", "server", "event loop", "worker thread", "queue", "queue worker")

_MEASURED = {
    "response.start": "first_byte",
    "response.end": "last_byte",
    "app.end": "returned",
    "app.failed": "returned",
    "app.cancelled": "returned",
}

# Breaks a line, an SVG or a terminal, or turns the text around.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """One thing that happened at one time, in one place."""

    at: int  #: nanoseconds of CLOCK_MONOTONIC
    place: str
    kind: str
    name: str = ""
    detail: str = ""  #: for people: a status, a number of bytes, an exception
    request: int = 0  #: counted from 1 in each process; 0: no request
    thread: int = 0  #: as the operating system numbers it
    thread_name: str = ""
    process: int = 0

    @classmethod
    def now(
        cls, place: str, kind: str, name: str = "", detail: str = "", request: int = 0
    ) -> "Moment":
        """This moment, in this thread and process."""
        return cls(
            monotonic_ns(),
            place,
            kind,
            name,
            detail,
            request,
            threading.get_native_id(),
            threading.current_thread().name,
            os.getpid(),
        )

    @property
    def call(self) -> tuple[int, int]:
        """The request that it belongs to, among those of all processes."""
        return self.process, self.request

    @property
    def is_told(self) -> bool:
        """Is this point worth words of its own in a picture? Messages are not."""
        return self.kind == "mark" or self.place == "client"

    @property
    def label(self) -> str:
        words = (self.name,) if self.kind == "mark" else (self.kind, self.name, self.detail)
        return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", " ".join(filter(None, words)))


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time. ``end`` is None if nothing says that it ended: it runs, or died."""

    start: Moment
    end: Moment | None

    @property
    def kind(self) -> str:
        return self.start.kind.removesuffix(".start")

    @property
    def outcome(self) -> str:
        return self.end.kind.rpartition(".")[2] if self.end else "open"

    @property
    def label(self) -> str:
        name = self.kind if self.kind == "app" else self.start.name or self.kind
        return name if self.outcome == "end" else f"{name} ({self.outcome})"

    def length(self, now: int) -> int:
        """Nanoseconds until its end, or until ``now`` while it has none."""
        return (self.end.at if self.end else now) - self.start.at


@dataclass(slots=True)
class Row:
    """What can be drawn on one line without covering another: in time's order."""

    bars: list[Bar] = field(default_factory=list)
    points: list[Moment] = field(default_factory=list)


@dataclass(frozen=True)
class Recording:
    """Moments in the order of time, wherever they came from."""

    moments: tuple[Moment, ...] = ()

    def __init__(self, moments: Iterable[Moment] = ()) -> None:
        object.__setattr__(self, "moments", tuple(sorted(moments, key=lambda moment: moment.at)))

    def __add__(self, other: "Recording") -> "Recording":
        """Both on one clock: a server's and its client's."""
        return Recording(self.moments + other.moments)

    def to_json(self) -> str:
        return json.dumps({"moments": [asdict(moment) for moment in self.moments]})

    @classmethod
    def from_json(cls, text: str) -> "Recording":
        return cls(Moment(**moment) for moment in json.loads(text)["moments"])

    @property
    def begin(self) -> int:
        return self.moments[0].at if self.moments else 0

    @property
    def end(self) -> int:
        return self.moments[-1].at if self.moments else 0

    def newest(self, count: int) -> "Recording":
        """Only the last so many requests."""
        calls = list(dict.fromkeys(moment.call for moment in self.moments if moment.request))
        kept = calls[-count:] if count else []
        return Recording(moment for moment in self.moments if moment.call in kept)

    def answered_at(self) -> int | None:
        """When the client has its answer: by its own word, else by the server's last byte."""
        for kind in ("request.end", "response.end"):
            for moment in self.moments:
                if moment.kind == kind:
                    return moment.at
        return None

    def durations(self) -> dict[str, float]:
        """Seconds of the newest call: from its start to ``first_byte``, ``last_byte`` and
        ``returned``, and ``background`` from the last byte to the return. What did not happen is
        not in it.
        """
        calls = [moment for moment in self.moments if moment.kind == "app.start"]
        seconds = {
            _MEASURED[moment.kind]: (moment.at - calls[-1].at) / 1e9
            for moment in self.moments
            if calls and moment.call == calls[-1].call and moment.kind in _MEASURED
        }
        if {"last_byte", "returned"} <= seconds.keys():
            seconds["background"] = seconds["returned"] - seconds["last_byte"]
        return seconds

    def bars(self) -> list[Bar]:
        """All bars, in the order of their starts."""
        bars: dict[int, Bar] = {}
        running: dict[tuple[object, ...], list[int]] = {}
        for index, moment in enumerate(self.moments):
            stem, _, phase = moment.kind.rpartition(".")
            key = (moment.call, stem, moment.name)
            if phase == "start":
                bars[index] = Bar(moment, None)
                running.setdefault(key, []).append(index)
            elif running.get(key) and phase in ("end", "failed", "cancelled"):
                # In a request they nest. Jobs of one name overlap: who began first is taken first.
                opened = running[key].pop(-1 if moment.request else 0)
                bars[opened] = Bar(bars[opened].start, moment)
        return list(bars.values())

    def points(self) -> list[Moment]:
        """All moments that neither begin nor end a bar."""
        ends = {id(end) for bar in self.bars() for end in (bar.start, bar.end)}
        return [moment for moment in self.moments if id(moment) not in ends]

    def lanes(self) -> dict[str, list[Row]]:
        """The rows of each place, as few as possible; a call and its response share one."""
        lanes: dict[str, list[Row]] = {}
        for bar in self.bars():
            rows = lanes.setdefault(bar.start.place, [])
            row = next((row for row in rows if _has_room(row, bar)), None)
            if row is None:
                rows.append(row := Row())
            row.bars.append(bar)
        for point in self.points():
            rows = lanes.setdefault(point.place, [Row()])
            _row_of(point, rows).points.append(point)
        order = [*PLACES, *lanes]
        return {place: lanes[place] for place in dict.fromkeys(order) if place in lanes}


def _has_room(row: Row, new: Bar) -> bool:
    return all(
        (bar.end is not None and bar.end.at <= new.start.at)
        or (bar.kind == "app" and bar.start.call == new.start.call)
        for bar in row.bars
    )


def _row_of(point: Moment, rows: list[Row]) -> Row:
    for row in rows:
        for bar in row.bars:
            is_over = bar.end is not None and bar.end.at < point.at
            if bar.start.call == point.call and bar.start.at <= point.at and not is_over:
                return row
    return rows[0]


def ms(nanoseconds: int) -> str:
    """For people: ``1.2 ms``, ``301 ms``; from ten seconds on ``12.5 s``, ``5.2 min``."""
    milliseconds = nanoseconds / 1e6
    if milliseconds >= 10_000:
        size, unit = next(scale for scale in _SCALES if nanoseconds >= 2 * scale[0])
        return f"{nanoseconds / size:.1f} {unit}"
    return f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms"


_SCALES = ((3_600 * 10**9, "h"), (60 * 10**9, "min"), (10**9, "s"))


def ticks(span: int) -> dict[int, str]:
    """Three to five round numbers on an axis of so many nanoseconds, and how each is written."""
    size, unit = next((scale for scale in _SCALES if span >= 10 * scale[0]), (1, "ms"))
    whole = span // size
    step = 10 ** (len(str(whole)) - 1)
    step = step // 2 if whole < 2 * step else step if whole < 5 * step else 2 * step
    shown = 1 if size > 1 else 1e6
    return {at * size: f"{at / shown:g} {unit}" for at in range(0, whole + 1, max(step, 1))}
