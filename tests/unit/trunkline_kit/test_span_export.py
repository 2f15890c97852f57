"""Spans on their way to an OTLP receiver, over a real channel: batches, bounds, failures, the flush at the end."""

import asyncio
import threading
from functools import partial

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from trunkline_kit.errors import InvalidRequest, Unavailable
from trunkline_kit.rpc import Net, ServeOptions
from trunkline_kit.span_export import ExportOptions
from trunkline_kit.tracing import open_tracing

QUICK = ExportOptions(interval_s=0.01, timeout_s=0.5, batch_spans=4, queue_spans=10)


class Receiver(TraceServiceServicer):
    """An OTLP receiver that remembers."""

    def __init__(self):
        self.batches, self.failures, self.received = [], [], asyncio.Condition()

    async def Export(self, request, context):
        if self.failures:
            raise self.failures.pop(0)
        async with self.received:
            self.batches.append(request)
            self.received.notify_all()
        return ExportTraceServiceResponse()

    @property
    def names(self):
        return [
            span.name
            for batch in self.batches
            for resource in batch.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    async def wait_for(self, count):
        async with self.received:
            await self.received.wait_for(lambda: len(self.names) >= count)


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture(params=["local:sre", "127.0.0.1:0"])
async def target(request, net, receiver):
    register = partial(add_TraceServiceServicer_to_server, receiver)
    async with net.serve(request.param, register, options=ServeOptions(grace_s=0.0)) as target:
        yield target


async def test_spans_arrive_with_their_service(net, receiver, target):
    async with open_tracing("gateway", net, target=target, options=QUICK) as tracing:
        with tracing.span("one", attributes={"k": "v"}):
            pass
        await receiver.wait_for(1)
    resource = receiver.batches[0].resource_spans[0].resource
    assert [(item.key, item.value.string_value) for item in resource.attributes] == [("service.name", "gateway")]


async def test_what_is_left_is_flushed_in_batches(net, receiver, target):
    async with open_tracing("gateway", net, target=target, options=QUICK) as tracing:
        for number in range(10):
            with tracing.span(f"span-{number}"):
                pass
    assert receiver.names == [f"span-{number}" for number in range(10)]
    assert len(receiver.batches) >= 3


async def test_a_full_queue_drops_and_counts(net, receiver, target):
    async with open_tracing("gateway", net, target=target, options=QUICK) as tracing:
        for _ in range(25):
            with tracing.span("one"):
                pass
        queue = tracing.exporter
    assert len(receiver.names) == 10
    assert (queue.dropped_spans, queue.sent_spans) == (15, 10)


async def test_a_receiver_that_is_away_is_tried_again(net, receiver, target):
    receiver.failures = [Unavailable("not yet"), Unavailable("not yet")]
    async with open_tracing("gateway", net, target=target, options=QUICK) as tracing:
        with tracing.span("late"):
            pass
        await receiver.wait_for(1)
    assert receiver.names == ["late"]


async def test_what_a_receiver_refuses_is_dropped_not_repeated(net, receiver, target):
    receiver.failures = [InvalidRequest("no")]
    async with open_tracing("gateway", net, target=target, options=QUICK) as tracing:
        with tracing.span("refused"):
            pass
    assert receiver.names == []
    assert tracing.exporter.dropped_spans == 1


async def test_closing_does_not_wait_for_a_receiver_that_is_gone(net):
    async with open_tracing("gateway", net, target="local:nobody", options=QUICK) as tracing:
        with tracing.span("lost"):
            pass
    assert tracing.exporter.dropped_spans == 1


async def test_spans_that_end_on_another_thread(net, receiver, target):
    async with open_tracing("worker", net, target=target, options=QUICK) as tracing:

        def work():
            with tracing.span("of a thread"):
                pass

        thread = threading.Thread(target=work)
        thread.start()
        await receiver.wait_for(1)
        thread.join()
    assert receiver.names == ["of a thread"]


async def test_nothing_is_sampled_at_ratio_zero(net, receiver, target):
    async with open_tracing("gateway", net, target=target, sample_ratio=0.0, options=QUICK) as tracing:
        with tracing.span("unsampled"):
            pass
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with tracing.span("the caller decided", parent=parent):
            pass
    assert receiver.names == ["the caller decided"]


async def test_without_a_target_there_are_no_spans(net):
    async with open_tracing("gateway", net, target=None) as tracing:
        assert tracing.tracer is None
        assert tracing.exporter is None
