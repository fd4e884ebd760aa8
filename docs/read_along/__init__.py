"""The book is read beside the source: links into it become cues.

An ordinary Markdown link, ``[`Response.__call__`](../../miniasgi/responses.py#Response.__call__)``,
opens the file on a code host. On the site it does more. In a chapter the files that its links name
stand whole in a second column, and passing a link lights the lines of its symbol. Elsewhere the
link leads to a page with the file. Recorded pictures are put into the page, so that their bars can
be asked by hovering.

Rules of this package: nothing is marked in the source and no line number stands in the prose; a
link whose file or symbol is gone, and a quotation that is not in its file, stop the build.
"""

import re
from html import escape
from pathlib import Path, PurePosixPath
from posixpath import relpath
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

from docs.read_along.source import NotInSource, find, highlighted, quoted

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
#: Pages with the second column: the chapters, and the answer to the tutorial in each language.
CHAPTERS = re.compile(r"chapters/\d\d-.*|(zh/)?what-really-happens\.md")
_DEFS = re.compile(r"<defs>.*?</defs>", re.DOTALL)
_FENCE = re.compile(r'^(`{3,})\w+ title="([^"]+)"\n(.*?)\n\1$', re.DOTALL | re.MULTILINE)


class Quotations(Preprocessor):
    """A block with a file as its title stands word for word in that file."""

    def run(self, lines: list[str]) -> list[str]:
        for _, name, block in _FENCE.findall("\n".join(lines)):
            quoted(ROOT / name, block)
        return lines


class Links(Treeprocessor):
    """Links into the source become cues or lead to its page; pictures are put in."""

    def __init__(self, md: Markdown, extension: "ReadAlong") -> None:
        super().__init__(md)
        self.extension = extension

    def run(self, root: Element) -> None:
        page = self.extension.page(self.md)
        self.extension.cues.clear()
        for element in root.iter():
            if element.tag == "a":
                self._link(element, page)
            elif element.tag == "img" and element.get("src", "").endswith(".svg"):
                self._picture(element, page)

    def _link(self, element: Element, page: PurePosixPath) -> None:
        href = element.get("href", "")
        if not href or href.startswith("#") or "://" in href or href.startswith("mailto:"):
            return
        name, _, symbol = href.partition("#")
        target = (DOCS / page.parent / name).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            raise NotInSource(f"docs/{page}: {href} leads to no file")
        if target.is_relative_to(DOCS) and target.suffix == ".md":
            return
        self.extension.sources.append(target)
        path = target.relative_to(ROOT).as_posix()
        if symbol:
            find(target, symbol)
        if CHAPTERS.fullmatch(page.as_posix()) and target.suffix == ".py":
            self.extension.cues.append((path, symbol))
            element.set("href", f"#{anchor(path, symbol)}")
            element.set("class", "cue")
        else:
            fragment = f"#{anchor(path, symbol)}" if symbol else ""
            element.set("href", relpath(f"source/{path}.html", page.parent.as_posix()) + fragment)

    def _picture(self, element: Element, page: PurePosixPath) -> None:
        """A recorded picture has a twin for phones, and the style sheet shows one of them."""
        target = (DOCS / page.parent / element.get("src", "")).resolve()
        twin = target.parent / "narrow" / target.name
        alt = escape(element.get("alt", ""), quote=True)
        element.tag = "span"
        element.attrib.clear()
        element.set("class", "recorded")
        element.set("tabindex", "0")  # it scrolls where the page is narrow: by keys too
        pictures = {"wide": target, "narrow": twin} if twin.is_file() else {"": target}
        drawn = "".join(_labelled(path.read_text(), alt, one) for one, path in pictures.items())
        if len(pictures) == 2:
            drawn = _patterns(target.read_text()) + drawn
        element.text = self.md.htmlStash.store(drawn)


def _labelled(picture: str, alt: str, size: str) -> str:
    if not size:
        return picture.replace("<svg ", f'<svg aria-label="{alt}" ', 1)
    bare = _DEFS.sub("", picture)
    return bare.replace('class="tl"', f'class="tl {size}" aria-label="{alt}"', 1)


def _patterns(picture: str) -> str:
    """What both twins fill with: within one that is not shown, nothing could be filled with it."""
    found = _DEFS.search(picture)
    return f'<svg class="patterns" aria-hidden="true">{found[0] if found else ""}</svg>'


class Columns(Postprocessor):
    """The prose on the left, the files that it names on the right."""

    def __init__(self, md: Markdown, extension: "ReadAlong") -> None:
        super().__init__(md)
        self.extension = extension

    def run(self, text: str) -> str:
        page = self.extension.page(self.md)
        lang = ' lang="zh-CN"' if page.parts[0] == "zh" else ""
        if not self.extension.cues:
            return f"<div{lang}>\n{text}\n</div>" if lang else text
        files: dict[str, set[str]] = {}
        for path, symbol in self.extension.cues:
            files.setdefault(path, set()).add(symbol)
        column = "".join(_file(path, symbols - {""}, page) for path, symbols in files.items())
        return (
            f'<div class="read-along"><div class="prose"{lang}>\n{text}\n</div>\n'
            '<div class="files" role="region" aria-label="Source" tabindex="0">'
            f"{column}</div></div>"
        )


class ReadAlong(Extension):
    """``page`` is the page's path below docs/; within Zensical it says so itself."""

    def __init__(self, **kwargs: Any) -> None:
        self.config = {
            "page": ["", "the page's path below docs/"],
            "columns": [True, "put the files beside the prose; False checks, and is quick"],
        }
        super().__init__(**kwargs)
        self.cues: list[tuple[str, str]] = []
        self.sources: list[Path] = []  #: the files to which links led so far

    def page(self, md: Markdown) -> PurePosixPath:
        contexts = (getattr(one, "page", None) for one in md.preprocessors)
        context = next((one.path for one in contexts if hasattr(one, "path")), None)
        return PurePosixPath(self.getConfig("page") or context or "page.md")

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(Quotations(md), "quotations", 30)  # before fences are taken
        md.treeprocessors.register(Links(md, self), "read_along", 0)
        if self.getConfig("columns"):
            md.postprocessors.register(Columns(md, self), "columns", 0)


def anchor(path: str, symbol: str) -> str:
    """The fragment of a symbol's lines: ``miniasgi/responses.py:Response.__call__``."""
    return f"{path}:{symbol}" if symbol else path


def _file(path: str, symbols: set[str], page: PurePosixPath) -> str:
    regions = {anchor(path, symbol): find(ROOT / path, symbol) for symbol in symbols}
    whole = relpath(f"source/{path}.html", page.parent.as_posix())
    return (
        f'<section class="file" id="{escape(path)}"><p><a href="{whole}">{escape(path)}</a></p>'
        f'<div class="highlight"><pre><code>{highlighted(ROOT / path, regions)}</code></pre></div>'
        "</section>"
    )


def makeExtension(**kwargs: Any) -> ReadAlong:
    return ReadAlong(**kwargs)
