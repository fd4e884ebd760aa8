"""The figures in OpenMetrics text, for Prometheus and whoever reads it.

All are gauges, of what is in the file at this moment: rows are pruned after some time, so that
nothing here could be a counter that only grows.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from miniasgi.monitor.figures import Snapshot
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
    "longest_running_seconds": ("How long the job runs that has run longest.", ()),
}


class _Figures(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        gauges = {
            name: GaugeMetricFamily(f"miniasgi_{name}", about, labels=labels)
            for name, (about, labels) in _GAUGES.items()
        }

        def gauge(name: str, value: float | None, *labels: str) -> None:
            if value is not None:
                gauges[name].add_metric(labels, value)

        for queue in self.snapshot.queues:
            name, recent = queue.name, queue.recent
            for state, jobs in queue.jobs.items():
                gauge("jobs", jobs, name, state)
            gauge("oldest_ready_seconds", queue.oldest_waits, name)
            gauge("paused", queue.paused, name)
            gauge("workers", queue.workers, name)
            gauge("worker_slots", queue.slots, name)
            for state in ("success", "failure", "revoked"):
                gauge("recent_jobs", getattr(recent, state), name, state)
            for quantile, value in (
                ("0.5", recent.p50),
                ("0.95", recent.p95),
                ("0.99", recent.p99),
            ):
                gauge("recent_duration_seconds", value, name, quantile)
            gauge("recent_failure_ratio", recent.failure_rate, name)
        gauge("longest_running_seconds", self.snapshot.longest_running)
        yield from gauges.values()
        alarms = StateSetMetricFamily("miniasgi_alarm", "What each alarm says.", labels=["alarm"])
        for alarm in self.snapshot.alarms:
            states = {state: alarm["state"] == state for state in ("ok", "pending", "firing")}
            alarms.add_metric([alarm["name"]], states)
        yield alarms


def metrics(snapshot: Snapshot) -> Response:
    registry = CollectorRegistry()
    registry.register(_Figures(snapshot))
    text = generate_latest(registry)  # type: ignore[no-untyped-call]
    return Response(text, media_type=CONTENT_TYPE_LATEST)
