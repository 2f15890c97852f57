"""One body, every transport: what a call carries, over a socket as inside the process."""

import asyncio
import contextvars
from functools import partial

import grpc
import pytest
from grpc import StatusCode
from opentelemetry import trace

from trunkline.testkit.v1 import echo_service_pb2 as pb
from trunkline.testkit.v1.echo_service_pb2_grpc import EchoServiceStub, add_EchoServiceServicer_to_server
from trunkline_kit.errors import DeadlineExceeded, RateLimited, Unsupported
from trunkline_kit.rpc import ServeOptions, from_rpc_error
from trunkline_kit.tracing import SpanScope
from trunkline_testkit.echo import RETRY_AFTER_S, EchoServicer
from trunkline_testkit.served_echo import TIMEOUT_S, refused

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_unary(stub):
    call = stub.Echo(pb.EchoRequest(text="grüß", payload=b"\x00\x01"), timeout=TIMEOUT_S)
    answer = await call
    assert (answer.text, answer.payload) == ("grüß", b"\x00\x01")
    assert await call.code() is StatusCode.OK
    assert call.done()
    assert not call.cancelled()


async def test_messages_are_copies(stub, service):
    request = pb.EchoRequest(text="sent")
    answer = await stub.Echo(request, timeout=TIMEOUT_S)
    request.text = "changed by the client"
    service.servicer.last_answer.text = "changed by the server"
    assert answer.text == "sent"


async def test_server_stream_by_iteration(stub):
    call = stub.Repeat(pb.RepeatRequest(text="x", count=200), timeout=TIMEOUT_S)
    assert [message.index async for message in call] == list(range(200))
    assert await call.code() is StatusCode.OK


async def test_server_stream_by_reading(stub):
    call = stub.Repeat(pb.RepeatRequest(count=2), timeout=TIMEOUT_S)
    assert [(await call.read()).index, (await call.read()).index] == [0, 1]
    assert await call.read() is grpc.aio.EOF


async def test_server_stream_that_fails_at_its_end(stub):
    call = stub.Repeat(pb.RepeatRequest(count=3, fail=True), timeout=TIMEOUT_S)
    assert [(await call.read()).index for _ in range(3)] == [0, 1, 2]
    assert isinstance(from_rpc_error(await refused(call.read())), RateLimited)


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_client_stream_from_an_iterator(stub, asynchronous):
    requests = [pb.JoinRequest(text=letter) for letter in "abc" * 40]

    async def generate():
        for request in requests:
            yield request

    answer = await stub.Join(generate() if asynchronous else iter(requests), timeout=TIMEOUT_S)
    assert (answer.text, answer.count) == ("abc" * 40, 120)


async def test_client_stream_by_writing(stub):
    call = stub.Join(timeout=TIMEOUT_S)
    for letter in "xyz":
        await call.write(pb.JoinRequest(text=letter))
    await call.done_writing()
    assert (await call).text == "xyz"


async def test_bidirectional_by_reading_and_writing(stub):
    call = stub.Chat(timeout=TIMEOUT_S)
    for word in ("one", "two"):
        await call.write(pb.ChatRequest(text=word))
        assert (await call.read()).text == word.upper()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is StatusCode.OK


async def test_bidirectional_from_an_iterator(stub):
    async def generate():
        for number in range(100):
            yield pb.ChatRequest(text=f"n{number}")

    answers = [message.text async for message in stub.Chat(generate(), timeout=TIMEOUT_S)]
    assert answers == [f"N{number}" for number in range(100)]


async def test_a_request_iterator_that_raises_cancels_the_call(stub, service):
    async def generate():
        yield pb.ChatRequest(text="one")
        raise ValueError("boom")

    call = stub.Chat(generate(), timeout=TIMEOUT_S)
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        async for _ in call:
            pass
    assert await call.code() is StatusCode.CANCELLED
    await service.servicer.ended.wait()


async def test_a_call_without_a_timeout_is_refused(stub):
    with pytest.raises(TypeError, match=r"Echo: pass timeout="):
        stub.Echo(pb.EchoRequest())


