"""Who listens to the order of things: one ContextVar, empty unless somebody asks.

The framework tells what it does at the moments that no ASGI message shows; `miniasgi.testing` and
`miniasgi.timeline` listen. With nobody listening a moment costs one look at the variable.

====================  =======================  ==========================================
kind                  name                     told when
====================  =======================  ==========================================
``accept``            empty                    a response's background is promised
``task.start``        the task's name          it begins, in the thread that runs it
``task.end``          the task's name          it has returned, on the loop
``task.failed``       the task's name          it raised an ``Exception``
``task.cancelled``    the task's name          it was cancelled; a thread may still run on
``job.accepted``      the task's name          a queue's job is promised: its commit is done
``job.released``      the task's name          the promise is let go: a worker may run the job
``job.start``         the task's name          the job's code begins, in the thread that runs it
``job.end``           the task's name          it returned
``job.failed``        the task's name          it raised, was cancelled or ran too long
``job.settled``       the task's name          its outcome is committed
``mark``              what the caller says     `mark` was called, anywhere below the listener
====================  =======================  ==========================================
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

#: Called as ``listener(kind, name)``, in the thread where it happens. It must not raise.
Listener: TypeAlias = Callable[[str, str], None]

listeners: ContextVar[tuple[Listener, ...]] = ContextVar("miniasgi.listeners", default=())


def tell(kind: str, name: str = "") -> None:
    """Tell whoever listens here that something happened just now."""
    for listen in listeners.get():
        listen(kind, name)


def mark(text: str) -> None:
    """Put a word of your own into the order of events: ``mark("charge card")``.

    Works in handlers and in tasks, on the loop and in threads; without a listener it does nothing.
    """
    tell("mark", text)


@contextmanager
def listening(to: Listener) -> Iterator[None]:
    """Listen inside the block. A listener that was there before hears everything first."""
    token = listeners.set((*listeners.get(), to))
    try:
        yield
    finally:
        listeners.reset(token)
