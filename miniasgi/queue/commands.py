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
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from miniasgi.queue import store
from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.owners import living
from miniasgi.queue.tasks import Queue, broker_path
from miniasgi.queue.writer import Writer

_WAITING = ("scheduled", "ready", "held", "running")
_ENDED = ("success", "failure", "revoked")
_COLUMNS = ("id", "state", "task", "queue", "priority", "attempt", "error")


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        return 0
    except (ValueError, LookupError, ImportError, OSError, QueueUnavailable) as exc:
        said = exc.args[0] if isinstance(exc, LookupError) else exc
        print(f"miniasgi: {said}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("miniasgi", description="Run and look after a queue's jobs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add: dict[str, Any] = {}
    for command in (work, status, list_, show, retry, revoke, pause, resume, purge):
        name = "worker" if command is work else command.__name__.rstrip("_")
        added = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        added.add_argument("where", help="module:queue, or sqlite:///jobs.db, or jobs.db")
        added.set_defaults(command=command)
        add[name] = added.add_argument
    add["worker"]("--concurrency", type=int, default=8, help="jobs at one time (8)")
    add["worker"]("--grace", type=float, default=30.0, help="seconds to finish in (30)")
    add["show"]("id", metavar="ID")
    add["retry"]("ids", nargs="*", metavar="ID")
    add["retry"]("--all", action="store_true", help="all that failed (and match)")
    add["revoke"]("ids", nargs="+", metavar="ID")
    add["list"]("--limit", type=int, default=20, help="how many (20)")
    add["purge"]("--state", action="append", choices=(*_ENDED, "ready", "scheduled"))
    add["purge"]("--older", type=float, default=0.0, help="only after so many seconds")
    for name in ("status", "list", "show"):
        add[name]("--json", action="store_true", help="one JSON object a line")
    for name in ("list", "retry"):
        for column in ("state", "task", "error"):
            add[name](f"--{column}", help=f"only jobs with this {column}")
    for name in ("list", "retry", "pause", "resume"):
        add[name]("--queue", help="the queue's name, where a file was given")
    return parser


def work(options: argparse.Namespace) -> None:
    """Run jobs until SIGTERM or Ctrl-C; a second signal exits at once."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    queue = _queue(options.where)

    async def until_a_signal() -> bool:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(
                number, lambda: os._exit(1) if stop.is_set() else stop.set()
            )
        async with queue.worker(options.concurrency, options.grace) as worker:
            names = ", ".join(sorted(queue.tasks))
            logging.info("working for %r on %s: %s", queue.name, queue.writer.path, names)
            await stop.wait()
        if worker.slots:
            worker.forgive()
        return bool(worker.slots)

    if asyncio.run(until_a_signal()):
        os._exit(0)  # threads still run: the end of their owner gives their jobs back


def status(options: argparse.Namespace) -> None:
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


def list_(options: argparse.Namespace) -> None:
    """List jobs, the newest first."""
    select = partial(store.select, limit=options.limit, **_chosen(options))
    rows = _writer(options.where).read(select)
    columns = tuple(rows[0].keys()) if rows and options.json else _COLUMNS
    _print([{column: row[column] for column in columns} for row in rows], options.json)


def show(options: argparse.Namespace) -> None:
    """Show all that is known of one job."""
    row = _writer(options.where).read(lambda db: store.find(db, options.id))
    if row is None:
        raise LookupError(f"no job {options.id!r} in {options.where}")
    if options.json:
        _print([dict(row)], True)
    else:
        known = [(name, value) for name, value in dict(row).items() if value is not None]
        print("\n".join(f"{name + ':':12} {value}" for name, value in known))


def retry(options: argparse.Namespace) -> None:
    """Make failed or revoked jobs ready again: by id, or --all that match."""
    writer, ids = _writer(options.where), options.ids
    if options.all:
        equal = {"state": "failure"} | _chosen(options)
        ids = [row["id"] for row in writer.read(partial(store.select, limit=-1, **equal))]
    elif not ids:
        raise ValueError("name the jobs to retry, or say --all")
    some = (ids[at : at + 500] for at in range(0, len(ids), 500))
    done = (writer.run(partial(store.retry, ids=part), wakes=True) for part in some)
    print(f"{_progress(done, len(ids))} jobs are ready again")


def revoke(options: argparse.Namespace) -> None:
    """Revoke jobs: waiting ones never run, running async ones are cancelled."""
    writer, now = _writer(options.where), time.time()
    done = sum(writer.run(partial(store.revoke, id=id, now=now)) for id in options.ids)
    print(f"{done} of {len(options.ids)} jobs revoked")


def pause(options: argparse.Namespace) -> None:
    """Let workers claim nothing of a queue until it is resumed."""
    name = options.queue or _queue(options.where).name
    _writer(options.where).run(lambda db: store.pause(db, name))


def resume(options: argparse.Namespace) -> None:
    """Let workers claim again."""
    name = options.queue or _queue(options.where).name
    _writer(options.where).run(lambda db: store.resume(db, name), wakes=True)


def purge(options: argparse.Namespace) -> None:
    """Delete jobs: those that have ended, or those in the --state given."""
    writer, states = _writer(options.where), options.state or _ENDED
    before = time.time() - options.older
    counted = writer.read(store.counts).values()
    total = sum(about["jobs"].get(state, 0) for about in counted for state in states)
    deletes = [partial(store.delete, state=state, before=before) for state in states]
    done = (count for delete in deletes for count in iter(partial(writer.run, delete), 0))
    print(f"{_progress(done, total)} jobs deleted")


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


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    columns = ("state", "task", "queue", "error")
    return {name: value for name in columns if (value := getattr(options, name)) is not None}


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    lines = [list(rows[0])] if rows else [["no jobs"]]
    lines += [["" if v is None else str(v) for v in row.values()] for row in rows]
    with suppress(ImportError):
        if sys.stdout.isatty():
            from rich import box, console, table

            drawn = table.Table(*lines[0], box=box.SIMPLE_HEAD)
            for line in lines[1:]:
                drawn.add_row(*line)
            return console.Console().print(drawn)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def _progress(done: Iterable[int], total: int) -> int:
    """The sum of what was done, shown on a terminal while it grows."""
    with suppress(ImportError):
        if sys.stdout.isatty():
            from rich.progress import Progress

            with Progress(transient=True) as progress:
                bar, sofar = progress.add_task("", total=total), 0
                for count in done:
                    sofar += count
                    progress.update(bar, completed=sofar)
                return sofar
    return sum(done)
