"""Run scenarios: one server for each framework, one client after the other, one verdict each.

`run` runs one and tells what it does; `run_all` runs one after the other, and starts the servers of
the next while those of this one are visited. Within a scenario only one client runs at a time, and
then every server but its own is idle.

Rule of this file: several runs may go on at once, in threads of one process: each has its own
servers, ports and folders. However a run ends, no server is left behind.
"""

import importlib.util
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from demos.machine import Machine
from demos.scenario import GAVE_UP, NAMES, Scenario, Unforeseen, Visitor, calls, load
from demos.servers import DemoError, Server, Settings
from demos.versions import versions
from miniasgi.timeline import Recording


@dataclass(frozen=True, slots=True)
class Step:
    """What a run is doing: ``starting`` its servers, ``recording`` one framework, which is then
    ``recorded``, ``stopping``, and it is ``judged``. In between ``said``: what happens there.
    """

    what: str
    framework: str = ""
    done: int = 0  #: steps before this one
    of: int = 0  #: steps in all
    said: str = ""  #: what the client does and sees, in words


#: Called in the thread of the run, with what is said from others too. What it raises ends the run.
OnProgress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Run:
    """One framework's run of a scenario. One that has no such thing has an empty recording."""

    framework: str
    recording: Recording
    outcome: str
    is_expected: bool
    #: same, better, worse or ?; empty for that which the others are compared with: Starlette, or
    #: FastAPI where Starlette was not run
    than_starlette: str

    @property
    def is_absent(self) -> bool:
        return not self.recording.moments


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario, and how it went on each framework, with these versions."""

    scenario: Scenario
    runs: list[Run]
    versions: dict[str, str]

    @property
    def is_expected(self) -> bool:
        return all(run.is_expected for run in self.runs)

    def as_data(self) -> dict[str, Any]:
        """As JSON can carry it. Times are nanoseconds of CLOCK_MONOTONIC."""
        scenario = self.scenario
        return {
            "name": scenario.name,
            "number": scenario.number,
            "title": scenario.title,
            "question": scenario.question,
            "lesson": scenario.lesson,
            "versions": self.versions,
            "runs": [
                {
                    "framework": run.framework,
                    "outcome": run.outcome,
                    "expected": scenario.expected(run.framework),
                    "is_expected": run.is_expected,
                    "than_starlette": run.than_starlette,
                    "moments": [asdict(moment) for moment in run.recording.moments],
                }
                for run in self.runs
            ],
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Result":
        """What `as_data` made. Words of the scenario are those of today."""
        runs = [
            Run(
                run["framework"],
                Recording.from_json(json.dumps({"moments": run["moments"]})),
                run["outcome"],
                run["is_expected"],
                run["than_starlette"],
            )
            for run in data["runs"]
        ]
        return cls(load(data["name"]), runs, data["versions"])


def check_installed(scenarios: Sequence[Scenario], frameworks: Sequence[str]) -> None:
    """Raise DemoError, naming the first module that cannot be imported."""
    needed = ["uvicorn", *frameworks, *(name for scenario in scenarios for name in scenario.needs)]
    for name in needed:
        if importlib.util.find_spec(name) is None:
            others = [other for other in frameworks if other != name]
            can_leave = name in frameworks and others
            leave = f", or leave it out: --only {','.join(others)}" if can_leave else ""
            raise DemoError(f"{name} is not installed; try: pip install {name}{leave}")


def _silent(step: Step) -> None:
    pass


def run(
    scenario: Scenario, on_progress: OnProgress = _silent, settings: Settings | None = None
) -> Result:
    """Run one scenario. Raises DemoError if it could not be run; blocks for some seconds."""
    settings = settings or Settings()
    check_installed([scenario], settings.frameworks)
    performance = Performance(scenario, settings, settings.port, on_progress)
    try:
        performance.start()
        performance.visit()
        performance.begin_to_stop()
        return performance.result()
    finally:
        performance.end()


def run_all(
    scenarios: Sequence[Scenario], settings: Settings, on_progress: OnProgress = _silent
) -> Generator[Result, None, None]:
    """Run one scenario after the other."""
    check_installed(scenarios, settings.frameworks)
    performances = [
        # The ports of the scenario before may still be in use.
        Performance(scenario, settings, settings.port and settings.port + number % 3 * len(NAMES))
        for number, scenario in enumerate(scenarios)
    ]
    try:
        for number, performance in enumerate(performances):
            for coming in performances[number : number + 2]:
                coming.start()
            performance.on_progress = on_progress
            performance.visit()
            performance.begin_to_stop()
            yield performance.result()
    finally:
        for performance in performances:
            performance.end()


class Performance:
    """One scenario on its way: its servers are started, visited, stopped and judged."""

    def __init__(
        self,
        scenario: Scenario,
        settings: Settings,
        port: int = 0,
        on_progress: OnProgress = _silent,
    ) -> None:
        self.scenario = scenario
        self.settings = replace(settings, options=scenario.options)
        self.port = port
        self.on_progress = on_progress
        self.frameworks = scenario.applications(settings.frameworks)
        #: Those that have what it is about.
        self.played = tuple(name for name in self.frameworks if not scenario.is_absent(name))
        self._servers: dict[str, Server | Machine] = {}
        self._visitors: list[Visitor] = []
        self._has_started = False
        self._done = 0

    def _tell(self, what: str, framework: str = "") -> None:
        self.on_progress(Step(what, framework, self._done, self._steps))
        self._done += 1

    @property
    def _steps(self) -> int:
        return 2 * len(self.played) + 3

    def _said(self, framework: str, words: str) -> None:
        self.on_progress(Step("said", framework, self._done, self._steps, words))

    def start(self) -> None:
        """Start the servers, if they are not; they come up by themselves."""
        if self._has_started:
            return
        self._has_started = True
        self._tell("starting")
        place = self.scenario.place or (Machine if self.scenario.on_machine else Server)
        for offset, name in enumerate(self.played):
            port = self.port and self.port + offset
            target = f"{self.scenario.module.__name__}:{name}_app"
            self._servers[name] = place(target, name, self.settings, port)

    def visit(self) -> None:
        """Warm all servers up, then be the client of each. What goes wrong is for the verdict."""
        for server in self._servers.values():
            server.wait_until_up()
            server.warm_up(self.scenario.warm_up)
        for name, server in self._servers.items():
            self._tell("recording", name)
            visitor = server.visitor()
            self._visitors.append(visitor)
            visitor.tell = partial(self._said, name)
            visitor.tell(f"the server is process {server.pid}")
            try:
                self.scenario.run(visitor)
            except (OSError, Unforeseen) as exc:
                visitor.say(f"{GAVE_UP}: {exc}")
            self._tell("recorded", name)

    def begin_to_stop(self) -> None:
        """Ask the servers to stop, and go on at once."""
        self._tell("stopping")
        for server in self._servers.values():
            server.begin_to_stop()

    def result(self) -> Result:
        """Wait until the servers have stopped, and judge what was recorded."""
        recordings = {
            visitor.framework: _together(visitor, _stopped(server, visitor))
            for visitor, server in zip(self._visitors, self._servers.values(), strict=True)
        }
        result = _judge(self.scenario, self.frameworks, recordings)
        self._tell("judged")
        return result

    def end(self) -> None:
        for server in self._servers.values():
            server.end()


def _stopped(server: Any, visitor: Visitor) -> Recording:
    """What it recorded. Raises DemoError, with what the client met first, if it ended badly."""
    try:
        recording: Recording = server.stop()
    except DemoError as exc:
        met = [moment.name for moment in visitor.moments if moment.name.startswith(GAVE_UP)]
        raise DemoError("; before that ".join([str(exc), *met[:1]])) from None
    return recording


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
    scenario: Scenario, frameworks: Sequence[str], recordings: dict[str, Recording]
) -> Result:
    outcomes = {
        name: scenario.observe(recordings[name]) if name in recordings else scenario.expected(name)
        for name in frameworks
    }
    base = scenario.base
    against = outcomes.get(base, scenario.expected(base))
    others = {*recordings} - {base} if not scenario.is_absent(base) else set()
    runs = [
        Run(
            name,
            recordings.get(name, Recording()),
            outcome,
            outcome == scenario.expected(name),
            scenario.compare(outcome, against) if name in others else "",
        )
        for name, outcome in outcomes.items()
    ]
    return Result(scenario, runs, versions())
