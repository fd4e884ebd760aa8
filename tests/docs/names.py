"""Names in backticks: is what the prose and the docstrings speak of still called so?

A span such as ``Response.__call__`` or ``add_task(f)`` is the name of something. It has to be
defined in the project, be a file of it, or belong to Python or to a library that is listed here. So
whoever renames a function is told of every page that speaks of it.

Rules of this file: only a definition counts (a def, a class, a parameter, what is assigned, a
string of the core that is one word), never a use; what a class has in prose it has in the source.
"""

import ast
import builtins
import importlib
import keyword
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
#: Whose names the pages use as well.
LIBRARIES = re.findall(
    r"\S+",
    """
    anyio asyncio celery collections.abc contextlib contextvars dataclasses datetime decimal fastapi
    httpx inspect logging os pathlib pydantic signal socket sqlite3 starlette.applications
    starlette.background starlette.concurrency starlette.datastructures starlette.middleware.base
    starlette.middleware.exceptions starlette.requests starlette.responses starlette.routing
    tempfile threading typing uuid uvicorn
    """,
)
#: One word each that has no definition here: commands, settings, SQL, packages.
WORDS = re.findall(
    r"\S+",
    """
    RETURNING SimpleWorker SqliteHuey StateDirectory TestClient accept_content acks_late
    autoretry_for broker_connection_max_retries control_exchange cp cron every fg flock ge hsetnx
    injected
    miniasgi_schema opentelemetry orjson packaging pytest11 reject_on_worker_lost
    result_expires schedule starlette_queue task_acks_late task_reject_on_worker_lost testclient
    unequal user_agent worker_prefetch_multiplier worse
    """,
)
_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]+)\1(?!`)")
_FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?:await |async with |@)?([A-Za-z_][\w.]+)(\(.*\))?")
_SCENARIO = re.compile(r"[sc]\d\d?|miniasgi_\w+")  # a scenario's or a chapter's number, a metric


class Definitions(ast.NodeVisitor):
    """Every name that the visited trees define, and of each class its own."""

    def __init__(self, strings: bool = False) -> None:
        self.names: set[str] = set()
        self.members: dict[str, set[str]] = {}
        self._bases: dict[str, set[str]] = {}
        self._strings = strings
        self._classes: list[str] = []

    def has(self, owner: str, name: str) -> bool:
        """Has the class this name, as far as we can see? One that inherits from elsewhere may."""
        if owner not in self.members:
            return True
        return name in self.members[owner] or any(
            self.has(base, name) for base in self._bases[owner] - {"ABC", "Protocol"}
        )

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._add(node.name)
        self.members.setdefault(node.name, set())
        self._bases.setdefault(node.name, set()).update(map(ast.unparse, node.bases))
        self._classes.append(node.name)
        self.generic_visit(node)
        self._classes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._add(node.name)
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_arg(self, node: ast.arg) -> None:
        self.names.add(node.arg)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Store):
            self._add(node.attr)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if self._strings and isinstance(node.value, str) and re.fullmatch(r"[\w.]+", node.value):
            self.names.update((node.value, *node.value.split(".")))

    def _add(self, name: str) -> None:
        self.names.add(name)
        for one in self._classes:
            self.members[one].add(name)


def definitions(root: Path = ROOT) -> Definitions:
    """What the project at ``root`` defines: all of the core, of the rest what has a name."""
    found = Definitions(strings=True)
    _visit(root / "miniasgi", found)
    rest = Definitions()
    for folder in ("demos", "docs"):
        _visit(root / folder, rest)
    tests = [
        node.name
        for path in (root / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    found.names |= {*rest.names, *tests, *_foreign(), *WORDS}
    return found


def _visit(folder: Path, found: Definitions) -> None:
    for path in folder.rglob("*.py"):
        found.visit(ast.parse(path.read_text()))
        found.names |= {path.stem, path.parent.name}


@cache
def _foreign() -> set[str]:
    names = {*dir(builtins), *keyword.kwlist}
    for module in map(importlib.import_module, LIBRARIES):
        names |= {module.__name__.split(".")[0], module.__name__.split(".")[-1], *dir(module)}
        for value in vars(module).values():
            names |= set(dir(value)) if isinstance(value, type) else set()
    return names


@cache
def _files() -> set[str]:
    starlette = Path(str(importlib.import_module("starlette").__file__)).parent
    folders = ("miniasgi", "demos", "tests", "docs")
    ours = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return {path.name for path in (*ours, *starlette.rglob("*.py"), *ROOT.glob("*"))}


def unknown(text: str, known: Definitions) -> Iterator[str]:
    """The spans of a page that are the name of nothing. What its own blocks define it may name."""
    blocks = set(re.findall(r"\w+", " ".join(one[0] for one in _FENCE.finditer(text))))
    for _, span in _SPAN.findall(_FENCE.sub("", text)):
        match = _NAME.fullmatch(span)
        if match is None or _SCENARIO.fullmatch(span) or span in _files():
            continue
        *path, name = match[1].split(".")
        owned = known.has(path[-1], name) if path else True
        ours = name in blocks or (name in known.names and owned)
        keywords = set(re.findall(r"(\w+)=(?!=)", match[2] or ""))
        if not ours or keywords - known.names - blocks:
            yield span


def docstrings(path: Path) -> str:
    """All docstrings of a file."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (one for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, kinds))
    return "\n\n".join(ast.get_docstring(node) or "" for node in nodes)
