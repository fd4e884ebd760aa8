"""``python -m demos.lab.child s01_order ...``: record scenarios, say in lines of JSON how it goes.

``{"name": ..., "what": ..., "framework": ..., "done": ..., "of": ...}`` is a step, with ``said``
and ``at`` (CLOCK_MONOTONIC, in seconds) if it tells what happens; ``{"result": ...}`` a scenario
that was recorded, ``{"error": ...}`` why it was not. A process of its own can be stopped at any
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

from demos.runner import Step, run_all
from demos.scenario import load
from demos.servers import DemoError, Settings

_lock = threading.Lock()


def say(**words: Any) -> None:
    with _lock:  # the mail server has threads of its own
        print(json.dumps(words), flush=True)


def main(names: list[str]) -> None:
    threading.Thread(target=_stop_at_the_end_of_input, daemon=True).start()
    scenarios = [load(name) for name in names]
    current = iter(scenarios)
    name = next(current).name

    def tell(step: Step) -> None:
        nonlocal name
        said = {"said": step.said, "at": time.monotonic()} if step.said else {}
        far = {"done": step.done, "of": step.of}
        say(name=name, what=step.what, framework=step.framework, **far, **said)
        if step.what == "judged":
            name = next((scenario.name for scenario in current), name)

    try:
        say(name=name, what="starting", framework="", done=0, of=1)
        with closing(run_all(scenarios, Settings(), tell)) as running:
            for result in running:
                say(result=result.as_data())
    except DemoError as exc:
        say(error=str(exc))
    except KeyboardInterrupt:
        say(error="stopped")


def _stop_at_the_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1:])
