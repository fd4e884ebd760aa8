"""The tables over versions: ``python -m demos.over_versions`` looks, and writes what it saw.

Each table is a scenario file of this folder, run with each version of its framework in an
environment of its own (`demos.environments`). What was seen goes to ``seen.json`` here, and from
there to ``docs/over-versions.md``; ``--page`` makes only the page again. Rows that differ from
those of the file before are said, with the old cell and the new one.

Exit codes: 0; 1 if a row differs from the one that was written before; 2 if it could not be run.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demos import command
from demos.environments import NotInstalled, Other, run_elsewhere
from demos.progress import Progress
from demos.scenario import NAMES, Scenario, Seen, Unforeseen, load, table_names
from demos.servers import DemoError, Settings
from demos.versions import versions

ROOT = Path(__file__).parents[2]
SEEN = Path(__file__).with_name("seen.json")
PAGE = ROOT / "docs" / "over-versions.md"
COMMAND = "python -m demos.over_versions"

HEAD = f"""# Over versions

Two answers have changed from version to version, so that old advice contradicts new: when a
dependency with `yield` is closed, and what a `BaseHTTPMiddleware` does to a task. This page is made
from [`demos/over_versions/seen.json`](../demos/over_versions/seen.json), which is what was seen by
`{COMMAND}`. Each row is a run over real sockets, with that version in
an environment of its own and the rest as pip resolves it; uvicorn is the same for all. For one
version beside today's, in any scenario: `python -m demos s16 --with fastapi==0.117.1`.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--page", action="store_true", help="make the page from what is written")
    options = parser.parse_args()
    try:
        if options.page:
            PAGE.write_text(page(json.loads(SEEN.read_text())))
            return 0
        with Progress() as progress:
            seen = look(progress)
    except DemoError as exc:
        print(f"demos: {exc}", file=sys.stderr)
        return 2
    before = json.loads(SEEN.read_text()) if SEEN.exists() else {"tables": []}
    moved = list(changes(before, seen))
    SEEN.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(seen))
    print("\n".join([*moved, f"written: {SEEN.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}"]))
    return 1 if moved else 0


def look(progress: Progress) -> dict[str, Any]:
    """Run each table with each version."""
    tables = []
    for name in table_names():
        scenario = load(name)
        framework = scenario.module.FRAMEWORK
        numbers = (*scenario.module.VERSIONS, versions()[framework])
        rows = [_row(scenario, framework, number, progress) for number in numbers]
        tables.append({"name": name, "framework": framework, "rows": rows})
    return {"command": COMMAND, "tables": tables}


def _row(scenario: Scenario, framework: str, number: str, progress: Progress) -> dict[str, Any]:
    other = Other({framework: number})
    settings = Settings(frameworks=(framework,))
    row: dict[str, Any] = {"versions": {framework: number}}
    try:
        (result,) = run_elsewhere([scenario], other, settings, progress.show)
        row["versions"] = result.versions
        row["cells"] = scenario.module.cells(Seen(result.runs[0].recording))
    except NotInstalled:  # perhaps the network's fault: no row is the better for it
        raise
    except (DemoError, Unforeseen) as exc:
        row["why_not"] = str(exc)
    return row


def changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Which rows say something else than before."""
    old = {
        (table["name"], row["versions"][table["framework"]]): row
        for table in before["tables"]
        for row in table["rows"]
    }
    for table in now["tables"]:
        for row in table["rows"]:
            number = row["versions"][table["framework"]]
            was = old.get((table["name"], number), row)
            was_cells, cells = _cells(was), _cells(row)
            for column in was_cells.keys() | cells.keys():
                if was_cells.get(column) != cells.get(column):
                    where = f"{table['name']}, {table['framework']} {number}, {column}"
                    yield f"{where}: was {was_cells.get(column)!r}, is {cells.get(column)!r}"


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return row.get("cells", {"it": row.get("why_not", "")})


def page(seen: dict[str, Any]) -> str:
    """The page, from what was seen."""
    return "\n".join([HEAD, *(_table(table) for table in seen["tables"])])


def _table(table: dict[str, Any]) -> str:
    scenario, framework = load(table["name"]), table["framework"]
    columns = list(scenario.module.COLUMNS)
    by = "starlette" if framework == "fastapi" else ""
    head = f"{NAMES[framework]} ({NAMES[by]})" if by else NAMES[framework]
    question = scenario.question[0].upper() + scenario.question[1:]
    lines = [f"## {question}", "", scenario.story, ""]
    lines += [f"| {' | '.join([head, *columns])} |", "|---" * (len(columns) + 1) + "|"]
    for row in table["rows"]:
        numbers = row["versions"]
        name = f"{numbers[framework]} ({numbers.get(by, '?')})" if by else numbers[framework]
        cells = row.get("cells") or {columns[0]: row["why_not"]}
        lines.append(f"| {' | '.join([name, *(cells.get(column, '') for column in columns)])} |")
    numbers = table["rows"][-1]["versions"]
    how = f"Measured with Python {numbers['Python']} and uvicorn {numbers['uvicorn']}."
    return "\n".join([*lines, "", f"{scenario.lesson} {how}", ""])


if __name__ == "__main__":
    command.run(main)
