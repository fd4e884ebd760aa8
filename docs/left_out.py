"""Write `left-out.md` from the ``# Left out:`` comments in the source. Run: ``make left-out``."""

import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "left-out.md"
HEAD = """# Left out

What miniasgi does not do, each with the place in the source that says so. This page is made from
those comments by `make left-out`, and a test compares the two.

"""


def comments(path: Path) -> list[tuple[int, str]]:
    """The line and the text of each ``# Left out:``, its following comment lines joined."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    found: list[tuple[int, str]] = []
    last = 0
    for token in tokens:
        if token.type != tokenize.COMMENT:
            continue
        line, text = token.start[0], token.string.lstrip("# ").strip()
        if text.startswith("Left out:"):
            found.append((line, text.removeprefix("Left out:").strip()))
            last = line
        elif found and line == last + 1:
            found[-1] = (found[-1][0], f"{found[-1][1]} {text}")
            last = line
    return found


def page() -> str:
    """The whole page, in the order of the files."""
    parts = [HEAD]
    for path in sorted((ROOT / "miniasgi").rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        for _, text in comments(path):
            parts.append(f"- {text[0].upper()}{text[1:]} ([`{where}`](../{where}))\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
