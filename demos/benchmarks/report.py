"""What every benchmark prints: on what it ran, how far it is, and a table."""

import contextlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any


def environment(packages: Iterable[str]) -> dict[str, str]:
    """The machine and the versions that a figure is worth nothing without."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            with contextlib.suppress(ImportError, AttributeError):  # run from its source tree
                versions[package] = import_module(package).__version__
    machine = f"{_processor()}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"
    return {"machine": machine, **versions}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def progress(done: int, of: int, what: str = "rounds") -> None:
    """One line on a terminal that rewrites itself; nothing where stderr is a file."""
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\r{done}/{of} {what} ", end=end, file=sys.stderr, flush=True)


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of each round: a slow moment slows both sides of its round."""
    return median(value / other for value, other in zip(values, base, strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up for the eye; numbers are set right."""
    lines = [list(head), *map(list, rows)]
    out = [""] * (len(lines) + 1)
    for column in zip(*lines, strict=True):
        width = max(map(len, column))
        right = all(cell.lstrip("x+-")[:1].isdecimal() for cell in column[1:])
        cells = [cell.rjust(width) if right else cell.ljust(width) for cell in column]
        cells.insert(1, "-" * (width - 1) + ":" if right else "-" * width)
        out = [f"{line}| {cell} " for line, cell in zip(out, cells, strict=True)]
    return "\n".join(f"{line}|" for line in out)


def print_environment(facts: dict[str, str]) -> None:
    print(", ".join(f"{name} {value}" for name, value in facts.items() if name != "machine"))
    print(f"{facts['machine']}\n")


def print_json(facts: dict[str, str], **measured: Any) -> None:
    print(json.dumps({"environment": facts, **measured}, indent=2))
