"""What does ``import miniasgi`` cost, and what does it bring along?

Each import runs in a fresh, isolated interpreter (``-I``), which times it from inside, so that
Python's own start does not enter; CPU time. All take turns in each round, and a figure is the
median over rounds of the ratio to ``import json, re`` in the same round. The first round, which
writes the byte code, is not counted. Beside it stand the modules that one would rather not load
before they are needed.

``python -m demos.benchmarks.start_up`` (about 20 seconds).
"""

import argparse
import json
import subprocess
import sys
from statistics import median
from typing import Any

from demos.benchmarks import report
from demos.benchmarks.servers import ROOT

BASE = "import json, re"
IMPORTS = (
    BASE,
    "import asyncio",
    "import miniasgi",
    "import starlette.applications, starlette.responses, starlette.routing",
    "import fastapi",
)
HEAVY = (
    "anyio",
    "asyncio",
    "celery",
    "email",
    "http.cookies",
    "inspect",
    "logging",
    "multiprocessing",
    "pydantic",
    "sqlite3",
    "ssl",
    "typing",
    "urllib.parse",
)
#: Runs in the fresh interpreter. An isolated one knows no PYTHONPATH and no working directory:
#: the repository is put on its path by hand, last, where installed packages come first.
CHILD = f"""
import sys, time
sys.path.append({str(ROOT)!r})
had = set(sys.modules)
before = time.process_time_ns()
{{statement}}
spent = time.process_time_ns() - before
loaded = set(sys.modules) - had
import json
print(json.dumps([spent / 1e6, len(loaded), sorted(loaded & set({HEAVY!r}))]))
"""


def import_once(statement: str) -> tuple[float, int, list[str]]:
    """Milliseconds, number of modules, and which heavy ones were among them."""
    child = subprocess.run(
        [sys.executable, "-I", "-c", CHILD.format(statement=statement)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if child.returncode:
        raise SystemExit(f"{statement}: {child.stderr.strip().splitlines()[-1]}")
    spent, modules, heavy = json.loads(child.stdout)
    return spent, modules, heavy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()

    loaded = {statement: import_once(statement)[1:] for statement in IMPORTS}
    spent: dict[str, list[float]] = {statement: [] for statement in IMPORTS}
    for done in range(arguments.rounds):
        report.progress(done, arguments.rounds)
        for statement in IMPORTS:
            spent[statement].append(import_once(statement)[0])
    report.progress(arguments.rounds, arguments.rounds)

    facts = report.environment(("anyio", "miniasgi", "starlette", "fastapi", "pydantic"))
    results: list[dict[str, Any]] = [
        {
            "import": statement,
            "ratio": report.ratio(spent[statement], spent[BASE]),
            "cpu_ms": median(spent[statement]),
            "modules": loaded[statement][0],
            "heavy": loaded[statement][1],
        }
        for statement in IMPORTS
    ]
    if arguments.json:
        report.print_json(facts, rounds=arguments.rounds, imports=results)
        return
    report.print_environment(facts)
    rows = [
        [
            result["import"],
            f"x{result['ratio']:.2f}",
            f"{result['cpu_ms']:.1f}",
            str(result["modules"]),
            ", ".join(result["heavy"]),
        ]
        for result in results
    ]
    print(report.table(["", f"of `{BASE}`", "CPU ms", "modules", "among them"], rows))


if __name__ == "__main__":
    main()
