"""What a scenario is, what its client can do, and what can be asked of its recording.

A scenario is one numbered file: a docstring that starts with ``Question:`` and ends with
``Lesson:``, three applications, and

- ``client(visitor)``: what the client does, over real sockets;
- ``observe(seen) -> str``: what happened, in words, from the order of events and nothing else;
- ``outcomes``: those words with their rank, 1 the best for the users; equal ranks are "the same";
- ``expected``: the outcome for each framework, or why it has `no_such_thing`; ``warm_up``: paths
  asked for before the recording; ``card``: what a reader is asked and shown (`demos.card`);
- if it has them, ``needs``: modules that the client imports, and ``details(seen) -> list[str]``:
  what the lanes cannot show; ``options``: more of uvicorn's; ``on_machine``, if the client stops
  servers itself;
- if it has a ``queue``, it runs on a `demos.machine.Machine`, with workers and a mail server, and
  it may have ``starlette_queue_app`` and ``fastapi_queue_app``: our queue in an application that
  else stays as it is.

Rule of this file: order decides, never milliseconds.
"""

import importlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from demos.card import Card, Source, source, sources
from demos.client import PATIENCE, Connection, Reply, silent
from miniasgi.timeline import Moment, Recording

#: Modules to import, and what people call them.
NAMES = {
    "miniasgi": "miniasgi",
    "starlette": "Starlette",
    "fastapi": "FastAPI",
    "starlette_queue": "Starlette + queue",
    "fastapi_queue": "FastAPI + queue",
    "miniasgi_redis": "miniasgi on Redis",
}
FRAMEWORKS = ("miniasgi", "starlette", "fastapi")


#: How the mark begins that a client leaves which could not do what it wanted.
GAVE_UP = "the client gives up"


NO_SUCH_THING = "no such thing"


def no_such_thing(because: str) -> str:
    """What is expected of a framework that lacks what the scenario is about: it is not run."""
    return f"{NO_SUCH_THING}: {because}"