async def test_the_server_sees_the_deadline(stub):
    answer = await stub.Echo(pb.EchoRequest(), timeout=7.0)
    assert 5.0 < answer.time_remaining_s < 7.1


async def test_deadline_exceeded_cancels_the_handler(stub, service):
    error = await refused(stub.Hang(pb.HangRequest(), timeout=0.1))
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    assert isinstance(from_rpc_error(error), DeadlineExceeded)
    await service.servicer.cancelled.wait()


async def test_deadline_exceeded_in_a_stream(stub, service):
    call = stub.Chat(timeout=0.1)
    error = await refused(call.read())
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    await service.servicer.ended.wait()


async def test_cancelling_a_unary_call_cancels_its_handler(stub, service):
    call = stub.Hang(pb.HangRequest(), timeout=TIMEOUT_S)
    await service.servicer.entered.wait()
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is StatusCode.CANCELLED
    await service.servicer.cancelled.wait()
    assert not call.cancel()


async def test_cancelling_the_waiting_task_cancels_the_handler(stub, service):
    async def ask():
        await stub.Hang(pb.HangRequest(), timeout=TIMEOUT_S)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask())
        await service.servicer.entered.wait()
        task.cancel()
    await service.servicer.cancelled.wait()


async def test_cancelling_a_stream_cancels_its_handler(stub, service):
    call = stub.Repeat(pb.RepeatRequest(), timeout=TIMEOUT_S)
    async for message in call:
        if message.index == 3:
            break
    call.cancel()
    await service.servicer.cancelled.wait()
    assert call.cancelled()


async def test_dropping_a_stream_cancels_its_handler(stub, service):
    async def leave_early():
        async for message in stub.Repeat(pb.RepeatRequest(), timeout=TIMEOUT_S):
            if message.index == 3:
                return

    await leave_early()
    async with asyncio.timeout(TIMEOUT_S / 2):
        await service.servicer.cancelled.wait()


async def test_cancelling_a_bidirectional_call(stub, service):
    call = stub.Chat(timeout=TIMEOUT_S)
    await call.write(pb.ChatRequest(text="one"))
    await call.read()
    call.cancel()
    await service.servicer.ended.wait()


async def test_abort_with_details_and_trailing_metadata(stub):
    call = stub.Fail(pb.FailRequest(kind=pb.FAIL_KIND_ABORT, details="nö: not yet"), timeout=TIMEOUT_S)
    error = await refused(call)
    assert (error.code(), error.details()) == (StatusCode.FAILED_PRECONDITION, "nö: not yet")
    trailing = dict(error.trailing_metadata())
    assert (trailing["x-why"], trailing["x-raw-bin"]) == ("asked", b"\x01\x02")
    assert dict(await call.trailing_metadata()) == trailing
    assert await call.details() == "nö: not yet"


async def test_our_errors_arrive_as_what_they_were(stub):
    error = await refused(
        stub.Fail(pb.FailRequest(kind=pb.FAIL_KIND_TRUNKLINE_ERROR, details="slow down"), timeout=TIMEOUT_S)
    )
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    ours = from_rpc_error(error)
    assert type(ours) is RateLimited
    assert (ours.message, ours.param, ours.retry_after_s) == ("slow down", "model", RETRY_AFTER_S)


async def test_an_unforeseen_error_does_not_leak(stub, caplog):
    error = await refused(stub.Fail(pb.FailRequest(kind=pb.FAIL_KIND_BUG, details="hunter2"), timeout=TIMEOUT_S))
    assert error.code() is StatusCode.INTERNAL
    assert error.details() == "internal error; the server's log has the cause"
    assert "hunter2" in caplog.text


async def test_set_code_without_raising(stub):
    error = await refused(stub.Fail(pb.FailRequest(details="past the end"), timeout=TIMEOUT_S))
    assert (error.code(), error.details()) == (StatusCode.OUT_OF_RANGE, "past the end")


