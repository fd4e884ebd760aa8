"""What was recorded, for people and for machines: text, pictures, verdicts, JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from textwrap import fill

from demos.runner import Result, Run
from demos.scenario import NAMES, Scenario
from demos.servers import Settings
from demos.versions import versions
from miniasgi.timeline import svg, text

WIDTH = 100
#: Names that fit beside the lanes.
_SHORT = {
    "starlette_queue": "Starl. +queue",
    "fastapi_queue": "FastAPI+queue",
    "miniasgi_redis": "mini. + Redis",
}


def listing(scenarios: Sequence[Scenario]) -> str:
    """Numbers, names and questions."""
    return "\n".join(
        f"{scenario.number:<3}  {scenario.title:<25} {scenario.question}" for scenario in scenarios
    )


def as_text(result: Result) -> str:
    """Question, story, the lanes of each framework on one scale, what was seen, the lesson."""
    scenario = result.scenario
    heading = f"{scenario.number}  {scenario.title}"
    lines = [heading, "=" * len(heading), ""]
    lines += [_wrapped(f"Question: {scenario.question}"), _wrapped(scenario.story), ""]
    panels = {
        _SHORT.get(run.framework, NAMES[run.framework]): run.recording
        for run in result.runs
        if not run.is_absent
    }
    lines += [text(panels, width=WIDTH), ""]
    for run in result.runs:
        details = scenario.details(run.recording) if run.is_expected else []
        lines += [_wrapped(f"{NAMES[run.framework]}: {line}") for line in details]
        lines += [""] if details else []
    lines += _outcomes(result, "")
    lines += ["", _wrapped(f"Lesson: {scenario.lesson}"), ""]
    return "\n".join(lines)


def as_svg(result: Result) -> str:
    """One picture, the frameworks one above the other."""
    title = f"{result.scenario.number} {result.scenario.title}: {result.scenario.question}"
    panels = {
        f"{NAMES[run.framework]} {result.versions.get(run.framework, '')}".rstrip(): run.recording
        for run in result.runs
        if not run.is_absent
    }
    return svg(panels, title=title)


def verdicts(results: Sequence[Result], settings: Settings) -> str:
    """A row for each scenario: is miniasgi the same, better or worse, and what was seen."""
    on_starlette = [
        run for result in results for run in result.runs if run.framework == "starlette"
    ]
    is_absent = on_starlette and all(run.is_absent for run in on_starlette)
    base = "FastAPI" if is_absent else "Starlette"
    head = f"Verdict: miniasgi, compared with {base} by the order of events"
    lines = [head, "=" * len(head)]
    for result in results:
        lines += ["", f"{result.scenario.number}  {result.scenario.title:<28} {_compared(result)}"]
        lines += _outcomes(result, "     ")
    better = sum(_compared(result) == "better" for result in results)
    same = sum(_compared(result) == "same" for result in results)
    others = len(results) - better - same
    lines += ["", f"{better} better, {same} the same, {others} worse or unforeseen"]
    numbers = ", ".join(f"{name} {number}" for name, number in versions().items())
    how = f"uvicorn --http {settings.http} --loop {settings.loop}"
    return "\n".join([*lines, "", _wrapped(f"Measured: {numbers}; {how}"), ""])


def _compared(result: Result) -> str:
    for run in result.runs:
        if run.framework == "miniasgi":
            return run.than_starlette
    return "-"


def _outcomes(result: Result, indent: str) -> list[str]:
    """Frameworks with the same outcome share a line."""
    by_outcome: dict[str, list[Run]] = {}
    for run in result.runs:
        by_outcome.setdefault(run.outcome, []).append(run)
    lines = []
    for outcome, runs in by_outcome.items():
        names = ", ".join(NAMES[run.framework] for run in runs)
        lines.append(_wrapped(f"{names}: {outcome}", indent))
        for run in runs:
            if not run.is_expected:
                expected = result.scenario.expected(run.framework)
                lines.append(
                    _wrapped(f"NOT AS EXPECTED on {NAMES[run.framework]}: {expected}", indent)
                )
    return lines


def _wrapped(words: str, indent: str = "") -> str:
    return fill(words, WIDTH, initial_indent=indent, subsequent_indent=indent)


def as_json(results: Sequence[Result], settings: Settings) -> str:
    """Recordings and verdicts. Times are nanoseconds of CLOCK_MONOTONIC."""
    document = {
        "versions": versions(),
        "settings": asdict(settings),
        "scenarios": [result.as_data() for result in results],
    }
    return json.dumps(document, indent=1)
