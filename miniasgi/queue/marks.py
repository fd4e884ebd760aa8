"""What the Celery engine writes down beside Celery's own result: one Redis hash for each job.

Celery's backend knows nothing of a job before it starts, so an id that waits and one that nobody
gave look alike. The hash is written before the message is published and says ``published`` after.
It also counts the starts, holds a revocation until a worker comes, and names the one copy of the
message that may run.

Rule of this file: what a worker decides by is read and written in one round trip, atomically.
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

from miniasgi.queue.store import Job

_STATES = {"PENDING": "ready", "RECEIVED": "ready", "STARTED": "running", "RETRY": "scheduled"}
_TOLD = ("queue", "task", "arguments", "priority", "created_at", "due_at", "expires_at")
_ENDED = ("SUCCESS", "FAILURE", "REVOKED")
_WAITS = 30 * 86_400  # seconds that a message may wait for a worker, and its hash with it


class Skip(Exception):
    """This message is not to be run: the job has ended, or another copy of its message is the job.

    ``revoked`` says why the job is over, where that has still to be written.
    """

    def __init__(self, because: str, revoked: str = "") -> None:
        super().__init__(because)
        self.revoked = revoked


class Marks:
    """The hashes of one Celery backend: kept until the job begins, then ``ttl`` seconds."""

    def __init__(self, backend: Any, ttl: float) -> None:
        self._backend = backend
        self._ttl = int(ttl)

    def _keys(self, id: str) -> tuple[bytes, bytes]:
        key: bytes = self._backend.get_key_for_task(id)
        return key, key + b"-job"

    def _pipeline(self, *, transaction: bool = True) -> Any:
        return self._backend.client.pipeline(transaction=transaction)

    # By who publishes

    def announce(self, job: Job) -> bool:
        """Write down what is about to be published. False: this job has been published already.

        Raises ValueError if the id belongs to another task or to other arguments.
        """
        mine = {name: getattr(job, name) for name in _TOLD if getattr(job, name) is not None}
        mine |= {"starts": job.attempt, "retries": job.retries}
        # What began elsewhere, in a file that is moved, crashed nobody here.
        mine["given_back"] = max(0, job.attempt - job.retries)
        key = self._keys(job.id)[1]
        with self._pipeline() as pipe:
            pipe.ttl(key)
            for field, value in mine.items():
                pipe.hsetnx(key, field, value)
            pipe.expire(key, _WAITS + int(max(0.0, (job.due_at or 0.0) - job.created_at)))
            pipe.hgetall(key)
            seconds, *_, found = pipe.execute()
        there = _text(found)
        if "withdrawn" in there:  # promised in vain: it is promised anew
            self._backend.client.delete(*self._keys(job.id))
            return self.announce(job)
        if "message" in there:  # it has begun: to ask for it again keeps it no longer
            self._backend.client.expire(key, max(1, seconds))
        if [there[name] for name in ("queue", "task", "arguments")] != [
            job.queue,
            job.task,
            job.arguments,
        ]:
            taken = f"{there['task']}{there['arguments']} in queue {there['queue']!r}"
            raise ValueError(f"task_id {job.id!r} is taken by {taken}")
        return "published" not in there

    def published(self, id: str) -> None:
        self._backend.client.hset(self._keys(id)[1], "published", 1)

    # By the worker

    def begin(self, request: Any, arguments: str) -> tuple[Job, int]:
        """Count a start: the job, and how many starts before this one came to no end.

        Raises Skip.
        """
        now = time.time()
        result_key, key = self._keys(request.id)
        # Of two that were published, the first to begin is the job, and its retries after it. Each
        # retry is a message of its own; what a broker hands out again is the same one.
        message = request.get("miniasgi_copy") or ""
        with self._pipeline() as pipe:
            pipe.get(result_key)
            pipe.hsetnx(key, "message", message)
            pipe.hsetnx(key, f"try {message}", request.retries)
            pipe.hincrby(key, "starts", 1)
            pipe.hgetall(key)
            pipe.expire(key, self._ttl)
            raw, _, _, starts, found, _ = pipe.execute()
        there = _text(found)
        if raw and self._backend.decode_result(raw)["status"] in _ENDED:
            raise Skip("it has ended already")
        first = (there["message"], there[f"try {message}"])
        if first != (message, str(request.retries)):
            self._backend.client.hincrby(key, "starts", -1)
            raise Skip("another copy of its message runs")
        if "revoked" in there:
            raise Skip("it was revoked", revoked="revoked")
        if float(there.get("expires_at", "inf")) <= now:
            raise Skip("it has expired", revoked="expired")
        self._backend.client.hset(key, mapping={"started_at": now, "retries": request.retries})
        job = Job(
            request.id,
            there.get("queue", ""),
            request.task,
            arguments,
            "running",
            int(there.get("priority", 0)),
            float(there.get("created_at", now)),
            owner=request.hostname,
            attempt=starts,
            retries=request.retries,
        )
        given_back = int(there.get("given_back", 0))
        return job, starts - 1 - request.retries - given_back

    def give_back(self, id: str) -> None:
        """Its worker stops with the job in hand: a start without an end, and no crash."""
        self._backend.client.hincrby(self._keys(id)[1], "given_back", 1)

    def end(self, id: str, error: str | None, traceback: str | None = None) -> None:
        """The attempt has failed. If it is retried, that is another message, which may run."""
        key = self._keys(id)[1]
        message = (self._backend.client.hget(key, "message") or b"").decode()
        with self._pipeline() as pipe:
            pipe.hdel(key, f"try {message}")
            pipe.hset(key, mapping={"error": error or "", "traceback": traceback or ""})
            pipe.expire(key, self._ttl).execute()

    def is_revoked(self, id: str) -> bool:
        return bool(self._backend.client.hexists(self._keys(id)[1], "revoked"))

    # By who asks

    def row(self, id: str) -> dict[str, Any] | None:
        """The job as a row of the embedded queue would be; None for an id nobody was given."""
        result_key, key = self._keys(id)
        with self._pipeline() as pipe:
            raw, found = pipe.get(result_key).hgetall(key).execute()
        there = _text(found)
        if raw is None and "published" not in there:
            return None
        meta = self._backend.decode_result(raw) if raw else {"status": "PENDING", "result": None}
        status, result = str(meta["status"]), meta["result"]
        row: dict[str, Any] = dict.fromkeys((*_TOLD, "result", "error"))
        row |= {name: there.get(name) for name in ("queue", "task", "arguments")}
        for name in ("created_at", "due_at", "expires_at", "started_at"):
            row[name] = float(there[name]) if name in there else None
        row["id"], row["priority"] = id, int(there.get("priority", 0))
        row["attempt"] = int(there.get("starts", 0))
        row["retries"] = int(there.get("retries", 0)) + (status == "RETRY")
        row["state"] = _STATES.get(status, status.lower())
        row["traceback"] = there.get("traceback") or meta.get("traceback")
        row["settled_at"] = None
        if status in _ENDED:
            row["settled_at"] = _moment(meta.get("date_done"))
        if status in ("PENDING", "RETRY") and "revoked" in there:
            row |= {"state": "revoked", "error": "revoked", "settled_at": float(there["revoked"])}
        elif status == "SUCCESS":
            row["result"] = json.dumps(result)
        elif isinstance(result, BaseException):
            row["error"] = there.get("error") or str(result)
        return row

    def revoke(self, id: str) -> bool:
        row = self.row(id)
        if row is None or row["settled_at"] is not None:
            return False
        self._backend.client.hset(self._keys(id)[1], "revoked", time.time())
        return True

    def withdraw(self, id: str) -> None:
        """Revoke it, until it is promised again."""
        if self.revoke(id):
            self._backend.client.hset(self._keys(id)[1], "withdrawn", 1)

    def forget(self, id: str) -> bool:
        """A job that was revoked is known until its message is gone: or it would run."""
        has_result = self._backend.client.exists(self._keys(id)[0])
        row = self.row(id) if has_result else None
        return bool(row and row["settled_at"] and self._backend.client.delete(*self._keys(id)))

    def drop(self, id: str) -> None:
        """Its message has been deleted: a job that has not begun never was, and its id is free."""
        row = self.row(id)
        if row is not None and row["state"] in ("ready", "scheduled", "revoked"):
            self._backend.client.delete(*self._keys(id))


def _text(found: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}


def _moment(said: Any) -> float:
    if not isinstance(said, str):
        return time.time()
    moment = datetime.fromisoformat(said)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
