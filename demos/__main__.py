"""``python -m demos``: what happens after the response, recorded over real sockets.

Exit codes: 0 all went as expected; 1 something did not; 2 it could not be run, and one sentence
says why; 130 after Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from demos import report
from demos.progress import Progress
from demos.runner import Result, run_all
from demos.scenario import FRAMEWORKS, Scenario, all_names, chapter_names, load
from demos.servers import DemoError, Settings

RECORDINGS = Path(__file__).parent / "recordings"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    try:
        options = _parser().parse_args(arguments)
        scenarios = [load(name) for name in chosen(options.scenario)]
        if options.list:
            print(report.listing(scenarios))
            if not options.scenario:
                samples = [load(name) for name in chapter_names()]
                print("\nThe tutorial's samples, by number or all as `chapter`:\n")
                print(report.listing(samples))
            return 0
        return _run(scenarios, options)
    except DemoError as exc:
        print(f"demos: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demos: stopped; its servers are ended", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demos",
        description="Run the same scenario on miniasgi, Starlette and FastAPI under uvicorn, "
        "record both ends of the wire on one clock, and judge by the order of events.",
        epilog="One application by hand: uvicorn demos.s01_order:miniasgi_app, then "
        "curl localhost:8000/signup, and curl localhost:8000/gate/open to let its task go on.",
    )
    add = parser.add_argument
    add("scenario", nargs="*", help="a number (s01) or a part of a name (order); all if none")
    add("--list", action="store_true", help="list the scenarios and their questions")
    add("--only", metavar="A,B", default=",".join(FRAMEWORKS), help="these frameworks only")
    add("--http", choices=("auto", "h11", "httptools"), default="auto", help="uvicorn's parser")
    add("--loop", choices=("auto", "asyncio", "uvloop"), default="auto", help="uvicorn's loop")
    add("--port", type=int, default=0, help="first port to listen at (default: any free ones)")
    add("--json", metavar="FILE", type=Path, help="write recordings and verdicts to FILE")
    add("--svg", metavar="DIR", type=Path, default=RECORDINGS, help="where the pictures go")
    return parser


def chosen(wanted: Sequence[str]) -> list[str]:
    """The scenario files that these words mean, in the order of their numbers.

    Without words all but the tutorial's samples; ``chapter`` means those.
    """
    names = [*all_names(), *chapter_names()]
    found: set[str] = set()
    for word in wanted:
        part = word.lower().replace(" ", "_").replace("-", "_")
        is_chapter = part == "chapter"
        matching = {*chapter_names()} if is_chapter else {name for name in names if part in name}
        if not matching:
            numbers = ", ".join(name.partition("_")[0] for name in names)
            raise DemoError(f"no scenario is called {word!r}; there are {numbers}: see --list")
        found |= matching
    return [name for name in names if name in found] if wanted else all_names()


def _frameworks(only: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().lower() for name in only.split(",") if name.strip()))
    for name in names or ("",):
        if name not in FRAMEWORKS:
            raise DemoError(f"--only takes some of {','.join(FRAMEWORKS)}, not {name!r}")
    return names


def _run(scenarios: Sequence[Scenario], options: argparse.Namespace) -> int:
    settings = Settings(
        frameworks=_frameworks(options.only),
        http=options.http,
        loop=options.loop,
        port=options.port,
    )
    results: list[Result] = []
    with Progress() as progress, closing(run_all(scenarios, settings)) as running:
        progress.show(f"recording {scenarios[0].number} {scenarios[0].title}")
        for result in running:
            results.append(result)
            _write(_made(options.svg) / f"{result.scenario.name}.svg", report.as_svg(result))
            progress.print(report.as_text(result))
            for coming in scenarios[len(results) : len(results) + 1]:
                progress.show(f"recording {coming.number} {coming.title}")
    if options.json:
        _write(options.json, report.as_json(results, settings))
    print(report.verdicts(results, settings))
    print(f"Pictures: {_shorter(options.svg)}/*.svg")
    return 0 if all(result.is_expected for result in results) else 1


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
    sys.exit(main())
