"""What a reader is asked before a run, and shown beside it.

Each scenario file has a `Card` named ``card``: the answers to choose from, the code that decides,
where to read on. Which answer is right is not written down here: an answer names the outcome that
would prove it, and the run says which outcome it was.

Code is named ``module:function`` or ``module:Class.method`` and found when it is asked for, in what
is installed: a name that this version does not have is left out.
"""

import ast
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TUTORIAL = "https://baxiang.github.io/hello-python/4-web/03-FastAPI/09-后台任务"


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the answers to choose from; ``outcome`` empty: tempting, and true of none."""

    words: str
    outcome: str = ""

    def is_right(self, outcome: str) -> bool:
        """Does this outcome, seen or expected, prove it?"""
        return self.outcome == outcome


@dataclass(frozen=True, slots=True)
class Card:
    """The reader's side of a scenario."""

    answers: tuple[Answer, ...]  #: two to four, to choose from before the run
    part: str  #: of the tutorial: ``4.1``
    threads: tuple[str, ...] = ()  #: where people met it: ``encode/starlette#919``
    decisive: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: for each framework
    lit: tuple[str, ...] = ("background=", "add_task(")  #: parts of the lines that matter
    order: float = 0  #: its place in teaching order; 0: the number of its file

    @property
    def links(self) -> dict[str, str]:
        """What to read on, with its address: the tutorial's part, then the threads."""
        links = {f"the tutorial, part {self.part}": TUTORIAL}
        for thread in self.threads:
            repository, _, number = thread.partition("#")
            links[thread] = f"https://github.com/{repository}/issues/{number}"
        return links


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one function as it is installed."""

    name: str  #: ``starlette.responses:Response.__call__``
    path: str  #: ``starlette/responses.py``
    first: int  #: the number of its first line in that file
    lines: tuple[str, ...]
    lit: tuple[int, ...] = ()  #: which of ``lines`` matter, counted from 0


def source(name: str, lit: tuple[str, ...] = ()) -> Source | None:
    """Find a function by its name, and light each line that contains one of ``lit``."""
    module, _, path = name.partition(":")
    file = _file(module)
    node = file and _find(ast.parse(file.read_text(encoding="utf-8")), path.split("."))
    if not file or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return None
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = tuple(file.read_text(encoding="utf-8").splitlines()[first - 1 : node.end_lineno])
    lit_lines = (at for at, line in enumerate(lines) if any(part in line for part in lit))
    depth = module.count(".") + 1 + (file.name == "__init__.py")
    return Source(name, "/".join(file.parts[-depth:]), first, lines, tuple(lit_lines))


def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def _find(tree: ast.AST, path: list[str]) -> ast.AST | None:
    """The definition at the end of this path; a function of the same name overloads the earlier."""
    found: ast.AST | None = tree
    for name in path:
        found = next(
            (
                node
                for node in reversed(getattr(found, "body", []))
                if getattr(node, "name", None) == name
            ),
            None,
        )
    return found


def sources(module: str, function: str, lit: tuple[str, ...]) -> list[Source]:
    """An application of a scenario, with the function of `demos.signup` that builds it, if any."""
    own = source(f"{module}:{function}", lit)
    if own is None:
        return []
    helpers = re.findall(r"\bsignup\.(on_\w+)", "\n".join(own.lines))
    found = [source(f"demos.signup:{helper}", lit) for helper in helpers]
    return [own, *filter(None, found)]
