"""What ``python -m demos`` is asked for: its options, its help, and which scenarios are meant.

Rule of this file: what cannot be meant is refused here, in one sentence with a way out, before
anything is started.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from demos import report
from demos.scenario import FRAMEWORKS, all_names, chapter_names, load, table_names
from demos.servers import DemoError

RECORDINGS = Path(__file__).parent / "recordings"

EXAMPLES = """examples:
  python -m demos                          all scenarios, about a minute
  python -m demos s08                      one of them; also by a part of its name: neighbour
  python -m demos s16 --with fastapi==0.117.1
                                           today's versions, and beside them another
  python -m demos --all --html report.html one file to keep or to send: timelines, verdicts, code
  python -m demos --all --repeat 3         three times: are the verdicts the same?
  python -m demos chapter                  the tutorial's samples

one application by hand:
  uvicorn demos.s01_order:miniasgi_app     then: curl localhost:8000/signup, and
                                           curl localhost:8000/gate/open to let its task go on

exit codes:
  0  all went as expected
  1  a verdict is not the expected one, or differs from run to run; the output says which
  2  it could not be run; one sentence on standard error says why
  130  stopped by Ctrl-C; its servers are ended
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DemoError(f"{message}; see python -m demos --help")

    def format_help(self) -> str:
        scenarios = report.listing([load(name) for name in all_names()])
        return f"{super().format_help()}\nscenarios:\n{scenarios}\n"


def parser() -> argparse.ArgumentParser:
    """Its options, in groups."""
    parser = _Parser(
        prog="python -m demos",
        usage="%(prog)s [SCENARIO ...] [options]",
        description="Run the same scenario on miniasgi, Starlette and FastAPI under uvicorn,\n"
        "record both ends of the wire on one clock, and judge by the order of events.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what is run")
    what.add_argument(
        "scenario",
        nargs="*",
        metavar="SCENARIO",
        help="a number (s01) or a part of a name (order); `chapter`: the tutorial's samples",
    )
    what.add_argument("--all", action="store_true", help="all scenarios; so it is if none is named")
    what.add_argument("--only", metavar="A,B", default=",".join(FRAMEWORKS), help="on these only")
    what.add_argument(
        "--with",
        dest="others",
        metavar="PACKAGE==VERSION",
        action="append",
        default=[],
        help="run them with this version too, in an environment of its own that is kept in "
        "~/.cache/miniasgi/demos; once for each package",
    )
    what.add_argument(
        "--repeat", metavar="N", type=int, default=1, help="N times, and compare the verdicts"
    )
    what.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    how = parser.add_argument_group("how it is served")
    how.add_argument("--http", choices=("auto", "h11", "httptools"), default="auto", help="parser")
    how.add_argument("--loop", choices=("auto", "asyncio", "uvloop"), default="auto", help="loop")
    how.add_argument(
        "--port", metavar="N", type=int, default=0, help="first port to listen at (any free ones)"
    )
    kept = parser.add_argument_group("what is kept")
    kept.add_argument("--html", metavar="FILE", type=Path, help="one page that stands by itself")
    kept.add_argument("--json", metavar="FILE", type=Path, help="recordings and verdicts as data")
    kept.add_argument(
        "--svg", metavar="DIR", type=Path, default=RECORDINGS, help="pictures (demos/recordings)"
    )
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. Raises DemoError for what cannot be meant."""
    options = parser().parse_args(arguments)
    if options.all and options.scenario:
        raise DemoError(f"--all and {options.scenario[0]!r} at once: name scenarios, or take --all")
    if options.repeat < 1:
        raise DemoError(f"--repeat takes a number from 1 on, not {options.repeat}")
    if not 0 <= options.port < 65536:
        raise DemoError(f"--port takes a number from 1 to 65535, not {options.port}")
    return options


def chosen(wanted: Sequence[str]) -> list[str]:
    """The scenario files that these words mean, in the order of their numbers.

    Without words all but the tutorial's samples; ``chapter`` means those.
    """
    names = [*all_names(), *chapter_names(), *table_names()]
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


def frameworks(only: str) -> tuple[str, ...]:
    """Those of ``miniasgi,starlette``."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in only.split(",") if name.strip()))
    for name in names or ("",):
        if name not in FRAMEWORKS:
            raise DemoError(f"--only takes some of {','.join(FRAMEWORKS)}, not {name!r}")
    return names
