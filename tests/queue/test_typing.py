"""What a type checker says of a call: ``delay`` takes what the function takes."""

from pathlib import Path

from mypy import api

CODE = """
from typing import Any
from miniasgi.queue import AsyncResult, Queue

queue = Queue()

@queue.task
async def plain(to: str, n: int = 0) -> None: ...

@queue.task(max_retries=3, bind=True)
def bound(self: Any, to: str) -> None: ...

found: AsyncResult = plain.delay("ada", n=1)
bound.options(countdown=60).delay("ada")

async def main() -> None:
    (await plain.accept("ada")).result.get()
    await plain.adelay(1)  # wrong: arg-type

plain.delay()  # wrong: call-arg
bound.delay("ada", 2)  # wrong: call-arg
queue.task(retries=3)  # wrong: call-overload
"""


def test_mypy_checks_the_arguments_of_delay_adelay_and_accept(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(CODE)

    out, err, _ = api.run(["--strict", "--no-error-summary", str(tmp_path / "jobs.py")])

    found = {
        (int(line.split(":")[1]), line.rsplit("[", 1)[1].rstrip("]"))
        for line in out.splitlines()
        if ": error:" in line
    }
    wrong = {
        (number, line.split("wrong: ")[1])
        for number, line in enumerate(CODE.splitlines(), 1)
        if "wrong: " in line
    }
    assert (found, err) == (wrong, "")
