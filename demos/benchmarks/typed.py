"""What does a typed endpoint cost, on miniasgi and on FastAPI?

One endpoint: a path parameter (int), a query parameter with a default, a pydantic model as its
body; it returns a dict. Beside it, on miniasgi, what the same costs by hand. Both applications are
driven in one process (driver.py), in turns; CPU time, the garbage collector on. A figure is the
median over rounds of the ratio to miniasgi's typed endpoint in the same round.

``python -m demos.benchmarks.typed`` (a quarter of a minute).
"""

import argparse
import asyncio
from statistics import median
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from demos.benchmarks import report
from demos.benchmarks.applications import ASGIApp, Case
from demos.benchmarks.driver import check
from demos.benchmarks.in_process import batch_size, cpu_time
from miniasgi import JSONResponse, MiniASGI, Request

CASE = Case(
    "typed",
    "POST",
    "/orders/42",
    b'{"number":42,"copies":3,"title":"Notes on the Engine","pages":[7,8,9]}',
    body=b'{"title": "Notes on the Engine", "pages": [7, 8, 9], "colour": null}',
    query=b"copies=3",
)


class Order(BaseModel):
    title: str
    pages: list[int]
    colour: str | None = None


async def order(number: int, order: Order, copies: int = 1) -> dict[str, Any]:
    return {"number": number, "copies": copies, "title": order.title, "pages": order.pages}


async def by_hand(request: Request) -> JSONResponse:
    number, copies = int(request.path_params["number"]), int(request.query_params["copies"])
    order = Order.model_validate(await request.json())
    return JSONResponse(
        {"number": number, "copies": copies, "title": order.title, "pages": order.pages}
    )


def applications() -> dict[str, ASGIApp]:
    typed, untyped, fastapi = MiniASGI(), MiniASGI(), FastAPI()
    typed.post("/orders/{number}")(order)
    untyped.post("/orders/{number}")(by_hand)
    fastapi.post("/orders/{number}")(order)
    return {"miniasgi": typed, "miniasgi, by hand": untyped, "fastapi": fastapi}


async def measure(apps: dict[str, ASGIApp], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in apps}
    for name, app in apps.items():
        await check(name, app, [CASE])
    sizes = {name: await batch_size(app, CASE) for name, app in apps.items()}
    order = list(apps)
    for done in range(rounds):
        report.progress(done, rounds)
        for name in order:
            times[name].append(await cpu_time(apps[name], CASE, sizes[name]) / 1000)
        order.append(order.pop(0))
    report.progress(rounds, rounds)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    times = asyncio.run(measure(applications(), arguments.rounds))

    facts = report.environment(["miniasgi", "fastapi", "pydantic"])
    ratios = {name: report.ratio(spent, times["miniasgi"]) for name, spent in times.items()}
    medians = {name: median(spent) for name, spent in times.items()}
    if arguments.json:
        report.print_json(facts, rounds=arguments.rounds, ratios=ratios, cpu_us=medians)
        return
    report.print_environment(facts)
    print("CPU time of a request with a typed endpoint\n")
    rows = [[name, f"x{ratios[name]:.2f}", f"{medians[name]:.1f}"] for name in times]
    print(report.table(["", "ratio", "us"], rows))


if __name__ == "__main__":
    main()
