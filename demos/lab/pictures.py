"""Recordings made visible: timelines on one clock, source with colours.

A page has a timeline in three sizes, and its style sheet shows one of them. Style and patterns are
taken out of the pictures and stand once, in ``/static/timeline.css`` and at the head of the page's
body, because a strict page allows no style of its own.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from demos.card import Source
from demos.scenario import NAMES
from miniasgi.timeline import Moment, Recording, svg
from miniasgi.timeline.svg import STYLE

#: Widths for a desk, a tablet and a phone; the style sheet shows one of them.
SIZES = {"wide": 1240, "middle": 760, "narrow": 348}
DEEPEST = 5  #: steps of indent that the style sheet knows
_DEFS = re.compile(r"<defs>.*?</defs>", re.DOTALL)


def recording(run: Mapping[str, Any]) -> Recording:
    return Recording(Moment(**moment) for moment in run["moments"])


def timelines(runs: list[dict[str, Any]], title: str) -> list[dict[str, str]]:
    """For each run a picture in each size, all on one scale."""
    recordings = {run["framework"]: recording(run) for run in runs if run["moments"]}
    span = max((one.end - one.begin for one in recordings.values()), default=0)
    return [
        {
            size: _bare(
                svg(recordings[name], title=f"{NAMES[name]}: {title}", width=width, span=span)
            )
            for size, width in SIZES.items()
        }
        if (name := run["framework"]) in recordings
        else {}
        for run in runs
    ]


def _bare(picture: str) -> str:
    return _DEFS.sub("", picture.replace(f"<style>{STYLE}</style>", ""))


def patterns() -> str:
    """What the bare pictures fill with; once a page."""
    found = _DEFS.search(svg(Recording()))
    return f'<svg class="patterns" aria-hidden="true">{found[0] if found else ""}</svg>'


def download(runs: list[dict[str, Any]], versions: Mapping[str, str], title: str) -> str:
    """One picture of all runs that stands by itself."""
    panels = {
        f"{NAMES[run['framework']]} {versions.get(run['framework'], '')}".strip(): recording(run)
        for run in runs
        if run["moments"]
    }
    return svg(panels, title=title)


@cache
def code(found: Source) -> str:
    """HTML of a source: each line a block that may wrap below its own indent, the decisive lit."""
    lexer = PythonLexer(stripnl=False)
    whole = str(highlight("\n".join(found.lines), lexer, HtmlFormatter(nowrap=True)))
    lines = []
    for number, line in enumerate(whole.rstrip("\n").split("\n")):
        text = found.lines[number]
        depth = min((len(text) - len(text.lstrip())) // 4, DEEPEST)
        lit = " hll" if number in found.lit else ""
        lines.append(f'<span class="line in{depth}{lit}">{line}\n</span>')
    return f'<div class="code"><pre><code>{"".join(lines)}</code></pre></div>'
