"""All SQL of the queue but the schema: the pragmas, and one function for each thing done to a job.

A *job* is a row. Its states, and what moves it from one to the next::

    scheduled --promote--> ready --claim--> running --settle--> success | failure | revoked
        ^                    ^                 |
        |                    +--- recover -----+   its owner is dead
        +--- settle: a retry, later -----------+
    held: accepted by a response and owned by its process; released to ready, or run as it is.

Rules of this file: functions take the connection first and neither begin nor commit (`writer`
does); a job that somebody owns is changed only by that owner in that attempt, or after the owner's
death; no cursor is read slowly, because an open snapshot would let the log grow.
Sources: sqlite.org/wal.html, sqlite.org/partialindex.html.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from miniasgi.queue.errors import QueueUnavailable
from miniasgi.queue.schema import MIGRATIONS

Connection = sqlite3.Connection
Row = sqlite3.Row
IsAlive = Callable[[str], bool]  #: is the owner of this name?

ENDED = ("success", "failure", "revoked")
STATES = ("scheduled", "ready", "held", "running", *ENDED)


@dataclass(slots=True, eq=False)
class Job:
    """A job: before its row exists, and in its owner's hands.

    A task with ``bind=True`` gets it as its first argument.
    """

    id: str
    queue: str
    task: str
    arguments: str
    state: str
    priority: int
    created_at: float
    due_at: float | None = None
    expires_at: float | None = None
    owner: str | None = None
    attempt: int = 0
    retries: int = 0
    unknown_at: float | None = None
    trace: str | None = None
    # No columns, or not yet:
    started_at: float = 0.0  # 0: its code has not begun here
    settled: bool = False


_COLUMNS = [field.name for field in fields(Job)][:-2]


class Outcome(NamedTuple):
    """How an attempt ended: the job's next state and what to write beside it."""

    state: str
    result: str | None = None
    error: str | None = None
    traceback: str | None = None
    due_at: float | None = None
    unknown_at: float | None = None
    retries: int = 0  # to add
    attempts: int = 0  # to take back: the task's code did not begin

    @property
    def brings_work(self) -> bool:
        return self.state in ("ready", "scheduled")


#: What becomes of a job that was to be started before now.
EXPIRED = Outcome("revoked", error="expired", attempts=1)


def connect(path: Path, durability: str | None = None, patience: float = 5.0) -> Connection:
    """Open for writing and bring the schema up to date; without a ``durability`` only for reading.

    "power" survives the loss of power, "process" only that of the process. The caller of the first
    holds the file's lock. A stranger's lock is waited for with ``patience``, in seconds.
    """
    db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    db.row_factory = Row
    if durability is None:
        db.execute("pragma query_only = 1")
        return db
    try:
        db.execute("pragma journal_mode = wal")
        db.execute(f"pragma synchronous = {'full' if durability == 'power' else 'normal'}")
        db.execute("pragma fullfsync = 1")  # macOS: fsync alone does not reach the platter
        # Only under our lock: SQLite's own would race with other processes (walresetbug).
        db.execute("pragma wal_autocheckpoint = 0")
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: Connection, path: Path) -> None:
    # A table of our own: user_version belongs to the application whose file this may be as well.
    db.execute("create table if not exists miniasgi_schema (version integer not null) strict")
    version = db.execute("select coalesce(max(version), 0) from miniasgi_schema").fetchone()[0]
    if version > (known := len(MIGRATIONS)):
        newer = f"{path} has schema {version} of a newer miniasgi, this one knows {known}"
        raise QueueUnavailable(f"{newer}: upgrade miniasgi here")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        db.executescript(f"begin; {script}; insert into miniasgi_schema values ({number}); commit;")


# The life of a job


@cache
def _insert(columns: tuple[str, ...]) -> str:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    return f"insert into miniasgi_job ({names}) values ({marks}) on conflict (id) do nothing"


