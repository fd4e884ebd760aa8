"""``python -m demos.lab.child s01_order ...``: record scenarios, say in lines of JSON how it goes.

``{"name": ..., "what": ..., "framework": ..., "done": ..., "of": ...}`` is a step, with ``said``
and ``at`` (CLOCK_MONOTONIC, in seconds) if it tells what happens; ``{"result": ...}`` a scenario
that was recorded, ``{"error": ...}`` why one was not. A process of its own can be stopped at any
time: SIGINT, or the end of its standard input, ends its servers and then itself.
"""

import json
import os
import signal
import sys
import threading
import time
from contextlib import closing
from typing import Any

from demos.runner import Step, check_installed, run_all
from demos.scenario import Scenario, load
from demos.servers import DemoError, Settings

_lock = threading.Lock()


def say(**words: Any) -> None:
    with _lock:  # the mail server has threads of its own
        print(json.dumps(words), flush=True)


def main(names: list[str]) -> None:
    threading.Thread(target=_stop_at_the_end_of_input, daemon=True).start()
    try:
        record([load(name) for name in names])
    except KeyboardInterrupt:
        say(error="stopped")


def record(wanted: list[Scenario]) -> None:
    """Record each; one that cannot be run costs the others nothing."""
    left = []
    for scenario in wanted:
        try:
            check_installed([scenario], Settings().frameworks)
            left.append(scenario)
        except DemoError as exc:
            say(error=f"{scenario.number}: {exc}")

    def tell(step: Step) -> None:
        said = {"said": step.said, "at": time.monotonic()} if step.said else {}
        far = {"done": step.done, "of": step.of}
        say(name=left[0].name, what=step.what, framework=step.framework, **far, **said)

    while left:
        say(name=left[0].name, what="starting", framework="", done=0, of=1)
        try:
            with closing(run_all(left.copy(), Settings(), tell)) as running:
                for result in running:
                    say(result=result.as_data())
                    left.pop(0)
        except DemoError as exc:
            say(error=f"{left.pop(0).number}: {exc}")


def _stop_at_the_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1:])
