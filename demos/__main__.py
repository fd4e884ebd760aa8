"""``python -m demos``: what happens after the response, recorded over real sockets.

Exit codes: 0 all went as expected; 1 something did not; 2 it could not be run, and one sentence
says why; 130 after Ctrl-C.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from demos import command, html, report
from demos.environments import Other, run_elsewhere
from demos.options import chosen, frameworks, parse
from demos.progress import Progress
from demos.runner import Result, run_all
from demos.scenario import Scenario, chapter_names, load
from demos.servers import DemoError, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    try:
        options = parse(arguments)
        scenarios = [load(name) for name in chosen(options.scenario)]
        if options.list:
            _list(scenarios, options)
            return 0
        return _run(scenarios, options)
    except DemoError as exc:
        print(f"demos: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demos: stopped; its servers are ended", file=sys.stderr)
        return 130


def _list(scenarios: Sequence[Scenario], options: argparse.Namespace) -> None:
    print(report.listing(scenarios))
    if not options.scenario:
        samples = [load(name) for name in chapter_names()]
        print("\nThe tutorial's samples, by number or all as `chapter`:\n")
        print(report.listing(samples))


def _run(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    settings = Settings(
        frameworks=frameworks(options.only),
        http=options.http,
        loop=options.loop,
        port=options.port,
    )
    other = Other.parse(options.others)
    with Progress() as progress:
        # First, because it may fail: a version that cannot be installed is said at once.
        elsewhere = (
            run_elsewhere(scenarios, other, settings, progress.show) if other.packages else []
        )
        beside = {result.scenario.name: result for result in elsewhere}
        began = time.monotonic()
        results = _record(scenarios, settings, options, progress, beside, str(other))
        if options.repeat > 1:
            progress.print(f"Run 1 of {options.repeat}, {time.monotonic() - began:.0f} s\n")
        is_steady = _repeat(scenarios, settings, options.repeat, progress, results)
    if options.json:
        _write(options.json, report.as_json(results, settings, beside))
    if options.html:
        _write(options.html, html.page(results, settings, beside, str(other)))
    print(report.verdicts(results, settings, beside, str(other)))
    print(f"Pictures: {_shorter(options.svg)}/*.svg")
    if options.html:
        print(f"Page: {_shorter(options.html)}")
    return 0 if is_steady and all(result.is_expected for result in results) else 1


def _record(
    scenarios: Sequence[Scenario],
    settings: Settings,
    options: argparse.Namespace,
    progress: Progress,
    beside: dict[str, Result],
    named: str,
) -> list[Result]:
    """Run them, and show each as soon as it is judged."""
    results: list[Result] = []
    with closing(run_all(scenarios, settings)) as running:
        progress.show(f"recording {scenarios[0].number} {scenarios[0].title}")
        for result in running:
            results.append(result)
            other = beside.get(result.scenario.name)
            picture = report.as_svg(result, other, named)
            _write(_made(options.svg) / f"{result.scenario.name}.svg", picture)
            progress.print(report.as_text(result, other, named))
            for coming in scenarios[len(results) : len(results) + 1]:
                progress.show(f"recording {coming.number} {coming.title}")
    return results


def _repeat(
    scenarios: Sequence[Scenario],
    settings: Settings,
    times: int,
    progress: Progress,
    first: Sequence[Result],
) -> bool:
    """Run them again and say what differs from the first time. Does nothing?"""
    is_steady = True
    for number in range(2, times + 1):
        progress.show(f"run {number} of {times}")
        began = time.monotonic()
        again = [*run_all(scenarios, settings)]
        changes = report.changes(first, again)
        is_steady &= not changes
        took = f"{time.monotonic() - began:.0f} s"
        progress.print(
            f"Run {number} of {times}, {took}: "
            + (
                "\n".join(["verdicts that differ from those of the first run:", *changes])
                if changes
                else "the verdicts of the first run"
            )
            + "\n"
        )
    return is_steady


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DemoError(f"{folder} cannot be made: {exc.strerror}") from None
    return folder


def _write(path: Path, words: str) -> None:
    try:
        path.write_text(words, encoding="utf-8")
    except OSError as exc:
        raise DemoError(f"{path} cannot be written: {exc.strerror}") from None


def _shorter(path: Path) -> Path:
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    command.run(main)
