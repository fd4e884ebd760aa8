"""Alarms: a backlog, a job that runs too long, too many failures.

An alarm is *ok*, *pending* while its figure has been over the limit for a moment only, and *firing*
when that lasts; it is ok again once the figure is well below the limit. So one that hovers about
its limit does not ring at each turn. The state machine::

    ok --over--> pending --over, for `patience`--> firing --below `clear` of the limit--> ok
                 pending --not over--> ok
"""

import fcntl
import json
import logging
import os
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger("miniasgi.monitor")


class Change(NamedTuple):
    """What the hook is called with, once for each change of an alarm's state."""

    alarm: str  #: backlog, running, failure_rate
    state: str  #: ok, pending, firing
    before: str
    value: float
    limit: float


@dataclass(frozen=True)
class Alarms:
    """The limits; None: no such alarm.

    ``backlog`` counts ready jobs, ``running`` is seconds of the job that runs longest, and
    ``failure_rate`` the share of failures among what ended in the last five minutes. ``patience``
    is how many seconds a figure has to stay over its limit; ``clear`` the share of the limit under
    which it is well again. ``on_change`` is called with a `Change` in a thread of the monitor's.
    """

    backlog: float | None = 1_000
    running: float | None = 300.0
    failure_rate: float | None = 0.05
    patience: float = 10.0
    clear: float = 0.8
    on_change: Callable[[Change], object] | None = None

    def limits(self) -> dict[str, float]:
        named = {name: getattr(self, name) for name in ("backlog", "running", "failure_rate")}
        return {name: limit for name, limit in named.items() if limit is not None}


class Memory:
    """Each alarm's state and since when: in a file, so that a restart does not forget it.

    All processes read it. Who has its lock writes it and tells of changes: nobody else does.
    Without a path it is this object's alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._fd = -1
        self._states: dict[str, tuple[str, float]] = {}

    def read(self) -> dict[str, tuple[str, float]]:
        # Half written, or another's folder: what was known before stands.
        with suppress(OSError, ValueError, TypeError):
            if self._path is not None and self._path.exists():
                found = json.loads(self._path.read_bytes() or b"{}")
                self._states = {
                    name: (state, float(since)) for name, (state, since) in found.items()
                }
        return dict(self._states)

    def write(self, states: dict[str, tuple[str, float]]) -> bool:
        """False: another process does it, and tells."""
        if self._path is not None and not self._is_ours(self._path):
            return False
        self._states = states
        if self._fd >= 0:
            content = json.dumps(states).encode()
            os.pwrite(self._fd, content, 0)
            os.ftruncate(self._fd, len(content))
        return True

    def _is_ours(self, path: Path) -> bool:
        if self._fd < 0:
            path.parent.mkdir(exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            self._fd = fd
            weakref.finalize(self, os.close, fd)
        return True


class Watchman:
    """Judges alarms. ``call`` calls the hook: by default in a thread, in the changes' order."""

    def __init__(
        self,
        alarms: Alarms,
        memory: Memory | None = None,
        call: Callable[..., object] | None = None,
    ) -> None:
        self.alarms = alarms
        self._memory = memory or Memory()
        self._call = call or ThreadPoolExecutor(1, "miniasgi-alarms").submit

    def judge(self, measured: Mapping[str, float], now: float) -> list[dict[str, Any]]:
        """Each alarm's state now: ``name, state, value, limit, since``."""
        states = self._memory.read()
        told, changes = [], []
        for name, limit in self.alarms.limits().items():
            if (value := measured.get(name)) is None:  # nobody knows
                continue
            before, since = states.get(name, ("ok", 0.0))
            state = self._next(before, value, limit, now - since)
            if state != before:
                since = now
                changes.append(Change(name, state, before, value, limit))
            states[name] = (state, since)
            told.append(
                {"name": name, "state": state, "value": value, "limit": limit}
                | {"since": since or None}
            )
        if changes and self._memory.write(states):
            for change in changes:
                self._tell(change)
        return told

    def _next(self, state: str, value: float, limit: float, lasts: float) -> str:
        if state == "firing":
            return "ok" if value < limit * self.alarms.clear else "firing"
        if value <= limit:
            return "ok"
        if state == "ok" and self.alarms.patience > 0:
            return "pending"
        return "firing" if lasts >= self.alarms.patience else "pending"

    def _tell(self, change: Change) -> None:
        log = logger.warning if change.state == "firing" else logger.info
        log("alarm %s is %s: %g, the limit is %g", *change[:2], *change[3:])
        if self.alarms.on_change is not None:
            self._call(_ring, self.alarms.on_change, change)


def _ring(hook: Callable[[Change], object], change: Change) -> None:
    try:
        hook(change)
    except Exception:
        logger.exception("the alarms' on_change failed")
