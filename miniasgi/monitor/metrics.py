"""The figures in OpenMetrics text, for Prometheus and whoever reads it.

All are gauges, of what is in the file at this moment: rows are pruned after some time, so that
nothing here could be a counter that only grows.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from miniasgi.monitor.figures import Snapshot
from miniasgi.monitor.rows import ENDED
from miniasgi.responses import Response

_GAUGES = {
    "jobs": ("Jobs in the file.", ("queue", "state")),
    "oldest_ready_seconds": ("Age of the oldest job that waits to be claimed.", ("queue",)),
    "paused": ("1: workers claim nothing of this queue.", ("queue",)),
    "workers": ("Workers that live.", ("queue",)),
    "worker_slots": ("Jobs that these can run at one time.", ("queue",)),
    "recent_jobs": ("Jobs that ended in the last five minutes.", ("queue", "state")),
    "recent_duration_seconds": ("How long these took.", ("queue", "quantile")),
    "recent_failure_ratio": ("Failures among successes and failures of these.", ("queue",)),
    "worker_jobs": ("What each worker has, as it says.", ("worker", "state")),
    "broker_up": ("1: the broker answers.", ()),
    "longest_running_seconds": ("How long the job runs that has run longest.", ()),
}


Told = Iterator[tuple[str, float | None, *tuple[str, ...]]]


def _of_file(snapshot: Snapshot) -> Told:
    """Each gauge: its name, value and labels; no value, no gauge."""
    for queue in snapshot.queues:
        name, recent = queue.name, queue.recent
        for state, jobs in queue.jobs.items():
            yield "jobs", jobs, name, state
        yield "oldest_ready_seconds", queue.oldest_waits, name
        yield "paused", queue.paused, name
        yield "workers", queue.workers, name
        yield "worker_slots", queue.slots, name
        for state in ENDED:
            yield "recent_jobs", getattr(recent, state), name, state
        for quantile, value in (("0.5", recent.p50), ("0.95", recent.p95), ("0.99", recent.p99)):
            yield "recent_duration_seconds", value, name, quantile
        yield "recent_failure_ratio", recent.failure_rate, name


def _of_broker(snapshot: Any) -> Told:
    yield "broker_up", not snapshot.problem
    for queue in snapshot.queues:
        yield "jobs", queue["ready"], queue["name"], "ready"
        yield "workers", len(snapshot.workers), queue["name"]
        yield "worker_slots", sum(one["slots"] or 0 for one in snapshot.workers), queue["name"]
    for worker in snapshot.workers:
        for state in ("active", "reserved", "scheduled"):
            yield "worker_jobs", len(worker[state]), worker["name"], state


class _Figures(Collector):
    def __init__(self, snapshot: Any) -> None:
        self.snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        gauges = {
            name: GaugeMetricFamily(f"miniasgi_{name}", about, labels=labels)
            for name, (about, labels) in _GAUGES.items()
        }
        told = _of_file if isinstance(self.snapshot, Snapshot) else _of_broker
        longest = ("longest_running_seconds", self.snapshot.longest_running)
        for name, value, *labels in (*told(self.snapshot), longest):
            if value is not None:
                gauges[name].add_metric(labels, value)
        yield from gauges.values()
        alarms = StateSetMetricFamily("miniasgi_alarm", "What each alarm says.", labels=["alarm"])
        for alarm in self.snapshot.alarms:
            states = {state: alarm["state"] == state for state in ("ok", "pending", "firing")}
            alarms.add_metric([alarm["name"]], states)
        yield alarms


def metrics(snapshot: Any) -> Response:
    """``snapshot``: of a file, or of a broker."""
    registry = CollectorRegistry()
    registry.register(_Figures(snapshot))
    text = generate_latest(registry)  # type: ignore[no-untyped-call]
    return Response(text, media_type=CONTENT_TYPE_LATEST)
