"""What is expected of each scenario on each framework: `expectations.toml`, read and held against.

The scenarios' own code says what a recording means; this table says what must be there, in words
and in facts about the recording itself. `moved` says which rows do not fit what was seen.

Rule of this file: nothing of a scenario's code takes part, only its name and what was recorded.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from demos.runner import Result, Run
from demos.scenario import NAMES, Seen

TABLE = Path(__file__).with_name("expectations.toml")


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """The rows by scenario and framework; ``seen_with`` are the versions of the day."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def holds(fact: str, seen: Seen) -> bool:
    """Does the recording show this?"""
    if fact.startswith("no log: "):
        return not seen.has_log(fact.removeprefix("no log: "))
    if fact.startswith("log: "):
        return seen.has_log(fact.removeprefix("log: "))
    if fact.startswith("no ") and fact.removeprefix("no ") not in seen and " < " not in fact:
        return True
    for sign, what in ((" = ", "detail"), (" @ ", "place")):
        label, found, value = fact.partition(sign)
        if found:
            return label in seen and getattr(seen[label], what) == value
    return seen.in_order(*fact.split(" < "))


def moved(result: Result) -> Iterator[str]:
    """A sentence for each row of this scenario that is not what was seen, old and new."""
    rows = table()[result.scenario.name]
    for run in result.runs:
        row = rows[run.framework]
        if run.is_absent and run.is_expected:
            continue  # what it is about is not there; a broker, say, that this machine lacks
        where = f"{result.scenario.name} on {_versions(result, run)}"
        if run.outcome != row["verdict"]:
            yield f"{where}: expected {row['verdict']!r}, seen {run.outcome!r}"
        for fact in row.get("facts", ()):
            if not holds(fact, Seen(run.recording)):
                yield f"{where}: expected {fact!r}, not seen"


def _versions(result: Result, run: Run) -> str:
    """With what it was seen, and with what the table was."""
    framework = run.framework.partition("_")[0]
    names = [framework, "uvicorn"]
    now = ", ".join(f"{name} {result.versions.get(name, '?')}" for name in names)
    then = ", ".join(
        f"{name} {table()['seen_with'][name]}" for name in names if name in table()["seen_with"]
    )
    return f"{NAMES[run.framework]} ({now}; the table: {then})"
