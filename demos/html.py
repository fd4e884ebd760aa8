"""One page that stands by itself: what ``python -m demos --html report.html`` writes.

Style and pictures are in the file, so that it can be kept, sent and read without a network: no
script, no font, no request. Each timeline is there twice, wide and narrow, and the style sheet
shows the one that fits; their common style and patterns stand once.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demos.report import compared, titled
from demos.runner import Result
from demos.scenario import FRAMEWORKS, NAMES
from demos.servers import DemoError, Settings
from miniasgi.timeline import Recording, svg
from miniasgi.timeline.svg import STYLE

TEMPLATE = Path(__file__).with_name("report.html.jinja")
WIDE, NARROW = 1040, 348
_DEFS = re.compile(r"<defs>.*?</defs>", re.DOTALL)


def page(
    results: Sequence[Result],
    settings: Settings,
    beside: Mapping[str, Result] | None = None,
    named: str = "",
) -> str:
    """The whole page. Raises DemoError if jinja2 is not installed."""
    try:
        from jinja2 import Environment
    except ModuleNotFoundError:
        raise DemoError("--html needs jinja2; try: pip install jinja2") from None
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["sentence"] = _sentence
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    others = beside or {}
    return template.render(
        style=STYLE,
        patterns=_patterns(),
        names=NAMES,
        frameworks=[name for name in FRAMEWORKS if any(_run(result, name) for result in results)],
        scenarios=[_data(result, others.get(result.scenario.name), named) for result in results],
        versions=results[0].versions,
        other_versions=next(iter(others.values())).versions if others else {},
        named=named,
        settings=settings,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _sentence(words: str) -> Any:
    """With a capital letter, and what stands in backticks as code."""
    from markupsafe import Markup, escape

    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words)))
    return Markup(marked[:1].upper() + marked[1:])


def _run(result: Result, framework: str) -> Any:
    return next((run for run in result.runs if run.framework == framework), None)


def _data(result: Result, other: Result | None, named: str) -> dict[str, Any]:
    scenario = result.scenario
    today = {run.framework: run.outcome for run in result.runs}
    return {
        "scenario": scenario,
        "verdict": compared(result),
        "runs": [(run, scenario.expected(run.framework)) for run in result.runs],
        "seen": today,
        "others": [
            (run, other.versions.get(run.framework, ""), run.outcome == today[run.framework])
            for run in (other.runs if other else ())
            if not run.is_absent
        ],
        "details": [
            (NAMES[run.framework], line)
            for run in result.runs
            if run.is_expected and not run.is_absent
            for line in scenario.details(run.recording)
        ],
        "timelines": timelines(titled(result, other, named), scenario.question),
        "sources": [(run.framework, scenario.sources(run.framework)) for run in result.runs],
    }


def timelines(recordings: Mapping[str, Recording], title: str) -> list[dict[str, str]]:
    """For each recording its name and a wide and a narrow picture, all on one scale."""
    span = max((one.end - one.begin for one in recordings.values()), default=0)
    return [
        {
            "name": name,
            "wide": _bare(svg(one, title=f"{name}: {title}", width=WIDE, span=span)),
            "narrow": _bare(svg(one, title=f"{name}: {title}", width=NARROW, span=span)),
        }
        for name, one in recordings.items()
    ]


def _bare(picture: str) -> str:
    return _DEFS.sub("", picture.replace(f"<style>{STYLE}</style>", ""))


def _patterns() -> str:
    found = _DEFS.search(svg(Recording()))
    return found[0] if found else ""
