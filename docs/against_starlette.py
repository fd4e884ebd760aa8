"""The page that lays the core beside Starlette: each file, each test, each difference.

The lists of files and the way to count are those of `tests.code_lines`; the differences are data in
`tests.differences`, and a test asks each of both libraries.
"""

import ast
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import starlette

from tests.code_lines import CORE, PACKAGE, SAME_GROUND_IN_STARLETTE, code_lines
from tests.differences import DIFFERENCES

ROOT = Path(__file__).resolve().parent.parent

#: Which modules of Starlette cover the ground of which of ours. Each stands once.
BESIDE = {
    "types.py": ["types.py"],
    "events.py": [],
    "datastructures.py": ["datastructures.py"],
    "concurrency.py": ["concurrency.py", "_utils.py"],
    "exceptions.py": ["exceptions.py", "_exception_handler.py"],
    "background.py": ["background.py"],
    "forms.py": ["formparsers.py"],
    "requests.py": ["requests.py", "middleware/body_limit.py"],
    "responses.py": ["responses.py"],
    "files.py": [],
    "routing.py": ["routing.py", "convertors.py"],
    "middleware/__init__.py": ["middleware/__init__.py"],
    "middleware/errors.py": ["middleware/errors.py", "middleware/exceptions.py"],
    "applications.py": ["applications.py"],
}
WORDS = {
    "events.py": "tells what happens inside to whoever listens; Starlette has none",
    "files.py": "`FileResponse` and ranges; in Starlette's `responses.py`",
}


_PAGE = """# Against Starlette

The names are Starlette's, and so is the behaviour, but for the differences below. Measured against
Starlette {version}. {made}

## File by file

Lines of code: without blank lines, comments and docstrings.

| miniasgi | lines | Starlette | lines |
|---|---:|---|---:|
{files}
## What is asked of both

The same call, and the same messages, by [`tests/test_parity.py`](../tests/test_parity.py); most of
these tests ask many cases.
{tests}
## The {count} differences

Each is on purpose, and a test asks it of both. What is absent is [left out](left-out.md), never
ignored.
{differences}"""


def page(made: str) -> str:
    return _PAGE.format(
        version=version("starlette"),
        made=made,
        files="".join(_files()),
        tests="".join(_tests()),
        count=len(DIFFERENCES),
        differences="".join(
            f"\n### {one.what}\n\n- Starlette: `{one.starlette}`\n- miniasgi: `{one.miniasgi}`\n\n"
            f"Why: {one.why}.\n"
            for one in DIFFERENCES
        ),
    )


def _files() -> Iterator[str]:
    theirs = [name for names in BESIDE.values() for name in names]
    if sorted(BESIDE) != sorted(CORE) or sorted(theirs) != sorted(SAME_GROUND_IN_STARLETTE):
        raise SystemExit("BESIDE does not name the files of tests.code_lines, each once")
    folder = Path(starlette.__file__).parent
    sums = [0, 0]
    for ours, beside in BESIDE.items():
        counts = [code_lines(PACKAGE / ours), sum(code_lines(folder / name) for name in beside)]
        sums = [total + count for total, count in zip(sums, counts, strict=True)]
        words = ", ".join(f"`{name}`" for name in beside) or WORDS[ours]
        link = f"[`{ours}`](../miniasgi/{ours})"
        yield f"| {link} | {counts[0]} | {words} | {counts[1] or ''} |\n"
    yield f"| together | {sums[0]:,} | | {sums[1]:,} |\n"


def _tests() -> Iterator[str]:
    """The names of the tests as sentences, under the headings of their file."""
    source = (ROOT / "tests/test_parity.py").read_text()
    headings = {
        number: line.removeprefix("# ")
        for number, line in enumerate(source.splitlines(), 1)
        if line.startswith("# ")
    }
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_":
            for number in [number for number in headings if number < node.lineno]:
                yield f"\n### {headings.pop(number)}\n\n"
            words = node.name.removeprefix("test_").replace("_", " ")
            words = words.replace(" starlettes", " Starlette's").replace(" starlette", " Starlette")
            yield f"- {words}\n"