def insert(db: Connection, job: Job) -> bool:
    """Write one job. False: the same job is there already (its id is an idempotency key).

    Raises ValueError if the id belongs to another task or to other arguments.
    """
    # Without what is null: to bind a None takes sqlite3 longer than any value, 0.5 us.
    known = {name: value for name in _COLUMNS if (value := getattr(job, name)) is not None}
    if db.execute(_insert(tuple(known)), tuple(known.values())).rowcount:
        return True
    there = find(db, job.id)
    if there is not None and tuple(there)[2:5] != (job.queue, job.task, job.arguments):
        taken = f"{there['task']}{there['arguments']} in queue {there['queue']!r}"
        raise ValueError(f"task_id {job.id!r} is taken by {taken}")
    return False


_CLAIM = f"""
    update miniasgi_job set state = 'running', owner = ?, attempt = attempt + 1, started_at = ?
    where seq in (
        select seq from miniasgi_job where queue = ? and state = 'ready'
        and not exists (select 1 from miniasgi_paused as p where p.queue = miniasgi_job.queue)
        order by priority desc, seq limit ?)
    returning {", ".join(_COLUMNS)}, seq
"""


def claim(db: Connection, queue: str, owner: str, limit: int, now: float) -> list[Job]:
    """Take up to ``limit`` ready jobs: the most urgent first, and of these the first that was
    committed; what has expired is revoked.
    """
    rows = db.execute(_CLAIM, (owner, now, queue, limit)).fetchall()
    rows.sort(key=lambda row: (-row["priority"], row["seq"]))  # RETURNING promises no order
    jobs = [Job(*row[:-1]) for row in rows]
    late = [job for job in jobs if job.expires_at is not None and job.expires_at <= now]
    for job in late:
        settle(db, job, EXPIRED, now)
    return [job for job in jobs if job not in late] if late else jobs


_SETTLE = """
    update miniasgi_job set state = case when revoking then 'revoked' else ? end,
    result = ?, error = ?, traceback = ?, due_at = ?, unknown_at = ?, retries = retries + ?,
    attempt = attempt - ?, owner = null, started_at = ?,
    settled_at = case when revoking then ? else ? end,
    past = coalesce(substr(coalesce(past, '') || ?, -65536), past)
    where id = ? and owner = ? and attempt = ?
"""


def settle(db: Connection, job: Job, outcome: Outcome, now: float) -> bool:
    """Write how the attempt ended. False: the job is not this owner's attempt any more."""
    ended = None if outcome.brings_work else now
    past = _past(job, outcome, now) if outcome.brings_work and job.started_at else None
    fence = (job.id, job.owner, job.attempt)
    row = (*outcome, job.started_at or None, now, ended, past, *fence)
    return job.settled or bool(db.execute(_SETTLE, row).rowcount)


def _past(job: Job, outcome: Outcome, now: float) -> str:
    """The line by which an attempt is remembered when another one follows."""
    error, trace = (outcome.error or "")[:2_000], (outcome.traceback or "")[-4_000:]
    return json.dumps([job.attempt, job.started_at, now, error, trace]) + "\n"


def mark_running(db: Connection, job: Job) -> None:
    """Say of a job that was born held that its code has begun."""
    db.execute(
        "update miniasgi_job set state = 'running', started_at = ? "
        "where id = ? and owner = ? and attempt = ?",
        (job.started_at, job.id, job.owner, job.attempt),
    )


def withdraw(db: Connection, jobs: Sequence[Job]) -> None:
    """Take back what was accepted a moment ago and has not begun."""
    sql = "delete from miniasgi_job where id = ? and owner = ? and state = 'held'"
    db.executemany(sql, [(job.id, job.owner) for job in jobs])


def promote(db: Connection, queue: str, now: float) -> None:
    """Make ready what has become due, a thousand at a time so that nobody waits long."""
    db.execute(
        "update miniasgi_job set state = 'ready' where seq in (select seq from miniasgi_job "
        "where queue = ? and state = 'scheduled' and due_at <= ? order by due_at limit 1000)",
        (queue, now),
    )


