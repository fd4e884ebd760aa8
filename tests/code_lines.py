"""Count code lines: what is neither blank, nor a comment, nor a docstring.

So nobody saves on words, and nobody gains by writing two statements in one line that the formatter
would take apart. `python -m tests.code_lines` prints the core beside Starlette's modules that cover
the same ground.
"""

import ast
import tokenize
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "miniasgi"
CORE = [
    "types.py",
    "events.py",
    "datastructures.py",
    "concurrency.py",
    "exceptions.py",
    "background.py",
    "forms.py",
    "requests.py",
    "responses.py",
    "files.py",
    "routing.py",
    "middleware/__init__.py",
    "middleware/errors.py",
    "applications.py",
]
TYPED = ["endpoints.py", "parameters.py", "plans.py", "inputs.py", "dependencies.py"]
SAME_GROUND_IN_STARLETTE = [
    "types.py",
    "_utils.py",
    "datastructures.py",
    "concurrency.py",
    "exceptions.py",
    "_exception_handler.py",
    "background.py",
    "formparsers.py",
    "requests.py",
    "responses.py",
    "convertors.py",
    "routing.py",
    "middleware/__init__.py",
    "middleware/exceptions.py",
    "middleware/errors.py",
    "middleware/body_limit.py",
    "applications.py",
]
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(path: Path) -> int:
    """How many lines of this file hold code."""
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in NOT_CODE]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - _docstring_lines(ast.parse(path.read_text())))


def total(folder: Path, files: Iterable[str]) -> int:
    return sum(code_lines(folder / file) for file in files)


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            lines.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


if __name__ == "__main__":
    import starlette

    for name in CORE:
        print(f"{code_lines(PACKAGE / name):6}  miniasgi/{name}")
    print(f"{total(PACKAGE, CORE):6}  the core")
    print(f"{total(PACKAGE, TYPED):6}  typed endpoints: {', '.join(TYPED)}")
    beside = total(Path(starlette.__file__).parent, SAME_GROUND_IN_STARLETTE)
    print(f"{beside:6}  Starlette, for the same ground")
