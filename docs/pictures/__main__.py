"""The recorded pictures of the book: record them again, or draw them again from what is recorded.

    python -m docs.pictures              all: records, judges, keeps the data, draws
    python -m docs.pictures s25 s30      some
    python -m docs.pictures --draw       only draws, from the data

Rule of this file: a picture is drawn from the JSON beside it, which says with which versions it was
recorded; a recording that is not as its scenario expects is not kept.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from demos import report
from demos.runner import Result, run
from demos.scenario import all_names, load
from miniasgi.timeline import svg

WIDTH = 660  #: as wide as the prose, so that its words are as large
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


def record(numbers: Iterable[str]) -> Iterator[str]:
    """Record and keep; yields a sentence for each that was not as expected."""
    by_number = {name.partition("_")[0]: name for name in all_names()}
    for number in numbers:
        result = run(load(by_number[number]))
        if result.is_expected:
            data = json.dumps(result.as_data(), separators=(",", ":"), ensure_ascii=False)
            (HERE / f"{number}.json").write_text(data.replace('{"at"', '\n{"at"') + "\n")
        else:
            yield f"{number} is not as expected, and the old recording stays; record it again"


def drawn(number: str) -> tuple[Path, str]:
    """A picture and where it stands."""
    result = Result.from_data(json.loads((HERE / f"{number}.json").read_text()))
    runs = [run for run in result.runs if run.framework in SHOWN[number]]
    scenario = result.scenario
    panels = report.titled(replace(result, runs=runs))
    title = f"{scenario.number} {scenario.title}: {scenario.question}"
    return HERE / f"{scenario.name}.svg", svg(panels, title=title, width=WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.pictures", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("number", nargs="*", metavar="NUMBER", help=" ".join(SHOWN))
    parser.add_argument("--draw", action="store_true", help="record nothing")
    options = parser.parse_args()
    if unknown := set(options.number) - set(SHOWN):
        parser.error(f"not in the book: {' '.join(sorted(unknown))}")
    numbers = options.number or list(SHOWN)
    problems = [] if options.draw else list(record(numbers))
    for number in numbers:
        path, picture = drawn(number)
        path.write_text(picture)
        print(path.name)
    sys.exit("\n".join(problems) or None)


if __name__ == "__main__":
    main()
