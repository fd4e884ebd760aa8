"""OpenTelemetry, where the application uses it: a job's attempt is a span of its promise's trace.

The context travels in the job's row as a W3C ``traceparent``. Rule of this file: nothing is
imported that the application has not imported; where nobody collects spans a job costs a look or
two. Source: OpenTelemetry semantic conventions, "Messaging spans".
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from miniasgi.queue.store import Job


def traceparent() -> str | None:
    """The span that is current here, as one word; None if there is none."""
    if (api := sys.modules.get("opentelemetry.trace")) is None:
        return None
    here = api.get_current_span().get_span_context()
    if not here.is_valid:
        return None
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"


def span(job: Job) -> AbstractContextManager[Any]:
    """The span of one attempt, while its code runs: child of, and linked to, the promise's span."""
    if (api := sys.modules.get("opentelemetry.trace")) is None:
        return nullcontext()
    # Some library may have imported it (redis does), and nobody said where spans go: 40 us saved.
    if job.trace is None and isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        return nullcontext()
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # An empty one to begin with: the span that is current here may be of another job.
    context = TraceContextTextMapPropagator().extract({"traceparent": job.trace or ""}, Context())
    promised = api.get_current_span(context).get_span_context()
    return api.get_tracer("miniasgi.queue").start_as_current_span(  # type: ignore[no-any-return]
        f"process {job.task}",
        context=context,
        kind=api.SpanKind.CONSUMER,
        links=[api.Link(promised)] if promised.is_valid else [],
        attributes={
            "messaging.system": "miniasgi",
            "messaging.operation.type": "process",
            "messaging.destination.name": job.queue,
            "messaging.message.id": job.id,
            "miniasgi.task": job.task,
            "miniasgi.attempt": job.attempt,
        },
    )