def owners(db: Connection, queue: str) -> list[str]:
    sql = "select distinct owner from miniasgi_job where owner is not null and queue = ?"
    return [row[0] for row in db.execute(sql, (queue,)).fetchall()]


_RECOVER = """
    update miniasgi_job set owner = null, crashes = crashes + 1,
    error = 'worker died, ' || (crashes + 1) || ' times so far',
    state = case when revoking then 'revoked' when crashes + 1 >= :max_crashes then 'failure'
        when crashes > 0 or due_at > :now then 'scheduled' else 'ready' end,
    settled_at = case when revoking or crashes + 1 >= :max_crashes then :now end,
    due_at = max(coalesce(due_at, 0),
        :now + case when crashes > 0 then min(60, 1 << min(crashes - 1, 6)) else 0 end),
    past = case when revoking or crashes + 1 >= :max_crashes then past
        else substr(coalesce(past, '') || json_array(attempt, started_at, :now, 'worker died', '')
        || char(10), -65536) end
    where owner = :owner and queue = :queue
"""


def recover(
    db: Connection, queue: str, is_alive: IsAlive, max_crashes: int | None, now: float
) -> int:
    """Give back the jobs of dead owners: at once, from the second crash on with a backoff.

    One that has crashed ``max_crashes`` times is a failure. A dead mover's did not run: no crash.
    """
    given_back = give_back_moved(db, is_alive, now)
    most = 1 << 62 if max_crashes is None else max_crashes
    limits = {"queue": queue, "max_crashes": most, "now": now}
    dead = [{"owner": owner, **limits} for owner in owners(db, queue) if not is_alive(owner)]
    return given_back + db.executemany(_RECOVER, dead).rowcount


def forgive(db: Connection, owner: str) -> None:
    """The owner is about to exit by its own will: the recovery will not count as a crash."""
    db.execute("update miniasgi_job set crashes = crashes - 1 where owner = ?", (owner,))


def delete(db: Connection, queue: str, state: str, before: float, limit: int = 2000) -> int:
    """Delete up to ``limit`` unowned jobs that are in ``state`` since before a moment."""
    since = "settled_at" if state in ENDED else "created_at"
    some = f"queue = ? and state = ? and owner is null and {since} <= ? limit ?"
    sql = f"delete from miniasgi_job where seq in (select seq from miniasgi_job where {some})"
    return db.execute(sql, (queue, state, before, limit)).rowcount


# Moving them elsewhere


def take_out(db: Connection, owner: str, limit: int, before: float) -> list[Job]:
    """Own up to ``limit`` jobs that wait and are due before a moment, in the order of commit."""
    waiting = "state in ('ready', 'scheduled') and coalesce(due_at, 0) < ? order by seq limit ?"
    some = f"select seq from miniasgi_job where {waiting}"
    sql = f"update miniasgi_job set state = 'held', owner = ? where seq in ({some}) returning "
    rows = db.execute(f"{sql} {', '.join(_COLUMNS)}, seq", (owner, before, limit)).fetchall()
    return [Job(*row[:-1]) for row in sorted(rows, key=lambda row: row["seq"])]


def delete_owned(db: Connection, owner: str) -> None:
    db.execute("delete from miniasgi_job where owner = ?", (owner,))


def give_back_moved(db: Connection, is_alive: IsAlive, now: float) -> int:
    """What a mover that is dead had taken out waits again, as it did before."""
    movers = db.execute("select distinct owner from miniasgi_job where owner glob 'mover-*'")
    dead = [(now, owner) for (owner,) in movers.fetchall() if not is_alive(owner)]
    state = "case when due_at > ? then 'scheduled' else 'ready' end"
    sql = f"update miniasgi_job set owner = null, state = {state} where owner = ?"
    return db.executemany(sql, dead).rowcount


