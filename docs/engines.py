"""Write the table of `celery.md` from the marks of the conformance suite.

Run: ``python docs/engines.py``.

A test of tests/queue/conformance that must differ on Celery is marked ``differs("...")``; its name
says what the embedded queue does, the mark what Celery does instead.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITE = ROOT / "tests" / "queue" / "conformance" / "test_both_engines.py"
PAGE = ROOT / "docs" / "celery.md"
BEGIN, END = "<!-- made by docs/engines.py -->\n", "<!-- end -->\n"


def table() -> str:
    """One row for each mark, and how many tests there are that hold both to the same."""
    tests = [
        node
        for node in ast.parse(SUITE.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    rows = [(_sentence(test.name), mark) for test in tests for mark in _marks(test)]
    same = len(tests) - len(rows)
    lines = [f"{same} tests pass on both engines as they are. These differ:", ""]
    lines += ["| SQLite | Celery |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    return "\n".join(lines) + "\n"


def _sentence(name: str) -> str:
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words[0].upper()}{words[1:]}."


def _marks(test: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [
        ast.literal_eval(mark.args[0])
        for mark in test.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.differs"
    ]


def page() -> str:
    """The whole page with the table of now."""
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page())