async def test_metadata_both_ways(stub, service):
    sent = (("x-initial", "i"), ("x-trailing", "t"), ("x-twice", "1"), ("x-twice", "2"), ("x-raw-bin", b"\xfe"))
    call = stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S, metadata=sent)
    initial = dict(await call.initial_metadata())
    assert (initial["x-initial"], initial["x-raw-bin"]) == ("i", b"\x00\xff")
    await call
    assert dict(await call.trailing_metadata())["x-trailing"] == "t"
    received = [item for item in service.servicer.metadata if item[0].startswith("x-")]
    assert sorted(received) == sorted(sent)


@pytest.mark.parametrize("bad", [("X-Upper", "v"), ("x-value", "ü"), ("x-bytes", b"v"), ("x-text-bin", "v"), ("", "v")])
async def test_metadata_that_cannot_travel_is_refused(stub, bad):
    with pytest.raises(ValueError, match="metadata"):
        stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S, metadata=(bad,))


async def test_unknown_method(channel):
    ask = channel.unary_unary("/trunkline.testkit.v1.EchoService/Nothing", bytes, bytes)
    error = await refused(ask(b"", timeout=TIMEOUT_S))
    assert error.code() is StatusCode.UNIMPLEMENTED
    assert isinstance(from_rpc_error(error), Unsupported)


async def test_a_method_the_servicer_lacks(service, listen):
    class Empty(EchoServicer.__mro__[1]):
        """Generated defaults only."""

    async with (
        service.net.serve(
            listen.replace("echo", "empty").replace(".sock", "-2.sock"),
            partial(add_EchoServiceServicer_to_server, Empty()),
            options=ServeOptions(grace_s=0.0),
        ) as target,
        service.net.channel(target) as channel,
    ):
        error = await refused(EchoServiceStub(channel).Echo(pb.EchoRequest(), timeout=TIMEOUT_S))
        assert error.code() is StatusCode.UNIMPLEMENTED


async def test_trace_parent_travels_in_metadata(stub, service):
    answer = await stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S, metadata=(("traceparent", TRACEPARENT),))
    assert answer.traceparent == TRACEPARENT
    assert service.servicer.span.is_remote


async def test_the_current_span_is_the_parent(stub):
    span = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1)))
    with SpanScope(span, ends=False):
        answer = await stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S)
    assert answer.traceparent == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert (await stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S)).traceparent == ""


async def test_a_broken_trace_parent_starts_a_new_trace(stub):
    answer = await stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S, metadata=(("traceparent", "00-zz"),))
    assert answer.traceparent == ""


async def test_handlers_do_not_inherit_context_variables(service, stub):
    secret = contextvars.ContextVar("secret", default="default")
    seen = []

    async def peek(request, context):
        seen.append(secret.get())
        return pb.EchoResponse()

    service.servicer.release.set()
    secret.set("of the caller")
    handler = grpc.unary_unary_rpc_method_handler(
        peek, request_deserializer=pb.EchoRequest.FromString, response_serializer=pb.EchoResponse.SerializeToString
    )
    register = partial(_add_peek, handler)
    context = contextvars.Context()
    async with asyncio.TaskGroup() as group:
        await group.create_task(_ask_peek(service, register, secret), context=context)
    assert seen == ["default"]


def _add_peek(handler, server):
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peek.Peek", {"Peek": handler}),))


async def _ask_peek(service, register, secret):
    listen = {"l": "local:peek", "u": service.listen + "2", "1": "127.0.0.1:0"}[service.listen[0]]
    async with service.net.serve(listen, register, options=ServeOptions(grace_s=0.0)) as target:
        secret.set("of the caller")
        async with service.net.channel(target) as channel:
            ask = channel.unary_unary("/peek.Peek/Peek", pb.EchoRequest.SerializeToString, pb.EchoResponse.FromString)
            await ask(pb.EchoRequest(), timeout=TIMEOUT_S)


async def test_done_callbacks(stub):
    done = asyncio.Event()
    call = stub.Echo(pb.EchoRequest(), timeout=TIMEOUT_S)
    call.add_done_callback(lambda _: done.set())
    await call
    await done.wait()