# What people ask of it


def revoke(db: Connection, id: str, now: float) -> bool:
    """Waiting: it never runs. Owned: its owner is asked to cancel it. False: it has ended."""
    sql = (
        "update miniasgi_job set revoking = 1,"
        "state = case when owner is null then 'revoked' else state end,"
        "settled_at = case when owner is null then ? end where id = ? and settled_at is null"
    )
    return bool(db.execute(sql, (now, id)).rowcount)


_RETRY = """
    update miniasgi_job set state = 'ready', retries = 0, crashes = 0, revoking = 0,
    due_at = null, expires_at = null, settled_at = null, unknown_at = null,
    past = case when started_at is null then past else substr(coalesce(past, '') || json_array(
        attempt, started_at, settled_at, substr(coalesce(error, ''), 1, 2000),
        substr(coalesce(traceback, ''), -4000)) || char(10), -65536) end
    where id = ? and state in ('failure', 'revoked')
"""


def retry(db: Connection, ids: Sequence[str]) -> int:
    """Make failed or revoked jobs ready again: retries and crashes are counted from the start."""
    return db.executemany(_RETRY, [(id,) for id in ids]).rowcount


def forget(db: Connection, id: str) -> bool:
    sql = "delete from miniasgi_job where id = ? and settled_at is not null"
    return bool(db.execute(sql, (id,)).rowcount)


def pause(db: Connection, queue: str) -> None:
    """Nothing is claimed until `resume`. What runs goes on, and what a response has promised runs
    after it in its own process, if a slot is free there: it needs no claim.
    """
    db.execute("insert or ignore into miniasgi_paused values (?)", (queue,))


def resume(db: Connection, queue: str) -> bool:
    return bool(db.execute("delete from miniasgi_paused where queue = ?", (queue,)).rowcount)


# Looking


def outlook(db: Connection, queue: str) -> tuple[bool, float | None]:
    """Can a job be claimed, and when is the next one due?"""
    ready = "select 1 from miniasgi_job where queue = :queue and state = 'ready'"
    paused = "select 1 from miniasgi_paused where queue = :queue"
    due = "select min(due_at) from miniasgi_job where queue = :queue and state = 'scheduled'"
    sql = f"select exists ({ready}) and not exists ({paused}), ({due})"
    claimable, due_at = db.execute(sql, {"queue": queue}).fetchone()
    return bool(claimable), due_at


def revoking(db: Connection, owner: str) -> list[str]:
    sql = "select id from miniasgi_job where owner = ? and revoking"
    return [row[0] for row in db.execute(sql, (owner,)).fetchall()]


def find(db: Connection, id: str) -> Row | None:
    row: Row | None = db.execute("select * from miniasgi_job where id = ?", (id,)).fetchone()
    return row


def select(db: Connection, *, limit: int = 50, **equal: Any) -> list[Row]:
    """Jobs whose columns have these values, newest first. Of an error the first line counts."""
    first = {"error": "substr(error, 1, instr(error || char(10), char(10)) - 1)"}
    where = "".join(f" and {first.get(column, column)} = ?" for column in equal)
    sql = f"select * from miniasgi_job where true{where} order by seq desc limit ?"
    return db.execute(sql, (*equal.values(), limit)).fetchall()


def counts(db: Connection) -> list[Row]:
    """One row a queue: its jobs by state, since when the oldest ready one waits, is it paused."""
    sums = ", ".join(f"sum(state = '{state}') as {state}" for state in STATES)
    oldest = "min(case when state = 'ready' then created_at end) as waiting_since"
    paused = "queue in (select queue from miniasgi_paused) as paused"
    jobs = "select queue, state, created_at from miniasgi_job"
    both = f"{jobs} union all select queue, '', null from miniasgi_paused"
    sql = f"select queue, {sums}, {oldest}, {paused} from ({both}) group by queue order by queue"
    return db.execute(sql).fetchall()
