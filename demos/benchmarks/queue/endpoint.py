"""What a durable task costs the one who waits for the answer: the same endpoint, with and without.

Behind uvicorn, on miniasgi and on FastAPI, each with its worker in a process of its own. One client
asks one path after the other on one keep-alive connection, in turns: without a task, with an
ordinary background task, with a durable one. Before each it pauses (``--pause``), because the work
after an answer is a commit too, and who asks at once waits for it. Beside it stands what one commit
takes after the same pause.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from demos.benchmarks.report import environment, print_environment, print_json, table
from demos.benchmarks.servers import serve
from demos.client import Connection
from miniasgi.queue import Queue

PATHS = ("/without", "/ordinary", "/durable")
HERE = "demos.benchmarks.queue.endpoint"

queue = Queue("endpoint", f"sqlite:///{os.environ.get('BENCH_FOLDER', '.')}/endpoint.db")


async def ordinary(n: int) -> None:
    """Nothing."""


@queue.task
async def durable(n: int) -> None:
    """Nothing, promised on disk."""


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
            times_by_path = measured(framework, folder, options.requests, options.pause / 1e3)
            for path, times in times_by_path.items():
                found[f"{framework} {path}"] = times
        found["one commit"] = commits(Path(folder), options.requests, options.pause / 1e3)
    facts = environment(("miniasgi", "fastapi", "uvicorn"))
    figures = {name: percentiles(times) for name, times in found.items()}
    if options.json:
        print_json(facts, milliseconds=figures)
        return 0
    print_environment(facts)
    rows = [[name, *(f"{ms:.2f} ms" for ms in figure)] for name, figure in figures.items()]
    print(table(["asked", "p50", "p99"], rows))
    return 0


def measured(framework: str, folder: str, requests: int, pause: float) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {path: [] for path in PATHS}
    os.environ["BENCH_FOLDER"] = folder
    application = f"{HERE}:{framework}_app"
    with serve(application, http="auto", loop="auto") as server, Connection(server.port) as client:
        for number in range(-20, requests):  # the first ones warm up
            for path in PATHS:
                time.sleep(pause)
                begin = time.perf_counter()
                reply = client.get(path)
                took = time.perf_counter() - begin
                if reply is None or reply.status != 200:
                    raise RuntimeError(f"{framework} answered {reply} to {path}")
                if number >= 0:
                    times[path].append(took)
    return times


def commits(folder: Path, number: int, pause: float) -> list[float]:
    """What `Task.delay` takes alone in its process: one row, one commit."""
    lone = Queue("endpoint", f"sqlite:///{folder}/commits.db")
    task = lone.task(name="durable")(ordinary)
    task.delay(1)
    times = []
    for _ in range(number):
        time.sleep(pause)
        begin = time.perf_counter()
        task.delay(1)
        times.append(time.perf_counter() - begin)
    lone.close()
    return times


def percentiles(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return median(ordered) * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


if __name__ == "__main__":
    sys.exit(main())
