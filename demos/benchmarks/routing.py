"""How long does a router take to find its way, as the number of routes grows?

The whole call is measured, in this process: a fresh scope in, the answer's two messages out, with
an endpoint that answers an empty 200. So each figure holds the framework's cost of a request too,
which is what the first line, 10 routes, is mostly made of; what grows from there is the lookup.
Routes are ``/r{i}/{id}``, ``/api/v1/res{i}/{id}/sub`` and the static ``/static/page{i}``; asked is
for the first, the middle and the last that was registered, and for a path that none has (a 404).
CPU time, medians over rounds that visit every table once, in an order that chance decides anew: in
a fixed one, whatever follows a change of the table would pay for it, and always the same figure.

``python -m demos.benchmarks.routing`` (about 15 seconds).
"""

import argparse
import asyncio
from collections.abc import Callable
from random import Random
from statistics import median
from time import process_time_ns

from demos.benchmarks import report
from demos.benchmarks.applications import ASGIApp, Case
from demos.benchmarks.driver import calls

SIZES = (10, 100, 1000, 5000)
#: Path of a route, and of a request that it matches.
SHAPES: dict[str, tuple[str, str]] = {
    "/r{i}/{id}": ("/r%d/{id}", "/r%d/42"),
    "/api/v1/res{i}/{id}/sub": ("/api/v1/res%d/{id}/sub", "/api/v1/res%d/42/sub"),
    "/static/page{i}": ("/static/page%d", "/static/page%d"),
}
BATCH = 2_000_000  # ns


def build_miniasgi(paths: list[str]) -> ASGIApp:
    from miniasgi import MiniASGI, Request, Response

    async def endpoint(request: Request) -> Response:
        return Response()

    app = MiniASGI()
    for path in paths:
        app.get(path)(endpoint)
    return app


def build_starlette(paths: list[str]) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def endpoint(request: Request) -> Response:
        return Response()

    return Starlette(routes=[Route(path, endpoint) for path in paths])


BUILDERS: dict[str, Callable[[list[str]], ASGIApp]] = {
    "miniasgi": build_miniasgi,
    "starlette": build_starlette,
}


def positions(request: str, size: int) -> dict[str, str]:
    """The paths to ask for, by the place of their route in a table of this size."""
    return {
        "first": request % 0,
        "middle": request % (size // 2),
        "last": request % (size - 1),
        "unknown": request % size,
    }


#: Framework, shape, place of the route, number of routes.
Cell = tuple[str, str, str, int]


async def cpu_time(app: ASGIApp, path: str, times: int) -> float:
    """Microseconds of CPU for one request."""
    before = process_time_ns()
    await calls(app, Case("lookup", "GET", path, b""), times)
    return (process_time_ns() - before) / times / 1000


async def measure(rounds: int) -> dict[Cell, float]:
    asked: dict[Cell, tuple[ASGIApp, str, int]] = {}
    for shape, (route, request) in SHAPES.items():
        for size in SIZES:
            for framework, build in BUILDERS.items():
                app = build([route % i for i in range(size)])
                for place, path in positions(request, size).items():
                    await cpu_time(app, path, 3)  # warm-up
                    times = max(1, int(BATCH / 1000 / await cpu_time(app, path, 5)))
                    asked[framework, shape, place, size] = (app, path, times)
    spent: dict[Cell, list[float]] = {cell: [] for cell in asked}
    for done in range(rounds):
        report.progress(done, rounds)
        for cell in Random(done).sample(list(asked), len(asked)):
            app, path, times = asked[cell]
            spent[cell].append(await cpu_time(app, path, times))
    report.progress(rounds, rounds)
    return {cell: median(times) for cell, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    times = asyncio.run(measure(arguments.rounds))

    facts = report.environment(BUILDERS)
    rows = dict.fromkeys(cell[:3] for cell in times)
    if arguments.json:
        lookups = [
            {"framework": row[0], "routes": row[1], "asked": row[2]}
            | {"cpu_us": {size: times[*row, size] for size in SIZES}}
            for row in rows
        ]
        report.print_json(facts, rounds=arguments.rounds, lookups=lookups)
        return
    report.print_environment(facts)
    print("CPU time of a request in us, by the number of routes\n")
    head = ["framework", "routes", "asked for", *map(str, SIZES), f"{SIZES[-1]} / {SIZES[0]}"]
    lines = [
        [
            *row,
            *(f"{times[*row, size]:.1f}" for size in SIZES),
            f"{times[*row, SIZES[-1]] / times[*row, SIZES[0]]:.2f}",
        ]
        for row in sorted(rows, key=lambda row: (row[1], row[0]))
    ]
    print(report.table(head, lines))


if __name__ == "__main__":
    main()
