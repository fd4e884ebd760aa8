"""How much Python does a request execute? Opcodes, which no other load on the machine can change.

Every executed opcode is counted with `sys.settrace`, for one request after a warm-up; what the
driver and its ``receive`` and ``send`` execute is left out, so that the application alone remains.
Work in C (json's encoder, a regex) counts as the one opcode that calls it. The applications are
those that the benchmarks time. Numbers differ between Python versions.

``python -m tests.opcodes`` prints the table; ``python -m tests.opcodes json`` the functions of one
case.
"""

import gc
import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from demos.benchmarks import driver, report
from demos.benchmarks.applications import AFTER_ASYNC, ECHO, JSON, PLAINTEXT, Case, load

FRAMEWORKS = ("bare", "miniasgi", "starlette")
#: What needs no thread, and hence no event loop.
COUNTED = (PLAINTEXT, JSON, ECHO, AFTER_ASYNC)


def by_function(framework: str, case: Case) -> Counter[CodeType]:
    """Opcodes of one request, by the code object that executed them."""
    app = load(framework)
    run(driver.calls(app, case, 3))  # what is built at the first request is no request's cost
    executed: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is run.__code__ or frame.f_code.co_filename == driver.__file__:
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        if event == "opcode":
            executed[frame.f_code] += 1
        return trace

    request = driver.calls(app, case, 1)
    before = sys.gettrace()
    gc.disable()  # what a collection finalizes is no cost of this request
    sys.settrace(trace)
    try:
        run(request)
    finally:
        sys.settrace(before)
        gc.enable()
    return executed


def run(coroutine: Any) -> None:
    """Run to the end what never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("this case waits for an event loop; opcodes are counted without one")


def opcodes(framework: str, case: Case) -> int:
    return by_function(framework, case).total()


def print_functions(case: Case) -> None:
    for framework in FRAMEWORKS:
        functions = by_function(framework, case)
        print(f"{case.name}, {framework}: {functions.total()}")
        for code, count in functions.most_common():
            place = "/".join(code.co_filename.split("/")[-3:])
            print(f"{count:6}  {code.co_qualname}  ({place}:{code.co_firstlineno})")


def print_table() -> None:
    print(f"opcodes a request, Python {sys.version.split()[0]}\n")
    rows = [
        [framework, *(f"{opcodes(framework, case):,}" for case in COUNTED)]
        for framework in FRAMEWORKS
    ]
    print(report.table(["", *(case.name for case in COUNTED)], rows))


if __name__ == "__main__":
    chosen = [case for case in COUNTED if case.name in sys.argv[1:]]
    for case in chosen:
        print_functions(case)
    if not chosen:
        print_table()
