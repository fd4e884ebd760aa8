"""Build the site: check the prose against the source, render, add the files it links to.

Run: ``python -m docs.read_along.build``, or ``make docs``. Stops with every problem in one list.
Zensical renders in a process of its own; meanwhile this one checks, and colours sources for both.
"""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from html import escape, unescape
from os.path import normpath
from pathlib import Path
from subprocess import DEVNULL, PIPE
from urllib.parse import unquote

from markdown import Markdown
from pygments.formatters.html import HtmlFormatter

from docs.read_along import DOCS, ROOT, ReadAlong
from docs.read_along.source import COLOURED, NotInSource, coloured, find, highlighted

SITE = ROOT / "site"
_CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["markdown_extensions"]
#: What the site is rendered with, beside our own: names to settings.
EXTENSIONS = {name: config for name, config in _CONFIG.items() if name != "docs.read_along"}
_TAG = re.compile(r'<([a-z][\w-]*)((?=[^>]* (?:id|href|src)=)(?: (?:[^>"]|"[^"]*")*))>')
_ATTRIBUTE = re.compile(r' (id|href|src)=(?:"([^"]*)"|([^\s>]+))')
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{path}</title><style>{style}</style></head>
<body id="{path}"><main><h1>{path}</h1>
<div class="highlight"><pre tabindex="0"><code>{code}</code></pre></div></main></body>
</html>
"""
_STYLE = """:root{color-scheme:light dark}body{margin:1.5rem;font:15px/1.5 system-ui,sans-serif}
h1{font-size:1rem;overflow-wrap:anywhere}pre{font:13px/1.45 ui-monospace,monospace;overflow:auto}
.line::before{content:attr(data-number);display:inline-block;width:3.5em;opacity:.45}
.symbol:target{display:block;background:#8883;box-shadow:-4px 0 #e69f00}
"""


def problems(sources: dict[Path, None] | None = None) -> Iterator[str]:
    """Every page whose links or quotations are not in the source.

    ``sources`` is given the files that the pages lead to, in their order.
    """
    for path in sorted(DOCS.rglob("*.md")):
        page = path.relative_to(DOCS).as_posix()
        ours = ReadAlong(page=page, columns=False)
        try:
            extensions = [*EXTENSIONS, ours]
            Markdown(extensions=extensions, extension_configs=EXTENSIONS).convert(path.read_text())
        except NotInSource as exc:
            yield f"docs/{page}: {exc}"
        if sources is not None:
            sources.update(dict.fromkeys(ours.sources))


class _Page:
    """The ids of a page, and where it leads to. Only tags with such an attribute are looked at:
    a page is mostly coloured source, and a parser would spend seconds on it.
    """

    def __init__(self, path: Path) -> None:
        self.ids: set[str] = set()
        self.links: list[str] = []
        for tag, attributes in _TAG.findall(path.read_text()):
            values = {name: unescape(a or b) for name, a, b in _ATTRIBUTE.findall(attributes)}
            self.ids.add(values.get("id", ""))
            link = values.get("src" if tag in ("img", "script") else "href")
            if link is not None and "data:" not in link:
                self.links.append(link)


def _read(site: Path, known: Mapping[Path, _Page] | None = None) -> dict[Path, _Page]:
    """Every built page; those that are known are not read again."""
    known = known or {}
    return {path: known.get(path) or _Page(path) for path in sorted(site.rglob("*.html"))}


def links(pages: Mapping[Path, _Page]) -> Iterator[tuple[Path, str, Path, str]]:
    """Of every built page: itself, what it says, the file and the fragment that this means."""
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # it is shown for any address, and so its links are absolute
        for link in page.links:
            name, _, fragment = link.partition("#")
            if "://" not in name and not name.startswith("mailto:"):
                target = Path(normpath(path.parent / unquote(name))) if name else path
                target = target / "index.html" if target.is_dir() else target
                yield path, link, target, unquote(fragment)


def dead_links(site: Path, known: Mapping[Path, _Page] | None = None) -> Iterator[str]:
    """Links to a file or to a fragment that is not there, and links to elsewhere by path."""
    pages = _read(site, known)
    for path, link, target, fragment in links(pages):
        where = f"{path.relative_to(site)}: {link}"
        if link.startswith("/"):
            yield f"{where} is absolute: the site would not work below a prefix"
        elif not target.is_file():
            yield f"{where} leads to no file"
        elif fragment and target in pages and fragment not in pages[target].ids:
            yield f"{where} leads to no such place"


def write_sources(site: Path, pages: Mapping[Path, _Page]) -> None:
    """A page for every file of the project that a page leads to."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for _, _, target, fragment in links(pages):
        if target.is_relative_to(site / "source"):
            name = target.relative_to(site / "source").as_posix().removesuffix(".html")
            wanted[name].add(fragment.partition(":")[2])
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    style = f"{light}\n@media(prefers-color-scheme:dark){{{dark}}}\n{_STYLE}"
    for name, symbols in wanted.items():
        regions = {f"{name}:{one}": find(ROOT / name, one) for one in symbols - {""}}
        code = highlighted(ROOT / name, regions)
        page = site / "source" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_PAGE.format(path=escape(name), style=style, code=code))


def _forget(sources: Iterable[Path]) -> None:
    """What was coloured of files as they were before."""
    for path in set(COLOURED.iterdir()) - {coloured(one) for one in sources}:
        path.unlink()


def build() -> Iterator[str]:
    """The site; yields every problem."""
    sources: dict[Path, None] = {}
    command = [sys.executable, "-m", "zensical", "build", "--clean"]
    with subprocess.Popen(command, cwd=ROOT, stdout=DEVNULL, stderr=PIPE, text=True) as zensical:
        found = list(problems(sources))
        if found:
            zensical.terminate()
            yield from found
            return
        for path in reversed(sources):  # Zensical comes from the other end
            highlighted(path, {})
        said = zensical.communicate()[1]
    if zensical.returncode:
        yield said
        return
    pages = _read(SITE)
    write_sources(SITE, pages)
    _forget(sources)
    yield from dead_links(SITE, pages)


def main() -> None:
    if found := list(build()):
        sys.exit("\n".join(found))
    print(f"{SITE.relative_to(ROOT)}/index.html")


if __name__ == "__main__":
    main()
