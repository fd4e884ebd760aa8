"""One line that says how far it is, on standard error, so that standard output stays clean."""

import sys
from types import TracebackType
from typing import Any


class Progress:
    """On a terminal with rich installed the line is replaced in place; else lines follow lines."""

    def __init__(self) -> None:
        self._status: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            try:
                from rich.console import Console
            except ModuleNotFoundError:
                return self
            self._status = Console(stderr=True).status("")
            self._status.start()
        return self

    def show(self, words: str) -> None:
        """What is being done now."""
        if self._status is None:
            print(words, file=sys.stderr, flush=True)
        else:
            self._status.update(words)

    def print(self, words: str) -> None:
        """Print on standard output, above the line."""
        if self._status is not None:
            self._status.stop()
        print(words, flush=True)
        if self._status is not None:
            self._status.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()
