"""Write the pages of the reference from the source. Run: ``make reference``; a test compares them.

Each page is a function that returns its whole text. What a page says in words of its own stands in
a table here, and a table that does not fit the source any more stops with a sentence.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

from docs import against_starlette, command_line, settings, states
from miniasgi.monitor.metrics import _GAUGES as GAUGES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MADE = "This page is made from the source by `make reference`, and a test compares the two."

#: Every ASGI message of which the source speaks: who sends it, its shape, what it means.
MESSAGES = {
    "http.request": (
        "server",
        '{"type": "http.request", "body": b"...", "more_body": False}',
        "A piece of the request's body. `more_body` is true for all but the last.",
    ),
    "http.disconnect": (
        "server",
        '{"type": "http.disconnect"}',
        "The client has left, or the answer is complete: nobody listens any more.",
    ),
    "http.response.start": (
        "application",
        '{"type": "http.response.start", "status": 200, "headers": [(b"name", b"value")]}',
        "Status and headers. Exactly once, before any body. Names in lower case.",
    ),
    "http.response.body": (
        "application",
        '{"type": "http.response.body", "body": b"...", "more_body": False}',
        "A piece of the answer. The first without `more_body` is the last: what an application "
        "does after it is background work.",
    ),
    "http.response.pathsend": (
        "application",
        '{"type": "http.response.pathsend", "path": "/srv/file"}',
        "An extension: the server sends the file. Only what is mounted may send it, ours does not.",
    ),
    "lifespan.startup": (
        "server",
        '{"type": "lifespan.startup"}',
        "Open what you need. No request is served before this is answered.",
    ),
    "lifespan.startup.complete": (
        "application",
        '{"type": "lifespan.startup.complete"}',
        "Ready. What the lifespan yielded stands in the scope's `state`.",
    ),
    "lifespan.startup.failed": (
        "application",
        '{"type": "lifespan.startup.failed", "message": "Traceback ..."}',
        "It cannot start: the server prints the message and stops.",
    ),
    "lifespan.shutdown": (
        "server",
        '{"type": "lifespan.shutdown"}',
        "Close. Servers send it once the requests have ended, background work included, or once "
        "they have lost patience with them.",
    ),
    "lifespan.shutdown.complete": (
        "application",
        '{"type": "lifespan.shutdown.complete"}',
        "Closed.",
    ),
    "lifespan.shutdown.failed": (
        "application",
        '{"type": "lifespan.shutdown.failed", "message": "Traceback ..."}',
        "Closing has raised: the server prints the message.",
    ),
    "websocket.close": (
        "application",
        '{"type": "websocket.close", "code": 1000, "reason": ""}',
        "Sent before anything was accepted, it refuses: the server answers 403.",
    ),
}
_TYPE = re.compile(r"(http|lifespan|websocket)(\.[a-z*]+)+")


def _spoken(path: Path) -> list[tuple[str, str]]:
    """The types that a file names, each with the function that does; ``*`` for a hole."""
    found: list[tuple[str, str]] = []

    def visit(node: ast.AST, symbol: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = getattr(child, "name", "") if isinstance(child, _DEFINITIONS) else ""
            if isinstance(child, ast.Constant) and isinstance(child.value, str):
                if _TYPE.fullmatch(child.value):
                    found.append((child.value, symbol))
            elif isinstance(child, ast.JoinedStr):
                parts = [str(getattr(part, "value", "")) if isinstance(part, ast.Constant) else "*"
                         for part in child.values]  # fmt: skip
                if _TYPE.fullmatch("".join(parts)):
                    found.append(("".join(parts), symbol))
            else:
                visit(child, ".".join(filter(None, (symbol, name))))

    visit(ast.parse(path.read_text()), "")
    return found


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def messages() -> str:
    """Every ASGI message that the source sends or reads."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "miniasgi").rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        for name, symbol in _spoken(path):
            pattern = re.compile(re.escape(name).replace(r"\*", "[a-z]+"))
            known = [one for one in MESSAGES if pattern.fullmatch(one)]
            if not known:
                raise SystemExit(f"{where}: {symbol} speaks of {name!r}; add it to MESSAGES")
            for one in known:
                link = f"[`{symbol}`](../{where}#{symbol})"
                if link not in places[one]:
                    places[one].append(link)
    parts = [
        "# The messages\n\n"
        "A server and an application exchange dictionaries. These are all that miniasgi sends or "
        f"reads, and where. The shapes are those of ASGI 3.0. {MADE}\n\n"
        "In `miniasgi.testing` the roles are turned round: the test client is the server.\n"
    ]
    for name, (sender, shape, meaning) in MESSAGES.items():
        if name not in places:
            raise SystemExit(f"nothing in the source speaks of {name!r}; take it from MESSAGES")
        parts.append(
            f"\n## {name}\n\nFrom the {sender}: `{shape}`\n\n{meaning}\n\n"
            f"In {', '.join(places[name])}.\n"
        )
    return "".join(parts)


def metrics() -> str:
    """Every figure that ``GET /metrics`` of the monitor tells."""
    lines = [
        f"| `miniasgi_{name}` | {', '.join(f'`{label}`' for label in labels)} | {about} |\n"
        for name, (about, labels) in {**GAUGES, **_ALARM}.items()
    ]
    return (
        "# Metrics\n\nWhat `GET /metrics` of the [monitor](monitor.md) tells, in OpenMetrics text. "
        "All are gauges, of what is in the file at that moment: rows are deleted after their time, "
        f"so that nothing here could be a counter that only grows. {MADE}\n\n"
        "| metric | labels | meaning |\n|---|---|---|\n" + "".join(lines)
    )


_ALARM = {"alarm": ("A state set: ok, pending or firing is 1, for each alarm.", ("alarm",))}

#: The file of a page, below docs/, and what writes it.
PAGES = {
    "messages.md": messages,
    "command-line.md": lambda: command_line.page(MADE),
    "settings.md": lambda: settings.page(MADE),
    "metrics.md": metrics,
    "against-starlette.md": lambda: against_starlette.page(MADE),
    "states.md": lambda: states.page(MADE),
    "pictures/states.svg": states.picture,
}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())


if __name__ == "__main__":
    main()
