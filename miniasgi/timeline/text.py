"""A recording for a terminal: lanes of a fixed width, and one dashed line.

::

                  0 ms          50 ms         100 ms        150 ms
    client        ░░░░░░┊ POST /signup 22.0 ms
    server        ├─────▓── app 180 ms ───────────────────────────┤
    event loop          ┊█ send_email 150 ms ██████████████████████
                        ┊ the client has its answer: 22.0 ms

A bar's shade is its kind of work (░ the client waits, ▓ the response, █ a task), its last sign how
it ended: ✗ failed, ~ cancelled, → not at all.
"""

import os
import sys
from collections.abc import Callable, Mapping

from miniasgi.timeline.recording import Bar, Recording, Row, ms, ticks

_MARGIN = 14
_SHADES = {"request": "░", "response": "▓", "app": "─"}
_ENDINGS = {"failed": "✗", "cancelled": "~", "open": "→"}
_COLORS = {"request": 36, "response": 32, "app": 37, "task": 33}  # ANSI foregrounds


def text(
    recordings: Recording | Mapping[str, Recording],
    *,
    width: int = 80,
    color: bool | None = None,
    moments: bool = False,
) -> str:
    """Lanes, for several recordings one above the other on one scale; each begins at its own zero.

    ``color=None`` colours if standard output is a terminal. ``moments=True`` lists them below.
    """
    if isinstance(recordings, Recording):
        recordings = {"": recordings}
    if color is None:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    span = max((recording.end - recording.begin for recording in recordings.values()), default=0)
    lines = []
    for title, recording in recordings.items():
        lines += _panel(title, recording, span or 1, width - _MARGIN, color)
        if moments:
            lines += ["", *_list(recording)]
        lines.append("")
    return "\n".join(line.rstrip() for line in lines[:-1])


def _panel(title: str, recording: Recording, span: int, width: int, color: bool) -> list[str]:
    def column(at: int) -> int:
        return min((at - recording.begin) * width // span, width - 1)

    answered_at = recording.answered_at()
    dashes = None if answered_at is None else column(answered_at)
    lines = [f"{title:{_MARGIN}}{_axis(span, width)}"]
    for place, rows in recording.lanes().items():
        for number, row in enumerate(rows):
            line = _Line(width, dashes)
            _draw(line, row, recording.end, column)
            lines.append(f"{'' if number else place:{_MARGIN}}{line.render(color)}")
    if answered_at is not None and dashes is not None:
        answer = f"the client has its answer: {ms(answered_at - recording.begin)}"
        is_left = dashes + len(answer) + 2 > width
        caption = f"{answer + ' ┊':>{dashes + 1}}" if is_left else f"{'':{dashes}}┊ {answer}"
        lines.append(f"{'':{_MARGIN}}{caption}")
    return lines


def _axis(span: int, width: int) -> str:
    cells = [" "] * width
    for tick in ticks(span):
        number = f"{tick / 1e6:g} ms"
        start = tick * width // span
        if start + len(number) <= width:
            cells[start : start + len(number)] = number
    return "".join(cells)


def _draw(line: "_Line", row: Row, end: int, column: Callable[[int], int]) -> None:
    # A call first, what happened within it over it; labels last, where there is room.
    bars = sorted(row.bars, key=lambda bar: bar.kind != "app")
    places = [(bar, column(bar.start.at), column(bar.end.at if bar.end else end)) for bar in bars]
    for bar, first, last in places:
        line.bar(bar, first, last)
    for point in row.points:
        line.point(column(point.at), "◆" if point.kind in ("mark", "accept") else "•")
    for bar, first, last in places:
        if bar.kind != "response":
            line.label(f" {bar.label} {ms(bar.length(end))} ", first, last)
    for point in row.points:
        if point.kind == "mark":
            line.label(f" {point.name} ", column(point.at), column(point.at))


class _Line:
    """Cells of one row, each a sign and its colour."""

    def __init__(self, width: int, dashes: int | None) -> None:
        self.signs = [" "] * width
        self.colors = [0] * width
        if dashes is not None:
            self.signs[dashes] = "┊"

    def put(self, at: int, sign: str, color: int = 0) -> None:
        self.signs[at] = sign
        self.colors[at] = color or self.colors[at]

    def bar(self, bar: Bar, first: int, last: int) -> None:
        shade = _SHADES.get(bar.kind, "█")
        for at in range(first, last + 1):
            self.put(at, shade, _COLORS.get(bar.kind, 33))
        if bar.kind == "app":
            self.put(first, "├")
            self.put(last, "┤")
        if bar.outcome in _ENDINGS:
            self.put(last, _ENDINGS[bar.outcome], 31)

    def point(self, at: int, sign: str) -> None:
        if sign == "◆" or self.signs[at] in " ─┊":  # a message may hide nothing else
            self.put(at, sign)

    def label(self, words: str, first: int, last: int) -> None:
        """Write inside the bar, or right of it, over nothing but its own shade."""
        for start in (*range(first + 1, last - len(words) + 1), last + 1, last + 2):
            covered = self.signs[start : start + len(words)]
            if len(covered) == len(words) and "".join(set(covered)) in (" ", "─", "█", "░"):
                self.signs[start : start + len(words)] = words
                return

    def render(self, color: bool) -> str:
        if not color:
            return "".join(self.signs)
        cells = zip(self.signs, self.colors, strict=True)
        return "".join(f"\x1b[{c}m{sign}\x1b[0m" if c else sign for sign, c in cells)


def _list(recording: Recording) -> list[str]:
    return [
        f"{ms(moment.at - recording.begin):>10}  {moment.place:{_MARGIN}} {moment.label}"
        for moment in recording.moments
    ]
