"""What can be done to jobs. Each action is asked for on a page of its own before it is done.

Rule of this file: an action is the queue's own function, in commits of some hundred jobs, so that
nobody waits long for the file; it returns how many jobs it was about.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from miniasgi.concurrency import run_in_threadpool
from miniasgi.exceptions import HTTPException
from miniasgi.monitor import rows
from miniasgi.monitor.groups import signature
from miniasgi.monitor.rows import ENDED, Rows
from miniasgi.queue import store
from miniasgi.queue.writer import Writer

Fields = Mapping[str, str]
Action = Callable[[Fields], Awaitable[int]]
_AT_ONCE = 500


class Actions:
    """The actions on one file, by name: ``await actions.do["retry"](fields)``."""

    def __init__(self, writer: Writer, rows: Rows) -> None:
        self._writer = writer
        self._rows = rows
        self.do: dict[str, Action] = {
            "retry": self.retry,
            "retry-group": self.retry_group,
            "revoke": self.revoke,
            "pause": self.pause,
            "resume": self.resume,
            "purge": self.purge,
        }

    async def retry(self, fields: Fields) -> int:
        """One job that failed or was revoked: ``id``."""
        return await self._retry([wanted(fields, "id")])

    async def retry_group(self, fields: Fields) -> int:
        """All failures of one ``task`` in one ``queue`` with one ``signature``."""
        queue, like = wanted(fields, "queue"), (wanted(fields, "task"), fields.get("signature", ""))
        ids = await run_in_threadpool(
            self._rows.read,
            lambda db: [
                row["id"]
                for row in rows.failed(db, queue)
                if (row["task"], signature(row["error"])) == like
            ],
        )
        return await self._retry(ids)

    async def _retry(self, ids: list[str]) -> int:
        parts = (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
        done = 0
        for part in parts:
            done += await self._writer.arun(partial(store.retry, ids=part), wakes=True)
        return done

    async def revoke(self, fields: Fields) -> int:
        """One job that has not ended: ``id``."""
        revoke = partial(store.revoke, id=wanted(fields, "id"), now=time.time())
        return int(await self._writer.arun(revoke))

    async def pause(self, fields: Fields) -> int:
        """Workers claim nothing more of ``queue``."""
        await self._writer.arun(partial(store.pause, queue=wanted(fields, "queue")))
        return 1

    async def resume(self, fields: Fields) -> int:
        await self._writer.arun(partial(store.resume, queue=wanted(fields, "queue")), wakes=True)
        return 1

    async def purge(self, fields: Fields) -> int:
        """Delete jobs of ``queue`` that ended in ``state``, ``older`` seconds ago and more."""
        queue, state = wanted(fields, "queue"), fields.get("state")
        if state not in ENDED:
            raise HTTPException(400, f"Only {', '.join(ENDED)} can be purged.")
        older = fields.get("older") or "0"
        if not older.isdecimal() or len(older) > 15:
            raise HTTPException(400, "older is a number of seconds.")
        before = time.time() - int(older)
        delete = partial(store.delete, state=state, before=before, queue=queue, limit=_AT_ONCE)
        done = 0
        while deleted := await self._writer.arun(delete):
            done += deleted
        return done


def wanted(fields: Fields, name: str) -> str:
    if not fields.get(name):
        raise HTTPException(400, f"This needs {name!r}.")
    return fields[name]
