"""The command line of the queue. Every command takes where the jobs are: ``module:queue``, or the
broker's URL or file for what needs no code of yours.

Rules of this file: a mistake is one sentence on stderr and exit code 2; ``--json`` is one object a
line, for machines; a long work shows its progress on a terminal, if rich is installed.
"""

import argparse
import importlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from miniasgi.queue import store
from miniasgi.queue.embedded import EmbeddedEngine
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.owners import living
from miniasgi.queue.tasks import Queue, broker_path

_SHOWN = ("id", "state", "task", "queue", "priority", "attempt", "error")


Commands = dict[Any, list[tuple[str, dict[str, Any]]]]


def run(arguments: Sequence[str], more: Commands | None = None) -> int:
    """Run one command, ``more`` of them if given; returns the exit code."""
    options = _parser(more).parse_args(arguments)
    try:
        code = 0 if _answered_by_celery(options) else options.command(options) or 0
        sys.stdout.flush()
        return int(code)
    except BrokenPipeError:  # who reads has seen enough; or Python would complain at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, LookupError, ImportError, OSError, OverflowError, QueueUnavailable) as exc:
        print(f"miniasgi: {exc}", file=sys.stderr)
        return 2


def _answered_by_celery(options: argparse.Namespace) -> bool:
    """Was it asked of all of a broker's jobs? Then Celery has answered, or it has refused."""
    if not _is_queue(options.where) or options.command is work:
        return False
    queue = queue_at(options.where)
    if isinstance(queue.engine, EmbeddedEngine):
        return False
    from miniasgi.queue.celery_commands import answer

    told = answer(queue, options)
    if isinstance(told, int):
        print(f"{_jobs(told)} deleted")
    elif told is not None:
        _print_row(told, options.json)
    return told is not None


