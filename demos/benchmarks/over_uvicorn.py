"""What is left of a framework's cost, or gain, behind a real server on real sockets?

Every application runs in a uvicorn of its own (httptools and uvloop; ``--http h11``); this process
sends, over 32 kept-alive connections, one request after the other on each. Bursts of equal size
are interleaved: all applications in each round, in an order that turns. CPU seconds are the
server's alone, as the kernel counts them, so that this load generator does not enter; requests per
CPU-second are given as a share of bare's in the same round, latencies as seen from here, and both
as medians over the rounds.

``python -m demos.benchmarks.over_uvicorn`` (about a minute; ``--rounds 3`` for a quick look).
"""

import argparse
import asyncio
import contextlib
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter_ns
from typing import Any, cast

from demos.benchmarks import report
from demos.benchmarks.applications import AFTER_SYNC, FRAMEWORKS, JSON, PLAINTEXT, Case, load_all
from demos.benchmarks.driver import check, started
from demos.benchmarks.servers import Server, serve

CASES = (PLAINTEXT, JSON, AFTER_SYNC)


@dataclass(frozen=True)
class Burst:
    """What one burst of requests took: the server's CPU in us a request, latencies in ms."""

    cpu_us: float
    p50_ms: float
    p99_ms: float


class Connection(asyncio.Protocol):
    """One kept-alive connection: sends, waits for the whole answer, sends again.

    The first answer is read, and its length learned; the others are counted, not parsed: every
    answer to the same request is equally long, and a load generator that parses would be what is
    measured.
    """

    def __init__(self, case: Case, budget: list[int], latencies: list[int]) -> None:
        head = f"{case.method} {case.path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n\r\n"
        self.request = head.encode()
        self.case = case
        self.budget = budget  # requests left to send, one number for all connections
        self.latencies = latencies  # ns
        self.first = b""
        self.length = 0
        self.missing = 0
        loop = asyncio.get_running_loop()
        self.ready = loop.create_future()
        self.done = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.request)

    def send(self) -> None:
        if self.budget[0] == 0:
            self.done.set_result(None)
            self.transport.close()
            return
        self.budget[0] -= 1
        self.missing = self.length
        self.sent_at = perf_counter_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.length:
            self._learn(data)
            return
        self.missing -= len(data)
        if self.missing == 0:
            self.latencies.append(perf_counter_ns() - self.sent_at)
            self.send()

    def _learn(self, data: bytes) -> None:
        self.first += data
        if not self.first.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{self.case.name} is answered with {self.first!r}")
        if self.first.endswith(self.case.reply):
            self.length = len(self.first)
            self.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.ready, self.done):
            if not future.done():
                future.set_exception(exc or ConnectionError("the server hung up"))


async def burst(server: Server, case: Case, requests: int, connections: int) -> Burst:
    """So many requests. What it costs to open the connections comes before and is not counted."""
    latencies: list[int] = []
    budget = [requests]
    loop = asyncio.get_running_loop()
    opened = []
    async with asyncio.timeout(60):
        for _ in range(connections):
            _, connection = await loop.create_connection(
                lambda: Connection(case, budget, latencies), "127.0.0.1", server.port
            )
            opened.append(connection)
        await asyncio.gather(*(connection.ready for connection in opened))
        before = server.cpu_ns()
        for connection in opened:
            connection.send()
        await asyncio.gather(*(connection.done for connection in opened))
    cpu = server.cpu_ns() - before
    hundredths = quantiles(latencies, n=100)
    return Burst(cpu / requests / 1e3, hundredths[49] / 1e6, hundredths[98] / 1e6)


Bursts = dict[str, dict[str, list[Burst]]]


async def measure(servers: dict[str, Server], rounds: int, requests: int, width: int) -> Bursts:
    bursts: Bursts = {name: {case.name: [] for case in CASES} for name in servers}
    order = list(servers)
    for name in order:
        for case in CASES:
            await burst(servers[name], case, 500, width)  # warm-up
    for done in range(rounds):
        report.progress(done, rounds)
        for case in CASES:
            for name in order:
                bursts[name][case.name].append(await burst(servers[name], case, requests, width))
        order.append(order.pop(0))
    report.progress(rounds, rounds)
    return bursts


async def check_all(only: list[str]) -> list[str]:
    """Load and check the applications here first, where what is wrong can be said."""
    apps = load_all(only)
    for name, app in apps.items():
        async with started(app):
            await check(name, app, CASES)
    return list(apps)


def summary(bursts: Bursts) -> list[dict[str, Any]]:
    """One entry for each case and framework: medians over the rounds."""
    entries = []
    for case in CASES:
        bare = [burst.cpu_us for burst in bursts[FRAMEWORKS[0]][case.name]]
        for framework, by_case in bursts.items():
            seen = by_case[case.name]
            entries.append(
                {
                    "case": case.name,
                    "framework": framework,
                    # Requests for a CPU-second: more is better, hence bare's time over this one's.
                    "share_of_bare": report.ratio(bare, [burst.cpu_us for burst in seen]),
                    "cpu_us": median(burst.cpu_us for burst in seen),
                    "p50_ms": median(burst.p50_ms for burst in seen),
                    "p99_ms": median(burst.p99_ms for burst in seen),
                }
            )
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--http", choices=("httptools", "h11"), default="httptools")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=2000, help="a burst; default: %(default)s")
    parser.add_argument("--connections", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--only", nargs="+", default=FRAMEWORKS, help="frameworks, beside bare")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    http, loop, width = arguments.http, arguments.loop, arguments.connections

    names = asyncio.run(check_all(arguments.only))
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in names:
            target = f"demos.benchmarks.applications.{name}_app:app"
            servers[name] = stack.enter_context(serve(target, http=http, loop=loop))
        bursts = asyncio.run(measure(servers, arguments.rounds, arguments.requests, width))

    facts = report.environment(("uvicorn", http, loop, *names))
    results = summary(bursts)
    if arguments.json:
        report.print_json(facts, rounds=arguments.rounds, connections=width, results=results)
        return
    report.print_environment(facts)
    print(f"uvicorn, {http}, {loop}, {width} connections\n")
    head = ["case", "framework", "requests/CPU-s, of bare", "CPU us", "p50 ms", "p99 ms"]
    rows = [
        [entry["case"], entry["framework"]]
        + [f"{entry[key]:.2f}" for key in ("share_of_bare", "cpu_us", "p50_ms", "p99_ms")]
        for entry in results
    ]
    print(report.table(head, rows))


if __name__ == "__main__":
    main()
