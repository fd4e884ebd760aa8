"""All SQL of the monitor: what is read of the jobs' rows, at ten rows and at a million.

Rules of this file: its connections only read, and are the monitor's own, so that a look never
stands in a worker's way (opening the file may repair its log, under the file's lock); every query
walks an index: it counts within it, or looks at no more than `LOOKED_THROUGH` rows; nothing is
kept, all that a page shows is in the rows.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from miniasgi.queue.writer import Writer

T = TypeVar("T")
Row = sqlite3.Row
Database = sqlite3.Connection

ENDED = ("success", "failure", "revoked")
STATES = ("ready", "running", "held", "scheduled", *ENDED)
UNOWNED = ("ready", "scheduled", *ENDED)  #: such a job has no owner
#: A search looks at so many rows, and says where it stopped. It takes some milliseconds.
LOOKED_THROUGH = 5_000


class Rows:
    """A connection of the monitor's own to a queue's file; opened on first use."""

    def __init__(self, writer: Writer) -> None:
        self._file = writer.file
        self._mutex = threading.Lock()
        self._db: Database | None = None

    def read(self, work: Callable[[Database], T]) -> T:
        """Run ``work`` on one state of what is committed. Raises QueueUnavailable."""
        with self._mutex, self._file.explained():
            if self._db is None or self._db not in self._file.others:  # closed, or a parent's
                self._db = self._open()
            self._db.execute("begin")
            try:
                return work(self._db)
            finally:
                if self._db.in_transaction:
                    self._db.execute("rollback")

    def _open(self) -> Database:
        with self._file.turn():  # the first look at a log may repair it, which is writing
            self._file.open()  # makes the file, or brings its schema up to date
            uri = f"{self._file.path.absolute().as_uri()}?mode=ro"
            db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._file.others.append(db)
            db.row_factory = Row
            db.execute("select 1 from miniasgi_job limit 1").fetchone()
        return db


# Counting


def where(state: str) -> str:
    """The rows of one state, in the words of the index that has them; ``:queue`` is the queue's."""
    if state in ("running", "held"):
        return f"owner is not null and state = '{state}' and queue = :queue"
    if state in ENDED:
        return f"settled_at is not null and state = '{state}' and queue = :queue"
    return f"state = '{state}' and queue = :queue"


def queues(db: Database) -> set[str]:
    """The names of all queues with a job that nobody owns, without a look at every row."""
    found = set()
    for state in UNOWNED:
        next_one = where(state).replace("= :queue", "> :queue")
        sql = f"select min(queue) from miniasgi_job where {next_one}"
        name = ""
        while (name := db.execute(sql, {"queue": name}).fetchone()[0]) is not None:
            found.add(name)
    return found


def paused(db: Database) -> set[str]:
    return {row[0] for row in db.execute("select queue from miniasgi_paused").fetchall()}


def count(db: Database, queue: str, state: str) -> int:
    """How many; walks the index entry by entry."""
    sql = f"select count(*) from miniasgi_job where {where(state)}"
    number: int = db.execute(sql, {"queue": queue}).fetchone()[0]
    return number


def count_all(db: Database) -> int:
    """How many in all queues; adds up what each page of the index says it has."""
    number: int = db.execute("select count(*) from miniasgi_job").fetchone()[0]
    return number


def owned(db: Database) -> list[Row]:
    """What runs, the longest first, and what a response holds that is not yet sent."""
    sql = (
        "select id, queue, task, state, owner, attempt, coalesce(started_at, created_at) as since "
        "from miniasgi_job where owner is not null order by since"
    )
    return db.execute(sql).fetchall()


def waiting_since(db: Database, queue: str) -> float | None:
    """Since when the oldest ready job could run: looked for at the head of each priority."""
    ready = f"from miniasgi_job where {where('ready')}"
    oldest: list[float] = []
    priority = 1 << 62
    while len(oldest) < 100:  # somebody may use a clock as priority
        sql = f"select max(priority) {ready} and priority < :priority"
        found = db.execute(sql, {"queue": queue, "priority": priority}).fetchone()[0]
        if found is None:
            break
        priority = found
        sql = (
            f"select min(since) from (select max(created_at, coalesce(due_at, 0)) as since {ready} "
            "and priority = :priority order by seq limit 100)"
        )
        oldest.append(db.execute(sql, {"queue": queue, "priority": priority}).fetchone()[0])
    return min(oldest, default=None)


def settled(
    db: Database, queue: str, state: str, since: float, step: float
) -> list[tuple[int, float, int]]:
    """What has ended: (which step of time, seconds it took in three digits, how many)."""
    sql = (
        "select cast(settled_at / :step as integer),"
        "printf('%.2e', max(settled_at - coalesce(started_at, settled_at), 0)) as took, count(*) "
        f"from miniasgi_job where {where(state)} and settled_at >= :since group by 1, 2"
    )
    rows = db.execute(sql, {"queue": queue, "since": since, "step": step}).fetchall()
    return [(step, float(took), count) for step, took, count in rows]


