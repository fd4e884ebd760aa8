"""Alarms: a backlog, a job that runs too long, too many failures.

An alarm is *ok*, *pending* while its figure has been over the limit for a moment only, and *firing*
when that lasts; it is ok again once the figure is well below the limit. So one that hovers about
its limit does not ring at each turn. The state machine::

    ok --over--> pending --over, for `patience`--> firing --below `clear` of the limit--> ok
                 pending --not over--> ok
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


class Watchman:
    """Remembers each alarm's state from one look to the next."""

    def __init__(self, alarms: Alarms) -> None:
        self.alarms = alarms
        self._states = {name: ("ok", 0.0) for name in alarms.limits()}  # and since when

    def judge(self, measured: Mapping[str, float], now: float) -> list[dict[str, Any]]:
        """Each alarm's state now: ``name, state, value, limit, since``."""
        told = []
        for name, limit in self.alarms.limits().items():
            value = measured[name]
            before, since = self._states[name]
            state = self._next(before, value, limit, now - since)
            if state != before:
                since = now
                self._states[name] = (state, since)
                self._tell(Change(name, state, before, value, limit))
            told.append(
                {
                    "name": name,
                    "state": state,
                    "value": value,
                    "limit": limit,
                    "since": since or None,
                }
            )
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
            try:
                self.alarms.on_change(change)
            except Exception:
                logger.exception("the alarms' on_change failed")