class Unforeseen(Exception):
    """A recording shows what no outcome describes; the message says what."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario file, found by its number (``s01``) or by a part of its name (``order``)."""

    module: ModuleType

    @property
    def name(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    @property
    def number(self) -> str:
        return self.name.partition("_")[0]

    @property
    def title(self) -> str:
        return self.name.partition("_")[2].replace("_", " ")

    @property
    def question(self) -> str:
        return self._paragraph("Question: ")

    @property
    def story(self) -> str:
        """What is done, between the question and the lesson."""
        return _unwrap((self.module.__doc__ or "").split("\n\n")[1])

    @property
    def lesson(self) -> str:
        return self._paragraph("Lesson: ")

    def _paragraph(self, start: str) -> str:
        for paragraph in (self.module.__doc__ or "").split("\n\n"):
            if paragraph.startswith(start):
                return _unwrap(paragraph.removeprefix(start))
        raise ValueError(f"the docstring of {self.name} has no paragraph that starts with {start}")

    @property
    def warm_up(self) -> tuple[str, ...]:
        return tuple(self.module.warm_up)

    @property
    def needs(self) -> tuple[str, ...]:
        """Modules that it imports besides the framework."""
        return tuple(getattr(self.module, "needs", ()))

    @property
    def has_queue(self) -> bool:
        return hasattr(self.module, "queue")

    @property
    def on_machine(self) -> bool:
        """Does it need a `demos.machine.Machine`: workers, or servers that it stops itself?"""
        return self.has_queue or getattr(self.module, "on_machine", False)

    @property
    def place(self) -> Any:
        """Its own kind of machine, if it has one."""
        return getattr(self.module, "place", None)

    @property
    def options(self) -> dict[str, Any]:
        """uvicorn's, beyond the usual."""
        return dict(getattr(self.module, "options", {}))

    @property
    def card(self) -> Card:
        """What a reader is asked before a run, and shown beside it."""
        card: Card = self.module.card
        return card

    @property
    def order(self) -> float:
        """Its place in teaching order."""
        return self.card.order or float(self.number[1:])

    def applications(self, frameworks: Iterable[str]) -> tuple[str, ...]:
        """Those of these frameworks, first bare and then, if there are such, with our queue."""
        names = [*frameworks]
        others = [f"{name}_{kind}" for kind in ("queue", "redis") for name in names]
        return (*names, *(name for name in others if name in self.module.expected))

    def is_absent(self, framework: str) -> bool:
        """Does this framework lack what the scenario is about?"""
        return self.expected(framework).startswith(NO_SUCH_THING)

    @property
    def base(self) -> str:
        """Whom miniasgi is compared with: Starlette, or FastAPI where Starlette lacks the thing."""
        return "fastapi" if self.is_absent("starlette") else "starlette"

    def sources(self, framework: str) -> list[Source]:
        """The scenario's own code for this framework, its decisive lines lit."""
        # On a broker it is the same application, started with another URL.
        name = framework.removesuffix("_redis")
        return sources(self.module.__name__, f"{name}_app", self.card.lit)

    def decisive(self, framework: str) -> list[Source]:
        """The functions of the framework, or below it, that make the difference, as installed."""
        by_name = self.card.decisive
        key = "queue" if framework.endswith("_queue") else framework
        names = by_name.get(key, by_name.get("starlette", ()) if key == "fastapi" else ())
        return [found for name in names if (found := source(name))]

    def expected(self, framework: str) -> str:
        return str(self.module.expected[framework])

    def run(self, visitor: "Visitor") -> None:
        """Be the client."""
        self.module.client(visitor)

    def observe(self, recording: Recording) -> str:
        """What happened, in words."""
        for moment in recording.moments:
            if moment.name.startswith(GAVE_UP):
                return f"unforeseen: {moment.name}"
        try:
            return str(self.module.observe(Seen(recording)))
        except Unforeseen as exc:
            return f"unforeseen: {exc}"

    def details(self, recording: Recording) -> list[str]:
        """What the lanes cannot show, in lines of words, if the scenario has any."""
        details = getattr(self.module, "details", None)
        return list(details(Seen(recording))) if details else []

    def compare(self, outcome: str, base: str) -> str:
        """Is ``outcome`` better, worse or the same as ``base`` for the users?"""
        ranks: dict[str, int] = self.module.outcomes
        if outcome not in ranks or base not in ranks:
            return "?"
        difference = ranks[base] - ranks[outcome]
        return "better" if difference > 0 else "worse" if difference < 0 else "same"


def _unwrap(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def all_names() -> list[str]:
    """The scenario files, by number."""
    return sorted(path.stem for path in Path(__file__).parent.glob("s[0-9][0-9]_*.py"))


def chapter_names() -> list[str]:
    """The files of the tutorial's samples, which are scenarios too (`demos.chapter`)."""
    return sorted(path.stem for path in Path(__file__).parent.glob("chapter/c[0-9]*_*.py"))


def table_names() -> list[str]:
    """The files of what is looked up for many versions, scenarios too (`demos.over_versions`)."""
    return sorted(path.stem for path in Path(__file__).parent.glob("over_versions/t[0-9]*_*.py"))


def load(name: str) -> Scenario:
    """The scenario of this file name."""
    package = "demos"
    if name in chapter_names():
        package = "demos.chapter"
    elif name in table_names():
        package = "demos.over_versions"
    return Scenario(importlib.import_module(f"{package}.{name}"))


class Visitor:
    """The client of one run. What it does is recorded on the same clock as the server's side."""

    def __init__(self, port: int, framework: str) -> None:
        self.port = port
        self.framework = framework
        self.moments: list[Moment] = []
        #: Called with what happens, in words, when it happens; in whatever thread.
        self.tell: Callable[[str], None] = lambda words: None

    def note(self, at: int, kind: str, name: str, detail: str = "", place: str = "client") -> None:
        """Record a moment that was stamped when it happened; connections call it."""
        self.moments.append(replace(Moment.now(place, kind, name, detail), at=at))
        words = {"request.start": f"{name} is sent", "mark": name}
        self.tell(words.get(kind, f"{name}: {detail or kind}"))

    def connect(self, *, noted: bool = True, **options: Any) -> "VisitorConnection":
        """A connection to the server. One that is not ``noted`` only looks, and is not drawn."""
        return VisitorConnection(self.port, self.note if noted else silent, **options)

    def say(self, text: str, told: str = "") -> None:
        """Put a word into the client's lane; who listens is ``told`` more."""
        self.moments.append(Moment.now("client", "mark", text))
        self.tell(told or text)

    @contextmanager
    def asking(self, name: str) -> Iterator[None]:
        """A request that another client sends, within the block."""
        self.note(time.monotonic_ns(), "request.start", name)
        yield
        self.note(time.monotonic_ns(), "request.end", name)

    def open_gate(self) -> None:
        """Let the task go on: play the mail server that answers at last."""
        self.say("gate opens")
        with self.connect(noted=False) as connection:
            connection.must_get("/gate/open")

    def rest(self, seconds: float) -> None:
        """Do nothing for a while. No verdict may depend on it."""
        time.sleep(seconds)

    def wait_until(self, happened: Callable[[], bool], what: str) -> None:
        """Ask again and again for what nobody tells. Raises TimeoutError after a long while."""
        until = time.monotonic() + PATIENCE
        while not happened():
            if time.monotonic() > until:
                raise TimeoutError(f"{what}: not in {PATIENCE:g} seconds")
            self.rest(0.005)


class VisitorConnection(Connection):
    """A connection, and what scenarios ask of it."""

    def must_get(self, path: str) -> Reply:
        """Ask and read the reply. Raises Unforeseen if there is none, or if it is an error."""
        reply = self.get(path)
        if reply is None or reply.status >= 400:
            said = "no reply" if reply is None else f"status {reply.status}"
            raise Unforeseen(f"{said} to GET {path}")
        return reply

    def is_kept_waiting(self, ask_another: Callable[[], object], times: int = 20) -> bool:
        """Does the next reply not begin while another client is answered so many times?"""
        for _ in range(times):
            if self.wait_first_byte(within=0.01):
                return False
            ask_another()
        return True


class Seen:
    """A recording, asked for the order of its moments by label.

    A label is kind and name, ``task.start send_mail``, for a message kind and call,
    ``response.end GET /signup``, and for a mark its words. It means the first moment of that label.
    """

    def __init__(self, recording: Recording) -> None:
        self.moments = recording.moments
        self.calls = calls(self.moments)
        self.first: dict[str, Moment] = {}
        for moment in self.moments:
            self.first.setdefault(self._label(moment), moment)

    def _label(self, moment: Moment) -> str:
        if moment.kind == "mark":
            return moment.name
        call = self.calls.get((moment.process, moment.request), "")
        return f"{moment.kind} {moment.name or call}"

    def __contains__(self, wanted: str) -> bool:
        return wanted in self.first

    def __getitem__(self, wanted: str) -> Moment:
        if wanted not in self.first:
            raise Unforeseen(f"no moment {wanted!r}")
        return self.first[wanted]

    def in_order(self, *labels: str) -> bool:
        """Were all of these seen, each not before the one that is named before it?"""
        if not all(wanted in self for wanted in labels):
            return False
        times = [self.first[wanted].at for wanted in labels]
        return times == sorted(times)

    def must_be_in_order(self, *labels: str) -> None:
        """Raise Unforeseen unless they were seen in this order."""
        times = [self[wanted].at for wanted in labels]
        for number, (before, after) in enumerate(pairwise(times)):
            if before > after:
                raise Unforeseen(f"{labels[number + 1]!r} before {labels[number]!r}")

    def in_thread(self, wanted: str) -> bool:
        """Did it happen in another thread than the event loop's?"""
        return self[wanted].place == "worker thread"

    def mark(self, start: str, number: int = 0) -> str:
        """What the first mark that begins with these words goes on to say; or a later one."""
        names = (moment.name for moment in self.moments if moment.kind == "mark")
        found = [name.removeprefix(start).strip() for name in names if name.startswith(start)]
        if number >= len(found):
            raise Unforeseen(f"no mark {start!r} number {number + 1}")
        return found[number]

    def has_log(self, words: str) -> bool:
        """Did the server log an error with these words?"""
        return any(moment.place == "log" and words in moment.name for moment in self.moments)


def calls(moments: Iterable[Moment]) -> dict[tuple[int, int], str]:
    """Which request of which process was which call: ``GET /signup``."""
    return {
        (moment.process, moment.request): moment.name
        for moment in moments
        if moment.kind == "app.start"
    }
