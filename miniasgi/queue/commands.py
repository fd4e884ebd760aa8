"""The command line of the queue. Every command takes where the jobs are: ``module:queue``, or the
broker's URL or file for what needs no code of yours.

Rules of this file: a mistake is one sentence on stderr and exit code 2; ``--json`` is one object a
line, for machines; rich draws tables and progress on a terminal if it is installed.
"""

import argparse
import asyncio
import importlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from miniasgi.queue import store
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.owners import living
from miniasgi.queue.results import state_of
from miniasgi.queue.tasks import Queue, broker_path
from miniasgi.queue.writer import Writer

_ENDED = ("success", "failure", "revoked")
_COLUMNS = ("id", "state", "task", "queue", "priority", "attempt", "age", "error")


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options) or 0)
    except (ValueError, LookupError, ImportError, OSError, QueueUnavailable) as exc:
        print(
            "miniasgi:", *(exc.args[:1] if isinstance(exc, LookupError) else [exc]), file=sys.stderr
        )
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("miniasgi", description="Run and look after a queue's jobs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        about = function.__doc__ or ""
        name = function.__name__.strip("_")
        added = commands.add_parser(name, help=about.splitlines()[0], description=about)
        added.add_argument("where", help="module:queue, or sqlite:///jobs.db, or jobs.db")
        added.set_defaults(command=function)
        return added

    working = command(_worker)
    working.add_argument("--concurrency", type=int, default=8, help="jobs at one time (8)")
    working.add_argument("--grace", type=float, default=30.0, help="seconds to finish in (30)")
    for looking in (command(_status), command(_list), command(_show)):
        looking.add_argument("--json", action="store_true", help="one JSON object a line")
        if looking.prog.endswith("list"):
            looking.add_argument("--limit", type=int, default=20, help="how many (20)")
            _choosing(looking)
        if looking.prog.endswith("show"):
            looking.add_argument("id")
    again = command(_retry)
    again.add_argument("ids", nargs="*", metavar="ID")
    again.add_argument("--all", action="store_true", help="all that failed (and match)")
    _choosing(again)
    command(_revoke).add_argument("ids", nargs="+", metavar="ID")
    for function in (_pause, _resume):
        command(function).add_argument("--queue", help="its name, where a file was given")
    purging = command(_purge)
    purging.add_argument("--state", action="append", choices=(*_ENDED, "ready", "scheduled"))
    purging.add_argument("--older", type=float, default=0.0, help="only after so many seconds")
    return parser


def _choosing(parser: argparse.ArgumentParser) -> None:
    for column in ("state", "task", "queue", "error"):
        parser.add_argument(f"--{column}", help=f"only jobs with this {column}")


# The commands


def _worker(options: argparse.Namespace) -> int:
    """Run jobs until SIGTERM or Ctrl-C; a second signal exits at once."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    queue = _queue(options.where)

    async def work() -> bool:
        stop = asyncio.Event()

        def ask() -> None:
            if stop.is_set():
                os._exit(1)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ask)
        async with queue.worker(options.concurrency, options.grace) as worker:
            names = ", ".join(sorted(queue.tasks))
            logging.info("working for %r on %s: %s", queue.name, queue.writer.path, names)
            await stop.wait()
        if worker.slots:
            worker.forgive()
        return not worker.slots

    if not asyncio.run(work()):
        os._exit(0)  # threads still run: their jobs are given back by the end of their owner
    return 0


def _status(options: argparse.Namespace) -> None:
    """Count the jobs of each queue, and the workers."""
    writer = _writer(options.where)
    workers = [about.split()[0] for about in living(writer.directory, "worker").values()]
    rows = []
    for name, about in sorted(writer.read(store.counts).items()):
        since = about["waiting_since"]
        waits = None if since is None else round(time.time() - since, 1)
        states = {state: about["jobs"].get(state, 0) for state in (*_WAITING, *_ENDED)}
        extra = {"workers": workers.count(name), "paused": about["paused"], "oldest_waits": waits}
        rows.append({"queue": name} | states | extra)
    _print(rows, options.json)
    if not workers:
        print("no worker is running on this file", file=sys.stderr)


_WAITING = ("scheduled", "ready", "held", "running")


def _list(options: argparse.Namespace) -> None:
    """List jobs, the newest first."""
    equal = _chosen(options)
    rows = _writer(options.where).read(lambda db: store.select(db, limit=options.limit, **equal))
    if options.json:
        return _print([dict(row) for row in rows], True)
    now = time.time()
    aged = [dict(row) | {"age": f"{now - row['created_at']:.0f} s"} for row in rows]
    _print([{column: row[column] for column in _COLUMNS} for row in aged], False)


def _show(options: argparse.Namespace) -> None:
    """Show all that is known of one job."""
    row = _writer(options.where).read(lambda db: store.find(db, options.id))
    if row is None:
        raise LookupError(f"no job {options.id!r} in {options.where}")
    about = dict(row) | {"celery_state": state_of(row)}
    if options.json:
        return _print([about], True)
    for name, value in about.items():
        if value is not None:
            print(f"{name + ':':12} {value}")


def _retry(options: argparse.Namespace) -> None:
    """Make failed or revoked jobs ready again: by id, or --all that match."""
    writer = _writer(options.where)
    ids = options.ids
    if options.all:
        equal = {"state": "failure"} | _chosen(options)
        ids = [row["id"] for row in writer.read(lambda db: store.select(db, limit=-1, **equal))]
    elif not ids:
        raise ValueError("name the jobs to retry, or say --all")
    chunks = [ids[at : at + 500] for at in range(0, len(ids), 500)]
    work = (writer.run(partial(store.retry, ids=chunk), True) for chunk in chunks)
    print(f"{_progress('retry', work, len(ids))} jobs are ready again")


def _revoke(options: argparse.Namespace) -> None:
    """Revoke jobs: waiting ones never run, running async ones are cancelled."""
    writer, now = _writer(options.where), time.time()
    done = sum(writer.run(partial(store.revoke, id=id, now=now)) for id in options.ids)
    print(f"{done} of {len(options.ids)} jobs revoked")


def _pause(options: argparse.Namespace) -> None:
    """Let workers claim nothing of a queue until it is resumed."""
    _writer(options.where).run(lambda db: store.pause(db, _name(options)))


def _resume(options: argparse.Namespace) -> None:
    """Let workers claim again."""
    _writer(options.where).run(lambda db: store.resume(db, _name(options)), True)


def _purge(options: argparse.Namespace) -> None:
    """Delete jobs: those that have ended, or those in the --state given."""
    writer = _writer(options.where)
    states = options.state or _ENDED
    before = time.time() - options.older
    counted = writer.read(store.counts).values()
    total = sum(about["jobs"].get(state, 0) for about in counted for state in states)

    def work() -> Iterable[int]:
        for state in states:
            while done := writer.run(partial(store.delete, state=state, before=before)):
                yield done

    print(f"{_progress('purge', work(), total)} jobs deleted")


# Where, and how it looks


def _queue(where: str) -> Queue:
    module, _, name = where.partition(":")
    if not name or "://" in where:
        raise ValueError(f"{where!r} should be module:queue, for instance demos.mail:queue")
    sys.path.insert(0, "")
    queue = getattr(importlib.import_module(module), name, None)
    if not isinstance(queue, Queue):
        raise LookupError(f"{where}: {module} has no Queue named {name!r}")
    return queue


def _writer(where: str) -> Writer:
    if ":" in where and "://" not in where:
        return _queue(where).writer
    path = broker_path(where) if "://" in where else Path(where)
    if not path.exists():
        raise LookupError(f"there is no file {path}")
    return Queue(broker=f"sqlite:///{path}").writer


def _name(options: argparse.Namespace) -> str:
    if options.queue is None:
        return _queue(options.where).name
    return str(options.queue)


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    columns = ("state", "task", "queue", "error")
    return {name: value for name in columns if (value := getattr(options, name)) is not None}


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
    elif rows:
        cells = [["" if v is None else str(v) for v in row.values()] for row in rows]
        with suppress(ImportError):
            if sys.stdout.isatty():
                return _draw(list(rows[0]), cells)
        widths = [max(map(len, column)) for column in zip(list(rows[0]), *cells, strict=True)]
        for line in (list(rows[0]), *cells):
            print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())
    else:
        print("no jobs")


def _draw(names: list[str], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*names, box=None, header_style="bold")
    for line in cells:
        table.add_row(*line)
    Console().print(table)


def _progress(what: str, work: Iterable[int], total: int) -> int:
    done = 0
    with suppress(ImportError):
        if sys.stdout.isatty():
            from rich.progress import Progress

            with Progress(transient=True) as progress:
                bar = progress.add_task(what, total=total)
                for count in work:
                    done += count
                    progress.update(bar, advance=count)
    return done + sum(work)
