"""A recording for a terminal: lanes of a fixed width, and one dashed line.

::

                  0 ms             50 ms            100 ms           150 ms
    client        ░░░░░░░┊ POST /signup 23.0 ms
    server        ├─────▓┊ app 190 ms ─────────────────────────────────────────────┤
    event loop          ◆┊█ send_email 136 ms ███◆ connected █████████████
                         ┊ the client has its answer: 23.0 ms

A bar's shade is its kind of work (░ the client waits, ▓ the response, █ a task), its last sign how
it ended: ✗ failed, ~ cancelled, → not at all.
"""

import os
import sys
from collections.abc import Mapping

from miniasgi.timeline.recording import Bar, Recording, Row, ms, ticks

_MARGIN = 14
_SHADES = {"request": "░", "response": "▓", "app": "─"}
_ENDINGS = {"failed": "✗", "cancelled": "~", "open": "→"}
_COLORS = {"request": 36, "response": 32, "app": 37, "task": 33}  # ANSI foregrounds
_PLAIN = 0


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
    columns = _Columns(recording, span, width)
    lines = [f"{title:{_MARGIN}}{_axis(span, width)}"]
    for place, rows in recording.lanes().items():
        for number, row in enumerate(rows):
            line = _Line(width)
            _draw(line, row, columns)
            lines.append(f"{'' if number else place:{_MARGIN}}{line.render(color)}")
    if columns.dashes:
        answer = f"the client has its answer: {ms(columns.answered_at - recording.begin)}"
        is_left = (
            _MARGIN + columns.dashes > len(answer) and width - columns.dashes < len(answer) + 2
        )
        caption = f"{answer} ┊" if is_left else f"┊ {answer}"
        indent = _MARGIN + columns.dashes + 1 - (len(caption) if is_left else 1)
        lines.append(" " * indent + caption)
    return lines


class _Columns:
    """Where moments stand in a line of so many columns.

    What happens after the answer stands right of the dashed line, however soon; what happens before
    stands left; a bar that begins so little before that it is one column begins on the line.
    """

    def __init__(self, recording: Recording, span: int, width: int) -> None:
        self.begin, self.end = recording.begin, recording.end
        self.span, self.width = span, width
        self.answered_at = self.dashes = 0
        if (answered_at := recording.answered_at()) is not None:
            self.dashes = min(max(self.nearest(answered_at), 2), width - 2)
            self.answered_at = answered_at

    def nearest(self, at: int) -> int:
        return min((at - self.begin) * self.width // self.span, self.width - 1)

    def of(self, at: int) -> int:
        if not self.dashes:
            return self.nearest(at)
        if at == self.answered_at:
            return self.dashes - 1
        is_after = at > self.answered_at
        beside = self.dashes + (1 if is_after else -1)
        return max(self.nearest(at), beside) if is_after else min(self.nearest(at), beside)

    def of_bar(self, bar: Bar) -> tuple[int, int]:
        start, end = bar.start.at, bar.start.at + bar.length(self.end)
        ahead, waited = self.answered_at - start, self.answered_at - self.begin
        is_near = self.nearest(self.answered_at) - self.nearest(start) <= 1
        if self.dashes and is_near and 0 <= ahead < waited / 10 and end > self.answered_at:
            return self.dashes, self.of(end)
        return self.of(start), self.of(end)


def _axis(span: int, width: int) -> str:
    cells = [" "] * width
    for tick, number in ticks(span).items():
        start = tick * width // span
        if start + len(number) <= width:
            cells[start : start + len(number)] = number
    return "".join(cells)


def _draw(line: "_Line", row: Row, columns: _Columns) -> None:
    # A call first, what happened within it over it; labels last, where there is room.
    bars = sorted(row.bars, key=lambda bar: bar.kind != "app")
    places = [(bar, *columns.of_bar(bar)) for bar in bars]
    for bar, first, last in places:
        line.bar(bar, first, last)
    if columns.dashes:
        line.put(columns.dashes, "┊", _PLAIN)
    for point in row.points:
        line.point(columns.of(point.at), "◆" if point.kind in ("mark", "accept") else "•")
    for bar, first, last in places:
        if bar.kind != "response":
            line.label(
                (f" {bar.label} {ms(bar.length(columns.end))} ", f" {bar.label} "), first, last
            )
    for point in row.points:
        if point.is_told:
            at = columns.of(point.at)
            line.label((f" {point.label} ",), at, at)


class _Line:
    """Cells of one row, each a sign and its colour."""

    def __init__(self, width: int) -> None:
        self.signs = [" "] * width
        self.colors = [_PLAIN] * width

    def put(self, at: int, sign: str, color: int) -> None:
        self.signs[at] = sign
        self.colors[at] = color

    def bar(self, bar: Bar, first: int, last: int) -> None:
        color = _COLORS.get(bar.kind, 33)
        for at in range(first, last + 1):
            self.put(at, _SHADES.get(bar.kind, "█"), color)
        if bar.kind == "app":
            self.put(first, "├", color)
            self.put(last, "┤", color)
        if bar.outcome in _ENDINGS:
            self.put(last, _ENDINGS[bar.outcome], 31)

    def point(self, at: int, sign: str) -> None:
        if sign == "◆" or self.signs[at] in " ─":  # a message hides nothing else
            self.put(at, sign, _PLAIN)

    def label(self, choices: tuple[str, ...], first: int, last: int) -> None:
        """Write the first choice with room inside the bar, or else right or left of it: over one
        shade only, so that no other sign is hidden.
        """
        for words in choices:
            inside = range(first + 1 + (self.signs[first] == "┊"), last - len(words) + 1)
            for start in (*inside, last + 1, last + 2, first - len(words)):
                covered = self.signs[max(start, 0) : start + len(words)]
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
