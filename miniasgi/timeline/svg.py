"""A recording as one plain SVG: no script, no font, no request, light and dark.

Places are lanes, colours are kinds of work (Okabe and Ito's, seen by all eyes), and no colour is
the only sign: bars have labels, what failed is hatched, what was cancelled is dotted, what has no
end is dashed. One dashed line says "the client has its answer", a tint covers all after it. Numbers
are in the titles, which browsers show on hover; the description tells the story in order, because a
picture (role="img") is read as its title and description only.

Rule of this file: all style is in one element, none in attributes, so that a page with a strict
Content-Security-Policy can show a picture by putting that element's text into its own style sheet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from miniasgi.timeline.recording import Bar, Moment, Recording, Row, ms, ticks

_WIDTH, _NARROW = 900, 600
_ROW, _BAR, _HEAD, _GAP = 28, 18, 44, 14
_LETTER = 7.0  # the width of a letter at 12px, on average, in a wide system font

#: What a picture carries. A page that forbids inline styles allows this text by its hash.
STYLE = """
.tl{--ink:#1b1f24;--dim:#59636e;--line:#d1d9e0;--paper:#fff;--tint:#e69f0014;
max-width:100%;height:auto;font:12px system-ui,sans-serif}
@media(prefers-color-scheme:dark){.tl{--ink:#f0f3f6;--dim:#9ea7b3;--line:#353c45;--paper:#15191f;
--tint:#e69f001c}}
.tl text{fill:var(--ink)}.tl .tl-dim{fill:var(--dim)}.tl .tl-on{fill:#111}
.tl .tl-head{font-weight:600;font-size:14px}
.tl .tl-off{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.tl-paper{fill:var(--paper)}.tl-tint{fill:var(--tint)}.tl-grid{stroke:var(--line)}
.tl-answer{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 4}
.tl-app{stroke:var(--dim);stroke-width:2}.tl-point{fill:var(--ink);stroke:var(--paper)}
.tl-request{fill:#56b4e9}.tl-response{fill:#009e73}.tl-task{fill:#e69f00}.tl-other{fill:#cc79a7}
.tl-failed{fill:url(#tl-failed)}.tl-cancelled{fill:url(#tl-cancelled)}
.tl-open{stroke:var(--ink);stroke-dasharray:3 3}.tl-stripe{stroke:#fff7;stroke-width:1.5}
"""
_PATTERNS = {
    "failed": '<path d="M0 0H7V7H0z" fill="#d55e00"/><path class="tl-stripe" d="M-1 8L8-1"/>',
    "cancelled": '<path d="M0 0H7V7H0z" fill="#cc79a7"/><circle cx="3" cy="3" r="1.2"/>',
}


def svg(
    recordings: Recording | Mapping[str, Recording],
    *,
    title: str = "What happened when",
    width: int = _WIDTH,
    span: int = 0,
) -> str:
    """One picture; several recordings one above the other, each from its own zero, on one scale.

    Below 600 a ``width`` is narrow, for a phone: places are named above their lanes. ``span`` is
    the nanoseconds that the axis shows at least: the scale that several pictures share.
    """
    if isinstance(recordings, Recording):
        recordings = {"": recordings}
    spans = [recording.end - recording.begin for recording in recordings.values()]
    frame = _Frame(width, max([span, 1, *spans]))
    y, parts = 8, []
    for name, recording in recordings.items():
        panel = _Panel(name, recording, frame, y)
        parts += panel.draw()
        y = panel.bottom + _GAP
    parts += _axis(frame, y)
    story = " ".join(_story(name, recording) for name, recording in recordings.items())
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 20}"',
            f' width="{width}" height="{y + 20}"',
            f' class="tl" role="img"><title>{escape(title)}</title><desc>{escape(story)}</desc>',
            f"<style>{STYLE}</style><defs>",
            *(
                f'<pattern id="tl-{name}" width="7" height="7" patternUnits="userSpaceOnUse">'
                f"{drawn}</pattern>"
                for name, drawn in _PATTERNS.items()
            ),
            "</defs>",
            '<rect class="tl-paper" width="100%" height="100%" rx="6"/>',
            *parts,
            "</svg>",
        ]
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a time stands across the picture, beside or below the names of the places."""

    width: int
    span: int  #: nanoseconds from the left to the right

    @property
    def is_narrow(self) -> bool:
        return self.width < _NARROW

    @property
    def left(self) -> int:
        return 14 if self.is_narrow else 116

    @property
    def right(self) -> int:
        return self.width - (14 if self.is_narrow else 24)

    @property
    def lift(self) -> int:
        """How far above its first row a place is named, if that is not beside it."""
        return 18 if self.is_narrow else 0

    def x(self, nanoseconds: int) -> float:
        return self.left + nanoseconds * (self.right - self.left) / self.span


def _axis(frame: _Frame, y: int) -> list[str]:
    parts = []
    for tick, words in ticks(frame.span).items():
        x = frame.x(tick)
        anchor = "middle" if tick and x < frame.right - 12 else "end" if tick else "start"
        parts.append(_text(x if tick else x - 8, y + 6, words, "tl-dim", anchor=anchor))
    return parts


def _story(name: str, recording: Recording) -> str:
    answered_at = recording.answered_at()
    told = [
        f"{moment.label} ({moment.place}, {ms(moment.at - recording.begin)})"
        + (", and the client has its answer" if moment.at == answered_at else "")
        for moment in recording.moments
    ]
    return f"{name}: {'; '.join(told)}." if name else f"{'; '.join(told)}."


class _Panel:
    """One recording: its name, its lanes, its dashed line."""

    def __init__(self, name: str, recording: Recording, frame: _Frame, top: int) -> None:
        self.name = name
        self.recording = recording
        self.frame = frame
        self.top = top + (_HEAD if name else _HEAD - 20)
        self.lanes = recording.lanes()
        rows = sum(map(len, self.lanes.values()))
        self.bottom = self.top + _ROW * rows + frame.lift * len(self.lanes)

    def x(self, at: int) -> float:
        return self.frame.x(at - self.recording.begin)

    def draw(self) -> list[str]:
        top = self.top
        height = self.bottom - top
        parts = [_text(12, top - _HEAD + 18, self.name, "tl-head")] if self.name else []
        answered_at = self.recording.answered_at()
        if answered_at is not None:
            x = self.x(answered_at)
            tint = f'width="{self.frame.right - x:.1f}" height="{height}"'
            parts.append(f'<rect class="tl-tint" x="{x:.1f}" y="{top}" {tint}/>')
        for tick in ticks(self.frame.span):
            parts.append(_line("tl-grid", self.frame.x(tick), top, self.bottom))
        y, words_on_top = top, []
        for place, rows in self.lanes.items():
            y += self.frame.lift
            below = -5 if self.frame.is_narrow else _ROW / 2 + 4
            words_on_top.append(_text(12, y + below, place, "tl-dim tl-off"))
            for row in rows:
                lane = _Lane(self, y)
                lane.draw(row)
                parts += lane.shapes
                words_on_top += lane.words
                y += _ROW
        if answered_at is not None:
            parts.append(_line("tl-answer", x, top - 18, self.bottom))
            words_on_top.append(self._caption(x, ms(answered_at - self.recording.begin)))
        return parts + words_on_top

    def _caption(self, x: float, after: str) -> str:
        """What the dashed line says, right of it or left of it, shorter if there is no room."""
        y = self.top - 8
        for words in (f"the client has its answer · {after}", f"its answer · {after}", "answer"):
            length = len(words) * _LETTER + 6
            if x + length < self.frame.width:
                return _text(x + 6, y, words)
            if x > length:
                return _text(x - 6, y, words, anchor="end")
        return ""


class _Lane:
    """One row: bars, points over them, and labels where nothing is covered."""

    def __init__(self, panel: _Panel, y: float) -> None:
        self.panel = panel
        self.middle = y + _ROW / 2
        answered_at = panel.recording.answered_at()
        line = [] if answered_at is None else [panel.x(answered_at)]
        self.taken = [(x - 3, x + 4) for x in line]  # no word crosses the dashed line
        self.shapes: list[str] = []
        self.words: list[str] = []  # drawn after all lines, which give way to their outline

    def draw(self, row: Row) -> None:
        for bar in sorted(row.bars, key=lambda bar: bar.kind != "app"):
            self._bar(bar)
        for point in row.points:
            self._point(point)
        for point in row.points:  # before the bars: what is done there is what the story is about
            if point.is_told:
                self._write(point.label, self.panel.x(point.at), self.panel.x(point.at), row)
        for bar in row.bars:
            if bar.kind != "response":
                self._label(bar, row)

    def _ends(self, bar: Bar) -> tuple[float, float]:
        recording = self.panel.recording
        first = self.panel.x(bar.start.at)
        last = self.panel.x(bar.end.at if bar.end else recording.end)
        return first, max(last, first + 3)

    def _bar(self, bar: Bar) -> None:
        first, last = self._ends(bar)
        recording = self.panel.recording
        begins, lasts = bar.start.at - recording.begin, bar.length(recording.end)
        told = f"{bar.label}: from {ms(begins)}, for {ms(lasts)}"
        if bar.kind == "app":
            caps = f"M{first:.1f} {self.middle - 6}v12m0-6H{last:.1f}m0-6v12"
            shape = f'<path class="tl-app" fill="none" d="{caps}"/>'
        else:
            kind = bar.kind if bar.kind in ("request", "response", "task") else "other"
            ending = "" if bar.outcome == "end" else f" tl-{bar.outcome}"
            shape = (
                f'<rect class="tl-{kind}{ending}" x="{first:.1f}" width="{last - first:.1f}"'
                f' y="{self.middle - _BAR / 2}" height="{_BAR}" rx="2"/>'
            )
        self.shapes.append(_titled(shape, told))

    def _point(self, point: Moment) -> None:
        x, y = self.panel.x(point.at), self.middle
        if point.kind in ("mark", "accept"):
            shape = f'<path class="tl-point" d="M{x - 5:.1f} {y}l5-6 5 6-5 6z"/>'
        else:
            shape = f'<circle class="tl-point" cx="{x:.1f}" cy="{y}" r="3.5"/>'
        self.shapes.append(
            _titled(shape, f"{point.label}: at {ms(point.at - self.panel.recording.begin)}")
        )
        self.taken.append((x - 7, x + 7))

    def _label(self, bar: Bar, row: Row) -> None:
        lift = 9 if bar.kind == "app" else 0
        words = f"{bar.label} {ms(bar.length(self.panel.recording.end))}"
        if not self._write(words, *self._ends(bar), row, lift=lift):
            self._write(bar.label, *self._ends(bar), row, lift=lift)

    def _write(self, words: str, first: float, last: float, row: Row, *, lift: int = 0) -> bool:
        """Write within these ends, or right or left of them: wholly on its bar or wholly off all,
        and over no point or other label. No room, no label: the title has it.
        """
        length = len(words) * _LETTER
        bars = [self._ends(bar) for bar in row.bars if bar.kind != "app"]
        after_points = [end + 2 for _, end in sorted(self.taken) if first < end < last + 16]
        for x in (first + 6, *after_points, last + 8, first - 8 - length):
            end = x + length
            is_on = not lift and any(
                left <= min(x, first) and max(end, last) <= right for left, right in bars
            )
            is_off = all(end < left or right < x for left, right in bars)
            is_taken = any(x < right and left < end for left, right in self.taken)
            frame = self.panel.frame
            if (is_on or is_off) and not is_taken and x > frame.left and end < frame.width - 6:
                self.taken.append((x, end))
                kind, is_left = "tl-on" if is_on else "tl-off", end < first
                # The length is a guess: what stands left of its sign is set from its end.
                anchor, x = ("end", end) if is_left else ("start", x)
                self.words.append(_text(x, self.middle + 4 - lift, words, kind, anchor=anchor))
                return True
        return False


def _text(x: float, y: float, words: str, kind: str = "", *, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def _line(kind: str, x: float, top: float, bottom: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def _titled(shape: str, title: str) -> str:
    return f"<g><title>{escape(title)}</title>{shape}</g>"
