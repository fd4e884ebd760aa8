"""OpenTelemetry: a job is a span of its promise's trace, and without it nothing is imported."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from miniasgi.queue import JobFailed, Queue

Collecting = tuple[TracerProvider, InMemorySpanExporter]


@pytest.fixture
def collecting() -> Iterator[Collecting]:
    """A provider, and where its spans are found."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


@pytest.mark.anyio
async def test_each_attempt_is_a_span_linked_to_the_request_that_promised_it(
    queue: Queue, collecting: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, exporter = collecting
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)

    @queue.task(max_retries=1, retry_backoff=0.01)
    async def send() -> None:
        raise ValueError("no")

    with provider.get_tracer("test").start_as_current_span("POST /signup") as request:
        result = await send.adelay()
    async with queue.worker():
        with pytest.raises(JobFailed):
            await result.aget()

    spans = [span for span in exporter.get_finished_spans() if span.name == "process send"]
    assert [span.attributes["miniasgi.attempt"] for span in spans] == [1, 2]
    for span in spans:
        (link,) = span.links
        assert link.context.span_id == span.parent.span_id == request.get_span_context().span_id
        assert span.context.trace_id == request.get_span_context().trace_id
        assert [event.name for event in span.events] == ["exception"]


@pytest.mark.anyio
async def test_where_nobody_collects_spans_none_is_begun(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    monkeypatch.setattr(trace, "get_tracer", lambda name: pytest.fail("a span was begun"))

    @queue.task
    async def send() -> str:
        return "sent"

    result = await send.adelay()
    async with queue.worker():
        assert await result.aget() == "sent"


@pytest.mark.anyio
async def test_a_job_nobody_traced_is_a_span_where_somebody_collects_them(
    queue: Queue, collecting: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, exporter = collecting
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)

    @queue.task
    async def send() -> None: ...

    result = await send.adelay()
    async with queue.worker():
        await result.aget()

    (span,) = exporter.get_finished_spans()
    assert (span.name, span.parent, span.links) == ("process send", None, ())


def test_without_it_nothing_of_it_is_imported(tmp_path) -> None:
    code = (
        "import sys\nfrom miniasgi.queue import Queue\n"
        "queue = Queue('q', 'sqlite:///jobs.db')\n"
        "@queue.task\ndef send(): ...\n"
        "send.delay()\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )

    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)

    assert run.returncode == 0
