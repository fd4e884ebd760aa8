"""The table of states is what the store does: each change of a row is recorded by a trigger while
jobs are moved about, and what was recorded is compared with the table, whole.
"""

import inspect
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from docs.states import GONE, MEANING, MOVES, NEW, arrows
from miniasgi.queue import store
from miniasgi.queue.store import Job, Outcome

Seen = set[tuple[str, str, str]]


class History:
    """A file, the store's functions called by name, and what the trigger saw."""

    def __init__(self, path: Path) -> None:
        self.seen: Seen = set()
        self.db = store.connect(path, "process")
        self.db.create_function("moved", 2, self._moved)
        ids = count()
        self.new = lambda state, **more: Job(
            str(next(ids)), "q", "f", "[[],{}]", state, 0, 0.0, **more
        )
        for event, before, after in (
            ("insert", "''", "new.state"),
            ("update of state", "old.state", "new.state"),
            ("delete", "old.state", f"'{GONE}'"),
        ):
            self.db.execute(
                f"create temp trigger on_{event[:6]} after {event} on miniasgi_job"
                f" begin select moved({before}, {after}); end"
            )

    def _moved(self, before: str, after: str) -> None:
        if before != after:
            self.seen.add((before, after, self.function))

    def do(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        self.function = function.__name__
        return function(self.db, *arguments, **more)

    def put(self, state: str, **more: Any) -> Job:
        job: Job = self.new(state, **more)
        self.do(store.insert, job)
        return job

    def held(self, **more: Any) -> Job:
        return self.put("held", owner="server", attempt=1, **more)

    def running(self, **more: Any) -> Job:
        self.put("ready", **more)
        (job,) = self.do(store.claim, "q", "worker", 1, 10.0)
        return job  # type: ignore[no-any-return]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "jobs.db")
    yield history
    history.db.close()


def test_the_table_has_every_move_that_the_store_makes_and_no_other(history: History) -> None:
    for state in ("success", "failure", "revoked", "ready", "scheduled"):
        outcome = Outcome(state, due_at=20.0 if state == "scheduled" else None)
        for begin in (history.running, history.held):
            history.do(store.settle, begin(), outcome, 10.0)
    for state in ("success", "failure", "revoked", "ready", "scheduled"):
        history.do(store.delete, "q", state, 99.0)
    _what_goes_by_itself(history)
    _what_is_asked_for(history)
    _what_is_moved(history)

    assert history.seen == {(move.before, move.after, move.function) for move in MOVES}


def _what_goes_by_itself(history: History) -> None:
    def die(most: int | None = None) -> None:
        history.do(store.recover, "q", lambda name: False, most, 10.0)

    history.put("scheduled", due_at=5.0)
    history.do(store.promote, "q", 10.0)
    history.do(store.claim, "q", "worker", 9, 10.0)
    die()
    history.do(store.claim, "q", "worker", 9, 10.0)
    die()
    history.running()
    die(1)
    history.do(store.revoke, history.running().id, 10.0)
    die()
    history.held()
    die()
    history.held(due_at=20.0)
    die()
    history.held()
    die(1)
    history.do(store.revoke, history.held().id, 10.0)
    die()
    history.put("ready", expires_at=5.0)
    history.do(store.claim, "q", "worker", 9, 10.0)
    history.do(store.mark_running, history.held())
    history.do(store.withdraw, [history.held()])


def _what_is_asked_for(history: History) -> None:
    for state in ("ready", "scheduled"):
        job = history.put(state)
        history.do(store.revoke, job.id, 10.0)
        history.do(store.retry, [job.id])
    failed = history.running()
    history.do(store.settle, failed, Outcome("failure"), 10.0)
    history.do(store.retry, [failed.id])
    for state in ("success", "failure", "revoked"):
        job = history.held()
        history.do(store.settle, job, Outcome(state), 10.0)
        history.do(store.forget, job.id)


def _what_is_moved(history: History) -> None:
    for _ in range(2):
        history.put("ready")
        history.put("scheduled", due_at=20.0)
        history.do(store.take_out, "mover-1", 99, 99.0)
        history.do(store.give_back_moved, lambda name: False, 10.0)
        history.do(store.take_out, "mover-1", 99, 99.0)
        history.do(store.delete_owned, "mover-1")


def test_every_state_has_a_meaning_and_every_function_is_the_stores() -> None:
    assert set(MEANING) == set(store.STATES)
    for move in MOVES:
        assert inspect.isfunction(getattr(store, move.function)), move


def test_the_picture_draws_each_move_that_nobody_asks_for() -> None:
    more = MOVES[0]._replace(before="ready", after="elsewhere")

    assert ("ready", "elsewhere") in arrows([*MOVES, more])
    assert (NEW, "ready") in arrows()
    assert ("failure", "ready") not in arrows()
