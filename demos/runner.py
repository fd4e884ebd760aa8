"""Run scenarios: one server for each framework, one client after the other, one verdict each.

The servers of a scenario start at the same time, and the next scenario's start while these
stop; but only one client runs at a time, and then every server but its own is idle.
"""

import importlib.util
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from demos.machine import Machine
from demos.scenario import GAVE_UP, NAMES, Scenario, Unforeseen, Visitor, calls
from demos.servers import DemoError, Server, Settings
from miniasgi.timeline import Recording


@dataclass(frozen=True, slots=True)
class Run:
    """One framework's run of a scenario."""

    framework: str
    recording: Recording
    outcome: str
    is_expected: bool
    than_starlette: str  #: same, better or worse; empty for Starlette itself


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario, and how it went on each framework."""

    scenario: Scenario
    runs: list[Run]

    @property
    def is_expected(self) -> bool:
        return all(run.is_expected for run in self.runs)


def check_installed(scenarios: Sequence[Scenario], frameworks: Sequence[str]) -> None:
    """Raise DemoError, naming the first module that cannot be imported."""
    needed = ["uvicorn", *frameworks, *(name for scenario in scenarios for name in scenario.needs)]
    for name in needed:
        if importlib.util.find_spec(name) is None:
            others = [other for other in frameworks if other != name]
            can_leave = name in frameworks and others
            leave = f", or leave it out: --only {','.join(others)}" if can_leave else ""
            raise DemoError(f"{name} is not installed; try: pip install {name}{leave}")


def run_all(scenarios: Sequence[Scenario], settings: Settings) -> Generator[Result, None, None]:
    """Run one scenario after the other. However this ends, no server is left behind."""
    check_installed(scenarios, settings.frameworks)
    started: list[Server | Machine] = []

    def start(number: int) -> list[Server | Machine]:
        if number == len(scenarios):
            return []
        # The ports of the scenario before may still be in use.
        port = settings.port and settings.port + number % 2 * len(NAMES)
        scenario = scenarios[number]
        names = scenario.applications(settings.frameworks)
        place = Machine if scenario.has_queue else Server
        for offset, name in enumerate(names):
            target = f"demos.{scenario.name}:{name}_app"
            started.append(place(target, name, settings, port and port + offset))
        return started[-len(names) :]

    try:
        servers = start(0)
        for number, scenario in enumerate(scenarios):
            visitors = _visit(scenario, servers)
            for server in servers:
                server.begin_to_stop()
            following = start(number + 1)
            recordings = [
                _together(visitor, server.stop())
                for visitor, server in zip(visitors, servers, strict=True)
            ]
            servers = following
            yield _judge(scenario, scenario.applications(settings.frameworks), recordings)
    finally:
        for server in started:
            server.end()


def _visit(scenario: Scenario, servers: Sequence[Server | Machine]) -> list[Visitor]:
    """Warm all servers up, then be the client of each. What goes wrong is kept for the verdict."""
    for server in servers:
        server.wait_until_up()
        server.warm_up(scenario.warm_up)
    visitors = []
    for server in servers:
        visitor = server.visitor()
        visitors.append(visitor)
        try:
            scenario.run(visitor)
        except (OSError, Unforeseen) as exc:
            visitor.say(f"{GAVE_UP}: {exc}")
    return visitors


def _together(visitor: Visitor, server: Recording) -> Recording:
    """Both ends on one clock, without the requests of an observer."""
    noted = {moment.name for moment in visitor.moments if moment.kind == "request.start"}
    called = calls(server.moments)
    return Recording(visitor.moments) + Recording(
        moment
        for moment in server.moments
        if not moment.request or called.get((moment.process, moment.request)) in noted
    )


def _judge(
    scenario: Scenario, frameworks: Sequence[str], recordings: Sequence[Recording]
) -> Result:
    outcomes = [scenario.observe(recording) for recording in recordings]
    by_framework = dict(zip(frameworks, outcomes, strict=True))
    base = by_framework.get("starlette", scenario.expected("starlette"))
    runs = []
    for framework, recording, outcome in zip(frameworks, recordings, outcomes, strict=True):
        is_expected = outcome == scenario.expected(framework)
        compared = "" if framework == "starlette" else scenario.compare(outcome, base)
        runs.append(Run(framework, recording, outcome, is_expected, compared))
    return Result(scenario, runs)
