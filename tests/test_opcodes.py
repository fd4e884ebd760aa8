"""A gate on the cost of a request that no noisy machine can upset: opcodes, counted, not timed.

The applications are those of demos/benchmarks. The limits leave a few lines of Python to spare: a
layer around every request, or a loop over the routes, does not fit under them. Who raises one says
in the commit what the opcodes buy.
"""

import sys

import pytest

from demos.benchmarks.applications import AFTER_ASYNC, AFTER_SYNC, ECHO, JSON, PLAINTEXT, Case
from tests.opcodes import by_function, opcodes

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or sys.implementation.name != "cpython",
    reason="every Python version compiles to other opcodes; the limits are CPython 3.11's",
)


@pytest.mark.parametrize(
    ("case", "limit"),
    [(PLAINTEXT, 300), (JSON, 460), (ECHO, 570), (AFTER_ASYNC, 480)],
    ids=lambda value: value.name if isinstance(value, Case) else str(value),
)
def test_a_request_executes_no_more_opcodes_than_its_limit(case: Case, limit: int) -> None:
    functions = by_function("miniasgi", case)

    where = ", ".join(f"{code.co_qualname} {count}" for code, count in functions.most_common(6))
    assert functions.total() <= limit, f"the most of it is in {where}"


def test_the_count_is_the_same_every_time() -> None:
    first = by_function("miniasgi", JSON)

    assert by_function("miniasgi", JSON) == first


def test_the_count_sees_the_layers_that_starlette_puts_around_a_request() -> None:
    # A counter that missed frames would let anything through: Starlette's are known to be many.
    pytest.importorskip("starlette")

    assert opcodes("starlette", PLAINTEXT) > 2 * opcodes("miniasgi", PLAINTEXT)


def test_what_waits_for_an_event_loop_is_refused_not_miscounted() -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        by_function("bare", AFTER_SYNC)
