"""The page of settings: every keyword by which an application, a queue or a monitor is set.

Names, defaults and types are read from the source; the meaning of each stands here. A keyword
without a meaning, or a meaning without its keyword, stops with a sentence.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import miniasgi
from docs.links import link
from miniasgi.monitor import Alarms, monitor
from miniasgi.queue import Queue, Retry
from miniasgi.queue.jobs import Settings
from miniasgi.queue.tasks import Options
from miniasgi.testing import Client
from miniasgi.timeline import Recorder, TimelineMiddleware

#: Heading, the object, and what each of its keywords means.
SETTINGS: list[tuple[str, Any, dict[str, str]]] = [
    (
        "The application",
        miniasgi.MiniASGI,
        {
            "debug": "an unforeseen exception is answered with its traceback; never in production",
            "routes": "routes, in the place of decorators",
            "middleware": "`Middleware(cls, *args, **kwargs)` or an `async def` of "
            "`(request, call_next)`, the outermost first",
            "exception_handlers": "by status code or class: `handler(request, exc) -> response`",
            "lifespan": "an async context manager of the application; it yields `request.state`",
            "max_body_size": "bytes that `body()`, `json()` and `form()` read at most, else 413; "
            "None: no limit",
            "background_threads": "how many plain functions run after responses at one time",
        },
    ),
    (
        "Background tasks",
        miniasgi.BackgroundTasks,
        {
            "tasks": "tasks to begin with",
            "on_error": '"stop": what stands behind a failed task does not run, and the log names '
            'it; "continue": it runs',
        },
    ),
    (
        "A dependency",
        miniasgi.Depends,
        {
            "dependency": "what is called; by default the parameter's annotation",
            "use_cache": "call it once a request, whoever asks",
            "scope": 'when the code after its `yield` runs: "function" before the first byte, '
            '"response" after the last, "request" after the background',
        },
    ),
    (
        "A queue",
        Queue,
        {
            "name": "the queue's name; one file may hold several",
            "broker": "`sqlite:///jobs.db`, `redis://...` or `amqp://...`; by default "
            "`$MINIASGI_BROKER`, else `sqlite:///miniasgi-jobs.db`",
            "backend": "Celery only: the Redis that keeps results; by default the broker, if it is "
            "a Redis",
            "outbox": "Celery only: a `sqlite:///` file that keeps promises until the broker has "
            "them",
            "durability": '"power": a commit is on the disk; "process": it is with the operating '
            "system, and survives `kill -9`",
            "result_ttl": "seconds that a success is kept",
            "failure_ttl": "seconds that a failure is kept",
            "max_crashes": "after so many deaths of its process a job is a failure; None: never",
            "hold": "seconds after which a promise is let go whose response has not ended",
            "lock_timeout": "seconds to wait for the file's lock, or for the broker",
            "visibility_timeout": "Celery only: seconds after which a job that was taken and has "
            "not ended is handed out again",
        },
    ),
    (
        "A task",
        Settings,
        {
            "name": "by which its jobs find it; by default the function's",
            "max_retries": "how often a failed job is tried again; None: without end",
            "retry_backoff": "seconds: the n-th retry waits up to this times 2 to the n",
            "retry_backoff_max": "seconds that a retry waits at most",
            "timeout": "seconds after which an `async def` is cancelled and a thread is reported",
            "priority": "higher first",
        },
    ),
    (
        "One job",
        Options,
        {
            "countdown": "seconds until it may start",
            "eta": "the moment before which it does not start",
            "priority": "in the place of its task's",
            "task_id": "an idempotency key: the same id twice is one job",
            "expires": "seconds from now, or a moment: it does not start later",
        },
    ),
    (
        "Another attempt, asked for by the task",
        Retry,
        {
            "message": "why; it is kept as the job's error",
            "countdown": "seconds to wait, in the place of the task's backoff",
        },
    ),
    (
        "A worker in this process",
        Queue.worker,
        {
            "concurrency": "jobs at one time",
            "grace": "seconds that running jobs have to end in when it stops",
        },
    ),
    (
        "The monitor",
        monitor,
        {
            "queue": "the queue whose file is shown",
            "token": "who has it may act; None: nobody",
            "hide_arguments": "keep arguments and results out of pages, API and search",
            "alarms": "the limits, below",
            "flower": "with Celery: the address of a Flower, to link to for the rest",
        },
    ),
    (
        "Its alarms",
        Alarms,
        {
            "backlog": "more ready jobs than this",
            "running": "a job that runs longer than so many seconds",
            "failure_rate": "a larger share of failures among what ended in five minutes",
            "patience": "seconds that a figure has to stay over its limit",
            "clear": "the share of the limit under which it is well again",
            "on_change": "called with a `Change`, once for each",
        },
    ),
    (
        "The test client",
        Client,
        {
            "app": "any ASGI application",
            "base_url": "scheme, host and port that requests name",
            "raise_background": "what is raised after a response is raised in the test",
            "lifespan": "run the application's startup and shutdown",
            "spec_version": "the ASGI HTTP version that it speaks; from 2.4 on a `send` to a "
            "client that left raises",
        },
    ),
    (
        "A recorder",
        Recorder,
        {
            "place": "the name of its lane, if its process is one lane",
            "keep": "how many of the newest requests it holds",
        },
    ),
    (
        "The timeline middleware",
        TimelineMiddleware,
        {
            "app": "the application that it wraps",
            "recorder": "where moments go; by default one of its own, `.recorder`",
            "server_timing": "add a Server-Timing header to every response",
        },
    ),
]

#: What the surroundings set.
ENVIRONMENT = {
    "MINIASGI_BROKER": "the broker of a `Queue` that names none",
    "MINIASGI_MONITOR_TOKEN": "the token of `python -m miniasgi monitor`",
    "NO_COLOR": "the text timeline and the demos use no colours",
}


def page(made: str) -> str:
    parts = [
        "# Settings\n\nEvery keyword that sets something, with its default. Durations are "
        f"seconds, sizes are bytes. {made} What a command takes stands in "
        "[Command line](command-line.md).\n"
    ]
    for heading, what, meanings in SETTINGS:
        keywords = dict(_keywords(what))
        for name in keywords.keys() ^ meanings.keys():
            raise SystemExit(f"settings of {what.__qualname__}: {name!r} is only on one side")
        parts.append(
            f"\n## {heading}\n\n{link(what)}\n\n| keyword | default | meaning |\n|---|---|---|\n"
        )
        parts += [
            f"| `{name}` | {default} | {meanings[name]} |\n" for name, default in keywords.items()
        ]
    parts.append("\n## The environment\n\n| variable | meaning |\n|---|---|\n")
    parts += [f"| `{name}` | {meaning} |\n" for name, meaning in ENVIRONMENT.items()]
    return "".join(parts)


def _keywords(what: Any) -> Iterator[tuple[str, str]]:
    """Each keyword and its default as the source writes it."""
    if isinstance(what, type) and issubclass(what, dict):  # a TypedDict has no defaults of its own
        yield from ((name, _default_of_task(name)) for name in what.__annotations__)
        return
    for name, parameter in inspect.signature(what).parameters.items():
        if name not in ("self", "func"):
            yield name, _written(parameter.default)


def _default_of_task(name: str) -> str:
    """A task's settings are handed on to `Function`, which has the defaults."""
    from miniasgi.queue.jobs import Function

    parameter = inspect.signature(Function).parameters[name]
    return "the function's name" if name == "name" else _written(parameter.default)


def _written(default: object) -> str:
    if default is inspect.Parameter.empty:
        return "(needed)"
    if isinstance(default, Alarms):
        return "`Alarms()`"
    if isinstance(default, int | float) and not isinstance(default, bool):
        return f"{default:,.10g}"
    return f"`{default!r}`" if isinstance(default, str) else str(default)