def mark_of_failures(db: Database, queue: str) -> tuple[object, ...]:
    """How many of the newest failures are looked at; all is another when these are others."""
    sql = f"select count(*), sum(seq), total(settled_at) from ({_NEWEST_FAILURES})"
    values = {"queue": queue, "limit": LOOKED_THROUGH}
    return tuple(db.execute(sql, values).fetchone())


def newest_failures(db: Database, queue: str, limit: int) -> list[tuple[int, float]]:
    """Their ``seq, settled_at``, the newest first; from the index alone."""
    values = {"queue": queue, "limit": min(limit, LOOKED_THROUGH)}
    return [(row[0], row[1]) for row in db.execute(_NEWEST_FAILURES, values).fetchall()]


_NEWEST_FAILURES = (
    f"select seq, settled_at from miniasgi_job where {where('failure')} "
    "order by settled_at desc limit :limit"
)


def told(
    db: Database, failures: list[tuple[int, float]]
) -> dict[tuple[int, float], tuple[str, str, str]]:
    """What some of them say: ``task, error, id``."""
    sql = (
        "select seq, settled_at, task, coalesce(substr(error, 1, 400), ''), id from miniasgi_job "
        "where seq in (select value from json_each(?))"
    )
    found = db.execute(sql, (json.dumps([seq for seq, _ in failures]),)).fetchall()
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in found}


def failed(db: Database, queue: str) -> Iterator[Row]:
    """All failures' ``id, task, error``, some thousand in each step."""
    settled_at = 1e300
    sql = (
        f"select id, task, error, settled_at from miniasgi_job where {where('failure')} "
        "and settled_at < :before order by settled_at desc limit 5000"
    )
    while rows := db.execute(sql, {"queue": queue, "before": settled_at}).fetchall():
        yield from rows
        settled_at = rows[-1]["settled_at"]


# Listing


class Search(NamedTuple):
    """Which jobs. ``after`` is the ``next`` of the page before."""

    queue: str
    state: str = ""
    task: str = ""
    text: str = ""
    after: str = ""


class Page(NamedTuple):
    """Some jobs; where the next page begins; and after how many rows a search broke off, if so."""

    rows: list[Row]
    next: str | None
    looked_through: int | None


#: For each state: the column that orders it, what comes after (:key, :seq), and the order. The next
#: to be claimed, the next to be due, the last that ended; else the newest.
_ORDERS = {
    "ready": (
        "priority",
        "(priority < :key or (priority = :key and seq > :seq))",
        "priority desc, seq",
    ),
    "scheduled": ("due_at", "(due_at, seq) > (:key, :seq)", "due_at, seq"),
    **dict.fromkeys(
        ENDED, ("settled_at", "(settled_at, seq) < (:key, :seq)", "settled_at desc, seq desc")
    ),
}
_NEWEST = ("seq", "seq < :seq", "seq desc")
_COLUMNS = (
    "seq, id, queue, task, arguments, state, priority, created_at, due_at, attempt, retries,"
    "crashes, owner, started_at, settled_at, error"
)


def page(db: Database, search: Search, columns: tuple[str, ...], limit: int = 50) -> Page:
    """Jobs that match. ``columns``: where its text is looked for."""
    key, following, order = _ORDERS.get(search.state, _NEWEST)
    some = where(search.state) if search.state else "true"
    values: dict[str, Any] = {"queue": search.queue, "task": search.task}
    if search.after:
        begin, _, seq = search.after.partition("~")
        is_whole = begin.lstrip("-").isdecimal()  # a priority is: as a float it would be rounded
        values |= {"key": int(begin) if is_whole else float(begin), "seq": int(seq)}
        some = f"{some} and {following}"
    walked = f"from miniasgi_job where {some} order by {order}"
    matching = ["queue = :queue"]
    if search.task:
        matching.append("task = :task")
    if search.text:
        values["text"] = f"%{_escaped(search.text)}%"
        matching.append(f"({' or '.join(f'{c} like :text escape char(92)' for c in columns)})")
    rows = db.execute(
        f"select * from (select {_COLUMNS} {walked} limit {LOOKED_THROUGH}) "
        f"where {' and '.join(matching)} limit {limit + 1}",
        values,
    ).fetchall()
    if len(rows) > limit:
        return Page(rows[:limit], f"{rows[limit - 1][key]}~{rows[limit - 1]['seq']}", None)
    last = f"select {key}, seq {walked} limit 1 offset {LOOKED_THROUGH - 1}"
    stopped = db.execute(last, values).fetchone()
    return Page(
        rows, f"{stopped[0]}~{stopped[1]}" if stopped else None, LOOKED_THROUGH if stopped else None
    )


def _escaped(text: str) -> str:
    for character in "\\%_":
        text = text.replace(character, f"\\{character}")
    return text


def find(db: Database, id: str) -> Row | None:
    row: Row | None = db.execute("select * from miniasgi_job where id = ?", (id,)).fetchone()
    return row
