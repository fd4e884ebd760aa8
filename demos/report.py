"""What was recorded, for people and for machines: text, pictures, verdicts, JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import fill

from demos.runner import Result, Run
from demos.scenario import NAMES, Scenario
from demos.servers import Settings
from demos.versions import versions
from miniasgi.timeline import Recording, svg, text

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


def as_text(result: Result, beside: Result | None = None, named: str = "") -> str:
    """Question, story, the lanes of each framework on one scale, what was seen, the lesson.

    ``beside`` is the same scenario with the other versions that were ``named``, each of its runs
    below today's.
    """
    scenario = result.scenario
    heading = f"{scenario.number}  {scenario.title}"
    lines = [heading, "=" * len(heading), ""]
    lines += [_wrapped(f"Question: {scenario.question}"), _wrapped(scenario.story), ""]
    panels = {
        _SHORT.get(run.framework, NAMES[run.framework]) + ("*" if is_other else ""): run.recording
        for run, is_other in _in_pairs(result, beside)
    }
    lines += [text(panels, width=WIDTH), ""]
    lines += [_wrapped(f"* with {named}: {measured(beside)}"), ""] if beside else []
    for run in result.runs:
        details = scenario.details(run.recording) if run.is_expected else []
        lines += [_wrapped(f"{NAMES[run.framework]}: {line}") for line in details]
        lines += [""] if details else []
    lines += _outcomes(result, "")
    lines += _beside(result, beside, "") if beside else []
    lines += ["", _wrapped(f"Lesson: {scenario.lesson}"), ""]
    return "\n".join(lines)


def _in_pairs(result: Result, beside: Result | None) -> list[tuple[Run, bool]]:
    """What was recorded: each run of today, and below it that with other versions (True)."""
    others = beside.runs if beside else []
    pairs = []
    for run in result.runs:
        same = [other for other in others if other.framework == run.framework]
        pairs += [(run, False), *((other, True) for other in same)]
    return [(run, is_other) for run, is_other in pairs if not run.is_absent]


def titled(result: Result, beside: Result | None = None, named: str = "") -> dict[str, Recording]:
    """What was recorded, by framework and version."""
    panels: dict[str, Recording] = {}
    for run, is_other in _in_pairs(result, beside):
        numbers = beside.versions if beside and is_other else result.versions
        title = f"{NAMES[run.framework]} {numbers.get(run.framework, '')}".rstrip()
        panels[f"{title}, with {named}" if title in panels else title] = run.recording
    return panels


def as_svg(result: Result, beside: Result | None = None, named: str = "") -> str:
    """One picture, the frameworks one above the other."""
    title = f"{result.scenario.number} {result.scenario.title}: {result.scenario.question}"
    return svg(titled(result, beside, named), title=title)


def verdicts(
    results: Sequence[Result],
    settings: Settings,
    beside: Mapping[str, Result] | None = None,
    named: str = "",
) -> str:
    """A row for each scenario: is miniasgi the same, better or worse, and what was seen."""
    on_starlette = [
        run for result in results for run in result.runs if run.framework == "starlette"
    ]
    is_absent = on_starlette and all(run.is_absent for run in on_starlette)
    base = "FastAPI" if is_absent else "Starlette"
    head = f"Verdict: miniasgi, compared with {base} by the order of events"
    lines = [head, "=" * len(head)]
    for result in results:
        lines += ["", f"{result.scenario.number}  {result.scenario.title:<28} {compared(result)}"]
        lines += _outcomes(result, "     ")
        if beside:
            lines += _beside(result, beside[result.scenario.name], "     ")
    better = sum(compared(result) == "better" for result in results)
    same = sum(compared(result) == "same" for result in results)
    others = sum(compared(result) in ("worse", "?") for result in results)
    lines += ["", f"{better} better, {same} the same, {others} worse or unforeseen"]
    how = f"uvicorn --http {settings.http} --loop {settings.loop}"
    lines += ["", _wrapped(f"Measured: {measured(results[0])}; {how}"), ""]
    for other in [*(beside or {}).values()][:1]:
        lines += [_wrapped(f"* with {named}: {measured(other)}"), ""]
    return "\n".join(lines)


def measured(result: Result) -> str:
    """With which versions."""
    return ", ".join(f"{name} {number}" for name, number in result.versions.items())


def _beside(result: Result, other: Result, indent: str) -> list[str]:
    """What was seen with other versions, and whether it is what is seen today."""
    today = {run.framework: run.outcome for run in result.runs}
    return [
        _wrapped(
            f"{NAMES[run.framework]}* {other.versions.get(run.framework, '')}: {run.outcome} "
            f"({'as today' if run.outcome == today[run.framework] else 'not as today'})",
            indent,
        )
        for run in other.runs
        if not run.is_absent
    ]


def compared(result: Result) -> str:
    """How miniasgi is, compared with Starlette or, where that has no such thing, with FastAPI."""
    for run in result.runs:
        if run.framework == "miniasgi":
            return run.than_starlette or "-"
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


def changes(first: Sequence[Result], again: Sequence[Result]) -> list[str]:
    """Which verdicts of the second run are not those of the first, a sentence each."""
    seen = {(result.scenario.name, run.framework): run for result in first for run in result.runs}
    lines = []
    for result in again:
        for run in result.runs:
            before = seen[result.scenario.name, run.framework]
            if run.outcome != before.outcome:
                where = f"{result.scenario.name} on {NAMES[run.framework]}"
                lines.append(f"{where}: first {before.outcome!r}, then {run.outcome!r}")
    return lines


def _wrapped(words: str, indent: str = "") -> str:
    return fill(words, WIDTH, initial_indent=indent, subsequent_indent=indent)


def as_json(
    results: Sequence[Result], settings: Settings, beside: Mapping[str, Result] | None = None
) -> str:
    """Recordings and verdicts, as the page on ``python -m demos`` describes them."""
    document = {
        "versions": versions(),
        "settings": asdict(settings),
        "scenarios": [result.as_data() for result in results],
    }
    if beside:
        document["beside"] = [result.as_data() for result in beside.values()]
    return json.dumps(document, indent=1)