def work(options: argparse.Namespace) -> None:
    """Run jobs until SIGTERM or Ctrl-C; a second signal exits at once."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    code_at(options.where).engine.work(options.concurrency, options.grace)


def status(options: argparse.Namespace) -> None:
    """Count the jobs of each queue, and the workers."""
    writer = queue_at(options.where).writer
    workers = [about.rpartition(" ")[0] for about in living(writer.directory, "worker").values()]
    rows = [dict(row) for row in writer.read(store.counts)]
    for row in rows:
        since = row.pop("waiting_since")
        row["oldest_waits"] = None if since is None else round(time.time() - since, 1)
        row |= {"paused": bool(row["paused"]), "workers": workers.count(row["queue"])}
    print_rows(rows, options.json)
    if not workers:
        print("no worker is running on this file", file=sys.stderr)


def list_(options: argparse.Namespace) -> None:
    """List jobs, the newest first."""
    rows = queue_at(options.where).writer.read(partial(store.select, **_chosen(options, "limit")))
    print_rows([dict(row) for row in rows], options.json, _SHOWN)


def show(options: argparse.Namespace) -> None:
    """Show all that is known of one job."""
    row = queue_at(options.where).AsyncResult(options.id).row
    if row is None:
        raise LookupError(f"no job {options.id!r} in {options.where}")
    _print_row(dict(row), options.json)


def _print_row(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_rows([row], True)
    for name, value in row.items():
        if value is not None:
            if name.endswith("_at"):
                with suppress(ValueError, OverflowError, OSError):  # no calendar has it
                    value = datetime.fromtimestamp(value)
            print(f"{name + ':':12} {value}")


def retry(options: argparse.Namespace) -> None:
    """Make failed or revoked jobs ready again: by id, or --all that match."""
    writer, ids = queue_at(options.where).writer, options.ids
    if not options.all and not ids:
        raise ValueError("name the jobs to retry, or say --all")
    if ids and (options.all or _chosen(options)):
        raise ValueError("ids say which jobs: leave out --all and the options that choose")
    if options.all:
        failed = {"state": "failure"} | _chosen(options)
        ids = [row["id"] for row in writer.read(partial(store.select, limit=-1, **failed))]
    parts = [ids[at : at + 500] for at in range(0, len(ids), 500)]
    done = (writer.run(store.retry, part, wakes=True) for part in parts)
    print(f"{_sum(done, len(parts))} of {_jobs(len(ids))} ready again")


def revoke(options: argparse.Namespace) -> None:
    """Revoke jobs: waiting ones never run, running async ones are cancelled."""
    queue = queue_at(options.where)
    done = sum(queue.AsyncResult(id).revoke() for id in options.ids)
    print(f"{done} of {_jobs(len(options.ids))} revoked")


def pause(options: argparse.Namespace) -> None:
    """Let workers claim nothing of a queue until it is resumed."""
    _switch(options, store.pause)


def resume(options: argparse.Namespace) -> None:
    """Let workers claim again."""
    _switch(options, store.resume)


def _switch(options: argparse.Namespace, work: Callable[..., object]) -> None:
    if options.queue is None and not _is_queue(options.where):
        raise ValueError(f"{options.where} may hold several queues: say --queue NAME")
    queue = queue_at(options.where)
    queue.writer.run(work, options.queue or queue.name, wakes=work is store.resume)


def purge(options: argparse.Namespace) -> None:
    """Delete jobs: those that have ended, or those in the --state given."""
    writer, states = queue_at(options.where).writer, options.state or store.ENDED
    before = time.time() - options.older
    counts = writer.read(store.counts)
    total = sum(row[state] for row in counts for state in states)
    which = [(row["queue"], state) for row in counts for state in states]
    deletes = [partial(writer.run, store.delete, *one, before) for one in which]
    done = (count for delete in deletes for count in iter(delete, 0))
    print(f"{_jobs(_sum(done, total // 2000 + 1))} deleted")


def move_(options: argparse.Namespace) -> None:
    """Hand the jobs that wait to a Celery broker; if it is killed, run it again."""
    writer = queue_at(options.where).writer
    settings = {"backend": options.backend, "visibility_timeout": options.visibility_timeout}
    engine = Queue("move", options.to, **settings).engine
    from miniasgi.queue.move import move

    waiting = sum(row["ready"] + row["scheduled"] for row in writer.read(store.counts))
    moved = _sum(move(writer, engine, options.batch), waiting // options.batch + 1)
    left = sum(row["ready"] + row["scheduled"] for row in writer.read(store.counts))
    late = f", {left} left: they are due too late for a broker" if left else ""
    print(f"{_jobs(moved)} moved{late}")


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _seconds(text: str) -> float:
    if not (number := float(text)) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


_WHERE = ("where", {"help": "module:queue, or sqlite:///jobs.db, or jobs.db"})
CODE = ("where", {"help": "module:queue, which has the tasks' code"})
_LIMIT = ("--limit", {"type": _count, "default": 20, "help": "at most so many (20)"})
_JSON = ("--json", {"action": "store_true", "help": "one JSON object a line"})
_QUEUE = ("--queue", {"help": "the queue's name, where a file was given"})
_STATE: dict[str, Any] = {"type": str.lower, "choices": store.STATES}
_UNOWNED = {"action": "append", "choices": (*store.ENDED, "ready", "scheduled")}
_MATCH: list[tuple[str, dict[str, Any]]] = [
    ("--state", _STATE | {"help": "only jobs in this state"}),
    *((f"--{name}", {"help": f"only jobs with this {name}"}) for name in ("task", "error")),
]
_COMMANDS: Commands = {
    work: [
        CODE,
        ("--concurrency", {"type": _count, "default": 8, "help": "jobs at one time (8)"}),
        ("--grace", {"type": float, "default": 30.0, "help": "seconds to finish in (30)"}),
    ],
    status: [_JSON],
    list_: [_JSON, _QUEUE, *_MATCH, _LIMIT],
    show: [("id", {"metavar": "ID", "help": "the job's"}), _JSON],
    retry: [
        ("ids", {"nargs": "*", "metavar": "ID", "help": "of jobs"}),
        ("--all", {"action": "store_true", "help": "all that failed (and match)"}),
        _QUEUE,
        *_MATCH,
    ],
    revoke: [("ids", {"nargs": "+", "metavar": "ID", "help": "of jobs"})],
    pause: [_QUEUE],
    resume: [_QUEUE],
    purge: [
        ("--state", _STATE | _UNOWNED | {"help": "these, and not all that have ended"}),
        ("--older", {"type": _seconds, "default": 0.0, "help": "only after so many seconds (0)"}),
    ],
    move_: [
        ("to", {"help": "the broker: redis://... or amqp://..."}),
        ("--backend", {"help": "where the results go, if not to the broker: redis://..."}),
        ("--batch", {"type": _count, "default": 100, "help": "jobs taken out at one time (100)"}),
        ("--visibility-timeout", {"type": float, "default": 3600.0, "help": "the queue's (3600)"}),
    ],
}


def _parser(more: Commands | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("miniasgi", description="Run and look after a queue's jobs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    known = _COMMANDS | (more or {})
    for command in {command.__name__: command for command in known}.values():
        name = "worker" if command is work else command.__name__.rstrip("_")
        added = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        added.set_defaults(command=command)
        for argument, how in dict((_WHERE, *known[command])).items():
            added.add_argument(argument, **how)
    return parser


def code_at(where: str) -> Queue:
    """The queue of ``module:queue``, with its tasks."""
    module, _, name = where.partition(":")
    if not _is_queue(where):
        raise ValueError(f"{where!r} should be module:queue, for instance demos.mail:queue")
    sys.path.insert(0, "")
    try:
        queue = getattr(importlib.import_module(module), name, None)
    except ImportError:
        raise
    except Exception as exc:
        raise ImportError(f"{module} cannot be imported: {exc!r}") from exc
    if not isinstance(queue, Queue):
        raise LookupError(f"{where}: {module} has no Queue named {name!r}")
    return queue


def _is_queue(where: str) -> bool:
    return ":" in where and "://" not in where


def queue_at(where: str) -> Queue:
    """The same, or a queue on a file, which knows no tasks."""
    if _is_queue(where):
        return code_at(where)
    path = broker_path(where) if "://" in where else Path(where)
    if not path.is_file():
        raise LookupError(f"there is no file {path}")
    return Queue(broker=f"sqlite:///{path}")


def _chosen(options: argparse.Namespace, *more: str) -> dict[str, Any]:
    given = vars(options)
    columns = ("state", "task", "queue", "error", *more)
    return {name: given[name] for name in columns if given[name] is not None}


def print_rows(rows: list[dict[str, Any]], as_json: bool, columns: Sequence[str] = ()) -> None:
    """A line for each; as a table cut to the width of the terminal, if there is one."""
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        return print("no jobs")
    head = list(columns or rows[0])
    lines = [head, *([_cell(row[name]) for name in head] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    most = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells)[:most].rstrip())


def _cell(value: object) -> str:
    return "" if value is None else str(value).partition("\n")[0]


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _sum(done: Iterable[int], steps: int) -> int:
    with suppress(ImportError):
        from rich.progress import track

        done = track(done, "", steps, transient=True, disable=not sys.stdout.isatty())
    return sum(done)
