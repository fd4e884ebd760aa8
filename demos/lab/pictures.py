"""Recordings made visible: timelines on one clock, source with colours.

A page shows a timeline twice, wide and narrow, and its style sheet shows one of them. Their style
and patterns are taken out of the pictures and stand once, in ``/static/timeline.css`` and in the
page's head of body, because a strict page allows no style of its own.
"""

import re
from collections.abc import Mapping
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from demos.card import Source
from demos.scenario import NAMES
from miniasgi.timeline import Moment, Recording, svg
from miniasgi.timeline.svg import STYLE

WIDE, NARROW = 1040, 348
_DEFS = re.compile(r"<defs>.*?</defs>", re.DOTALL)


def recording(run: Mapping[str, Any]) -> Recording:
    return Recording(Moment(**moment) for moment in run["moments"])


def timelines(runs: list[dict[str, Any]], title: str) -> list[dict[str, str]]:
    """For each run a wide and a narrow picture, all on one scale."""
    recordings = {run["framework"]: recording(run) for run in runs if run["moments"]}
    span = max((one.end - one.begin for one in recordings.values()), default=0)
    return [
        {
            size: _bare(
                svg(recordings[name], title=f"{NAMES[name]}: {title}", width=width, span=span)
            )
            for size, width in (("wide", WIDE), ("narrow", NARROW))
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


def code(found: Source) -> str:
    """HTML of a source, its decisive lines in ``.hll``."""
    formatter: Any = HtmlFormatter(
        cssclass="code", hl_lines=[line + 1 for line in found.lit], wrapcode=True
    )
    return str(highlight("\n".join(found.lines), PythonLexer(), formatter))
