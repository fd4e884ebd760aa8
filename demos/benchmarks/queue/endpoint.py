"""What a durable task costs the one who waits for the answer: the same endpoint, with and without.

Behind uvicorn, on miniasgi and on FastAPI. One client asks one path after the other on one
keep-alive connection: without a task, with an ordinary background task, with a durable one. Before
each it pauses (``--pause``), because the work after an answer is a commit too, and who asks at once
waits for it. Beside these stand two endpoints that make one commit themselves, one on the loop,
where it holds up everybody, and one that awaits it; and one commit alone in its process. Each turn
has them in an order by chance, because a disk that had nothing to do for some milliseconds is
slower: who always came after an answer without a commit would pay for that. The last table is the
question: how many commits an answer with a durable task is later than one without.
"""

import argparse
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from demos.benchmarks.report import environment, print_environment, print_json, table
from demos.benchmarks.servers import serve
from demos.client import Connection
from miniasgi.queue import Queue

PATHS = ("/without", "/ordinary", "/durable", "/awaited", "/commit")
HERE = "demos.benchmarks.queue.endpoint"
LOG_HAS_ITS_SIZE = 1_100  # jobs; the first checkpoint is after 1,000 changes

folder = os.environ.get("BENCH_FOLDER", ".")
queue = Queue("endpoint", f"sqlite:///{folder}/endpoint.db")
lone = Queue("endpoint", f"sqlite:///{folder}/endpoint-lone.db")


async def ordinary(n: int) -> None:
    """Nothing."""


@queue.task
async def durable(n: int) -> None:
    """Nothing, promised on disk."""


@lone.task
async def committed(n: int) -> None:
    """One row in a file where no worker is."""


def _miniasgi_app() -> Any:
    from miniasgi import BackgroundTasks, JSONResponse, MiniASGI, Request

    app = MiniASGI(lifespan=queue.lifespan)

    @app.get("/without")
    async def without(request: Request) -> JSONResponse:
        return JSONResponse({"n": 1})

    @app.get("/ordinary")
    async def with_ordinary(request: Request) -> JSONResponse:
        background = BackgroundTasks()
        background.add_task(ordinary, 1)
        return JSONResponse({"n": 1}, background=background)

    @app.get("/durable")
    async def with_durable(request: Request) -> JSONResponse:
        background = BackgroundTasks()
        background.add_task(durable, 1)
        return JSONResponse({"n": 1}, background=background)

    @app.get("/awaited")
    async def awaited(request: Request) -> JSONResponse:
        await committed.adelay(1)
        return JSONResponse({"n": 1})

    @app.get("/commit")
    async def commit(request: Request) -> JSONResponse:
        committed.delay(1)
        return JSONResponse({"n": 1})

    return app


def _fastapi_app() -> Any:
    from fastapi import BackgroundTasks, FastAPI

    app = FastAPI(lifespan=queue.lifespan)

    @app.get("/without")
    async def without() -> dict[str, int]:
        return {"n": 1}

    @app.get("/ordinary")
    async def with_ordinary(tasks: BackgroundTasks) -> dict[str, int]:
        tasks.add_task(ordinary, 1)
        return {"n": 1}

    @app.get("/durable")
    async def with_durable(tasks: BackgroundTasks) -> dict[str, int]:
        tasks.add_task(await durable.accept(1))
        return {"n": 1}

    @app.get("/awaited")
    async def awaited() -> dict[str, int]:
        await committed.adelay(1)
        return {"n": 1}

    @app.get("/commit")
    async def commit() -> dict[str, int]:
        committed.delay(1)
        return {"n": 1}

    return app


def __getattr__(name: str) -> Any:
    """``miniasgi_app`` and ``fastapi_app``: each is built in the process that serves it."""
    builders = {"miniasgi_app": _miniasgi_app, "fastapi_app": _fastapi_app}
    if name not in builders:
        raise AttributeError(name)
    app = globals()[name] = builders[name]()
    return app


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog=f"python -m {HERE}")
    parser.description = (__doc__ or "").split("\n\n")[0]
    parser.add_argument("--requests", type=int, default=1_000, help="for each path (1000)")
    parser.add_argument("--pause", type=float, default=3.0, help="ms before each request (3)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    logging.getLogger("miniasgi.queue").setLevel(logging.ERROR)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="endpoint-") as folder:
        for framework in ("miniasgi", "fastapi"):
            print(f"asking {framework}", file=sys.stderr, flush=True)
            found |= measured(framework, folder, options.requests, options.pause / 1e3)
    facts = environment(("miniasgi", "fastapi", "uvicorn"))
    figures = {name: percentiles(times) for name, times in found.items()}
    later = {
        f"commits of {framework} {of}": commits_later(figures, framework, of)
        for framework in ("miniasgi", "fastapi")
        for of in ("/awaited", "/commit", "alone")
    }
    if options.json:
        print_json(facts, milliseconds=figures, commits_later=later)
        return 0
    print_environment(facts)
    rows = [[name, *(f"{ms:.2f} ms" for ms in figure)] for name, figure in figures.items()]
    print(table(["asked", "p50", "p99"], rows))
    print(table(["a durable task, in", "p50"], [[of, f"{n:.2f}"] for of, n in later.items()]))
    return 0


def measured(framework: str, folder: str, requests: int, pause: float) -> dict[str, list[float]]:
    asked = {f"{framework} {path}": path for path in PATHS}
    commit = f"one commit, beside {framework}"
    times: dict[str, list[float]] = {name: [] for name in (*asked, commit)}
    os.environ["BENCH_FOLDER"] = folder
    application = f"{HERE}:{framework}_app"
    logging.getLogger("miniasgi.queue").setLevel(logging.ERROR)
    alone = Queue("endpoint", f"sqlite:///{folder}/{framework}-alone.db")
    task = alone.task(name="durable")(ordinary)
    with serve(application, http="auto", loop="auto") as server, Connection(server.port) as client:

        def ask(path: str) -> None:
            reply = client.get(path)
            if reply is None or reply.status != 200:
                raise RuntimeError(f"{framework} answered {reply} to {path}")

        # A log that grows is slower than one that is written over, which both are after that.
        for number in range(LOG_HAS_ITS_SIZE):
            ask("/durable")
            ask("/commit")
            task.delay(number)
        acts = [(name, ask, path) for name, path in asked.items()] + [(commit, task.delay, 0)]
        for _ in range(requests):
            random.shuffle(acts)
            for name, act, argument in acts:
                times[name].append(after(pause, act, argument))
    alone.close()
    return times


def after(pause: float, act: Callable[[Any], object], argument: Any) -> float:
    time.sleep(pause)
    begin = time.perf_counter()
    act(argument)
    return time.perf_counter() - begin


def commits_later(figures: dict[str, tuple[float, float]], framework: str, of: str) -> float:
    """By the medians: what a durable task adds, in what a commit adds or takes alone."""
    p50 = {name.removeprefix(f"{framework} "): figure[0] for name, figure in figures.items()}
    commit = p50[f"one commit, beside {framework}"] if of == "alone" else p50[of] - p50["/without"]
    return (p50["/durable"] - p50["/without"]) / commit


def percentiles(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return median(ordered) * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


if __name__ == "__main__":
    sys.exit(main())
