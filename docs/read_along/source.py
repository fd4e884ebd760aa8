"""Names in source files: the lines of a symbol, a file as HTML, a quotation word for word.

Colouring is nine tenths of a build's work. It is kept in a folder of the project by what it was
made of, so that the two processes of a build share it, and the next build has it.
"""

import ast
import os
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from textwrap import indent

from pygments import __version__, highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

#: Coloured files, each named by a digest. Whoever deletes them waits two seconds longer.
COLOURED = Path(__file__).resolve().parent.parent.parent / ".coloured"
#: The first and the last line, counted from 1.
Lines = tuple[int, int]


class NotInSource(LookupError):
    """The prose names what is not there. The text says which file and which symbol."""


@cache
def _symbols(path: Path) -> dict[str, Lines]:
    text = path.read_text()
    lines = text.splitlines()
    tree = ast.parse(text)
    return {name: _with_comments(first, last, lines) for name, first, last in _names(tree, "")}


def _names(parent: ast.AST, prefix: str) -> Iterator[tuple[str, int, int]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            yield prefix + node.name, first, node.end_lineno or first
            yield from _names(node, f"{prefix}{node.name}.")
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets if isinstance(node, (ast.Assign, ast.AnnAssign)) else ():
            if isinstance(target, ast.Name):
                yield prefix + target.id, node.lineno, node.end_lineno or node.lineno
        yield from _names(node, prefix)  # what stands under an if, a try or a with


def _with_comments(first: int, last: int, lines: list[str]) -> Lines:
    while first > 1 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    return first, last


def find(path: Path, symbol: str) -> Lines:
    """The lines of ``symbol``, such as ``Response.__call__``, with the comments right above it.

    Raises NotInSource.
    """
    known = _symbols(path) if path.suffix == ".py" else {}
    if symbol not in known:
        raise NotInSource(f"{path.name} has no {symbol!r}: the prose names it ({path})")
    return known[symbol]


def quoted(path: Path, block: str) -> None:
    """Does the block stand in the file, word for word, whole lines? Raises NotInSource."""
    text = f"\n{path.read_text()}\n" if path.is_file() else ""
    if not any(f"\n{indent(block, ' ' * width)}\n" in text for width in (0, 4, 8, 12, 16)):
        first = block.lstrip().split("\n", 1)[0]
        raise NotInSource(f"{path} does not hold the quotation that begins with {first!r}")


def highlighted(path: Path, regions: Mapping[str, Lines]) -> str:
    """The file as HTML, one element a line; each region, by its id, wraps its lines."""
    opening: dict[int, list[tuple[int, str]]] = {}
    closing: dict[int, int] = {}
    for name, (first, last) in regions.items():
        opening.setdefault(first, []).append((-last, name))
        closing[last] = closing.get(last, 0) + 1
    parts = []
    for number, line in enumerate(_lines(path), 1):
        for _, name in sorted(opening.get(number, ())):
            parts.append(f'<span class="symbol" id="{escape(name)}">')
        parts.append(f'<span class="line" data-number="{number}">{line}\n</span>')
        parts.append("</span>" * closing.get(number, 0))
    return "".join(parts)


@cache
def _lines(path: Path) -> list[str]:
    kept = coloured(path)
    if not kept.exists():
        try:
            lexer = get_lexer_for_filename(path.name, stripnl=False)
        except ClassNotFound:
            lexer = TextLexer(stripnl=False)
        ours = kept.with_suffix(f".{os.getpid()}")  # the other process may be at it, too
        COLOURED.mkdir(exist_ok=True)
        ours.write_text(highlight(path.read_text(), lexer, HtmlFormatter(nowrap=True)))
        ours.replace(kept)
    return kept.read_text().splitlines()


def coloured(path: Path) -> Path:
    """Where the coloured lines of the file are kept, as it is now. Makes nothing."""
    text = f"{__version__} {path.name}\n{path.read_text()}"
    return COLOURED / f"{sha256(text.encode()).hexdigest()[:32]}.html"
