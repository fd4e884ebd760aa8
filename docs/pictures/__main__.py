"""The recorded pictures of the book: record them again, or draw them again from what is recorded.

    python -m docs.pictures              all: records, judges, keeps the data, draws
    python -m docs.pictures s25 one_job  some
    python -m docs.pictures --draw       only draws, from the data

Rule of this file: a picture is drawn from the JSON beside it, which says with which versions it was
recorded; a recording that is not as its scenario expects is not kept.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from demos import report
from demos.runner import Result, run
from demos.scenario import all_names, load
from demos.versions import versions
from docs.pictures.recorded import RECORDED
from miniasgi.timeline import Moment, Recording, svg

#: Each folder's width: that of the prose, and that of a phone, so that words are as large as its.
WIDTHS = {"": 660, "narrow": 380}
HERE = Path(__file__).resolve().parent
#: Scenario: whose panels are shown. What is not shown is in the data all the same.
SHOWN = {
    "s01": ("miniasgi", "starlette", "fastapi"),
    "s03": ("miniasgi", "starlette"),
    "s08": ("miniasgi", "starlette", "fastapi"),
    "s24": ("miniasgi",),
    "s25": ("miniasgi",),
    "s26": ("miniasgi",),
    "s29": ("miniasgi", "starlette", "fastapi"),
    "s30": ("miniasgi",),
    "s31": ("fastapi", "miniasgi_redis"),
}
ALL = [*SHOWN, *RECORDED]


def record(names: Iterable[str]) -> Iterator[str]:
    """Record and keep; yields a sentence for each that was not as expected."""
    by_number = {name.partition("_")[0]: name for name in all_names()}
    for name in names:
        problem = _keep(name) if name in RECORDED else _keep_run(name, by_number[name])
        if problem:
            yield f"{name} {problem}, and the old recording stays; record it again"


def _keep(name: str) -> str:
    try:
        recording = RECORDED[name][0]()
    except AssertionError as exc:
        return f"is not as expected ({exc})"
    kept = {"versions": versions(), **json.loads(recording.to_json())}
    _write(name, kept)
    return ""


def _keep_run(number: str, name: str) -> str:
    result = run(load(name))
    if not result.is_expected:
        return "is not as expected"
    _write(number, result.as_data())
    return ""


def _write(name: str, recorded: Mapping[str, Any]) -> None:
    data = json.dumps(recorded, separators=(",", ":"), ensure_ascii=False)
    (HERE / f"{name}.json").write_text(data.replace('{"at"', '\n{"at"') + "\n")


def drawn(name: str) -> Iterator[tuple[Path, str]]:
    """A picture in each width, and where it stands."""
    recorded = json.loads((HERE / f"{name}.json").read_text())
    panels: Recording | dict[str, Recording]
    if name in RECORDED:
        file, title = name, RECORDED[name][1]
        panels = Recording(Moment(**moment) for moment in recorded["moments"])
    else:
        result = Result.from_data(recorded)
        scenario = result.scenario
        file, title = scenario.name, f"{scenario.number} {scenario.title}: {scenario.question}"
        runs = [run for run in result.runs if run.framework in SHOWN[name]]
        panels = report.titled(replace(result, runs=runs))
    for folder, width in WIDTHS.items():
        yield HERE / folder / f"{file}.svg", svg(panels, title=title, width=width)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.pictures", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("number", nargs="*", metavar="NUMBER", help=" ".join(ALL))
    parser.add_argument("--draw", action="store_true", help="record nothing")
    options = parser.parse_args()
    if unknown := set(options.number) - set(ALL):
        parser.error(f"not in the book: {' '.join(sorted(unknown))}")
    numbers = options.number or ALL
    logging.getLogger("miniasgi").setLevel("ERROR")  # what is tried again is a warning
    problems = [] if options.draw else list(record(numbers))
    for number in numbers:
        for path, picture in drawn(number):
            path.parent.mkdir(exist_ok=True)
            path.write_text(picture)
            print(path.relative_to(HERE))
    sys.exit("\n".join(problems) or None)


if __name__ == "__main__":
    main()
