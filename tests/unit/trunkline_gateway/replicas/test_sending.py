"""A request on its way from replica to replica."""

import asyncio
import gc

import grpc
import pytest

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.replicas.sending import ANEW, EOF, RESENDS_MAX, Route, Sent, ask
from trunkline_gateway.replicas.wanting import wanted_of, wanted_texts
from trunkline_kit.errors import Conflict, DeadlineExceeded, InvalidRequest, Overloaded, Unavailable
from trunkline_policy.faults import FailureKind

REQUEST = pb.GenerateRequest(request_id="r", text="hello there", cache_salt=b"t")
TEXT, BEGUN = pb.GenerateResponse(text="hel"), pb.GenerateResponse(token_ids=[1])
LAST = pb.GenerateResponse(text="lo", finish_reason=pb.FINISH_REASON_STOP, usage=pb.Usage(prompt_tokens=3))
ABORTED = pb.GenerateResponse(finish_reason=pb.FINISH_REASON_ABORTED)
BROKEN = Unavailable("the engine has failed")


async def sent(place, pool, *, restarts=False, resumes=False, request=REQUEST):
    wanted = wanted_of(request, pool.tokens_per_byte)
    found = Route(pool, wanted, place.terms(), restarts=restarts, resumes=resumes)
    await found.opened()
    return Sent(found, request)


async def read_out(generation):
    steps = []
    while (step := await generation.read()) is not EOF:
        steps.append("anew" if step is ANEW else step.text)
    return steps


def first_and_other(place):
    """The one that was asked, and the one that was not."""
    first, other = sorted(place.workers.values(), key=lambda worker: -len(worker.asked))
    return first, other


async def breaks_after(place, *steps, error=BROKEN, **how):
    """One of two replicas says `steps` and fails; whichever is asked first."""
    pool = await place.opened("a", "b")
    for worker in place.workers.values():
        worker.answers = [*steps, error]
    generation = await sent(place, pool, **how)
    await place.until(lambda: any(worker.asked for worker in place.workers.values()))
    first_and_other(place)[1].answers = [TEXT, LAST]
    return pool, generation


@pytest.mark.parametrize("error", [BROKEN, ValueError("a bug")])
async def test_before_it_has_said_anything_another_one_takes_over(place, error):
    pool, generation = await breaks_after(place, BEGUN, error=error)
    assert await read_out(generation) == ["", "hel", "lo"], "a step without text gives nothing away"
    assert place.tried.resends == 1
    assert place.count("trunkline_gateway_replica_resends_total", cause="failed") == 1
    assert [replica.in_flight for replica in pool.replicas] == [0, 0]


async def test_after_it_has_said_something_it_ends_with_an_error(place):
    pool, generation = await breaks_after(place, TEXT)
    assert (await generation.read()).text == "hel"
    with pytest.raises(grpc.aio.AioRpcError):
        await generation.read()
    assert place.tried.resends == 0
    assert [replica.in_flight for replica in pool.replicas] == [0, 0]


async def test_whoever_wants_the_whole_answer_begins_again(place):
    _, generation = await breaks_after(place, TEXT, restarts=True)
    assert await read_out(generation) == ["hel", "anew", "hel", "lo"]


async def test_a_worker_that_gives_up_is_left_for_another_one(place):
    pool, generation = await breaks_after(place, ABORTED)
    assert await read_out(generation) == ["hel", "lo"]
    assert place.count("trunkline_gateway_replica_resends_total", cause="gave_up") == 1
    assert [replica.in_flight for replica in pool.replicas] == [0, 0]


async def test_a_full_queue_is_not_the_replicas_fault(place):
    pool, generation = await breaks_after(place, error=Overloaded("full", retry_after_s=9))
    assert await read_out(generation) == ["hel", "lo"]
    assert place.count("trunkline_gateway_replica_resends_total", cause="full") == 1
    assert all(replica.breaker.failures == 0 for replica in pool.replicas)


async def test_what_the_request_is_to_blame_for_is_said_at_once(place):
    _, generation = await breaks_after(place, error=InvalidRequest("no"))
    with pytest.raises(grpc.aio.AioRpcError, match="no"):
        await generation.read()
    assert place.tried.resends == 0


async def test_a_worker_that_cannot_be_in_time_may_be_outdone(place):
    _, generation = await breaks_after(place, error=DeadlineExceeded("too late"))
    assert await read_out(generation) == ["hel", "lo"]


async def test_it_is_not_sent_about_for_ever(place):
    pool = await place.opened(*"abcdef")
    for worker in place.workers.values():
        worker.answers = [BROKEN]
    with pytest.raises(grpc.aio.AioRpcError):
        await read_out(await sent(place, pool))
    assert sum(len(worker.asked) for worker in place.workers.values()) == RESENDS_MAX + 1
    assert place.tried.resends == RESENDS_MAX


async def test_without_time_nothing_is_sent_again(place):
    _, generation = await breaks_after(place)
    generation._route._until_s = 0.0
    with pytest.raises(grpc.aio.AioRpcError):
        await generation.read()
    assert place.tried.resends == 0


@pytest.mark.parametrize("way", ["cancelled", "dropped", "task"])
async def test_whoever_leaves_frees_the_slot(place, way):
    pool = await place.opened("a")
    place.workers["a"].answers = [TEXT, None]
    generation = await sent(place, pool)
    await generation.read()
    if way == "cancelled":
        generation.cancel()
        generation.cancel()
    elif way == "task":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await generation.read()
    del generation
    gc.collect()
    await place.until(lambda: place.workers["a"].cancelled == 1)
    assert pool.replicas[0].in_flight == 0


async def test_a_replica_that_falls_silent_does_not_keep_what_it_has_not_begun(place):
    pool = await place.opened("a", "b")
    for worker in place.workers.values():
        worker.hangs.clear()
    generation = await sent(place, pool)
    await place.until(lambda: any(worker.asked for worker in place.workers.values()))
    silent, other = first_and_other(place)
    other.hangs.set()
    reading = asyncio.ensure_future(generation.read())
    await asyncio.sleep(0)
    next(replica for replica in pool.replicas if replica.in_flight).lose(memory_too=False)
    assert (await reading).text == "hi"
    await place.until(lambda: silent.cancelled == 1)
    assert place.count("trunkline_gateway_replica_resends_total", cause="silent") == 1


@pytest.mark.parametrize("restarts", [False, True])
async def test_of_what_is_begun_only_whole_answers_leave_a_silent_replica(place, restarts):
    pool = await place.opened("a", "b")
    for worker in place.workers.values():
        worker.answers = [TEXT, None]
    generation = await sent(place, pool, restarts=restarts)
    assert (await generation.read()).text == "hel"
    silent, other = first_and_other(place)
    other.answers = [TEXT, LAST]
    next(replica for replica in pool.replicas if replica.in_flight).lose(memory_too=False)
    if restarts:
        assert await read_out(generation) == ["anew", "hel", "lo"]
        await place.until(lambda: silent.cancelled == 1)
    else:
        generation.cancel()
        assert not other.asked


async def test_the_last_one_falling_silent_is_an_honest_error(place):
    pool = await place.opened("a")
    place.workers["a"].hangs.clear()
    generation = await sent(place, pool)
    reading = asyncio.ensure_future(generation.read())
    await asyncio.sleep(0)
    pool.replicas[0].lose(memory_too=False)
    with pytest.raises(AttemptFailed, match="says nothing any more") as failed:
        await reading
    assert failed.value.kind is FailureKind.BROKEN


async def embedded(place, pool):
    wanted = wanted_texts(pb.EmbedRequest(texts=["x"]), 0.25)
    request = pb.EmbedRequest(texts=["x"])
    found = Route(pool, wanted, place.terms())
    return await ask(found, lambda stub, left_s: stub.Embed(request, timeout=left_s))


async def test_single_answers_go_on_as_well(place):
    pool = await place.opened("a", "b")
    for worker in place.workers.values():
        worker.hangs.clear()
    asking = asyncio.ensure_future(embedded(place, pool))
    await place.until(lambda: any(worker.asked for worker in place.workers.values()))
    first, other = first_and_other(place)
    first.answers, other.answers = [BROKEN], ["fine"]
    for worker in place.workers.values():
        worker.hangs.set()
    assert (await asking).prompt_tokens == 3
    assert (len(first.asked), len(other.asked), place.tried.resends) == (1, 1, 1)
    assert [replica.in_flight for replica in pool.replicas] == [0, 0]


@pytest.mark.parametrize("error", [BROKEN, InvalidRequest("no")])
async def test_single_answers_fail_with_what_the_last_one_said(place, error):
    pool = await place.opened("a")
    place.workers["a"].answers = [error]
    with pytest.raises(grpc.aio.AioRpcError, match=error.message):
        await embedded(place, pool)


async def test_a_single_answer_is_taken_from_a_silent_replica_too(place):
    pool = await place.opened("a")
    place.workers["a"].hangs.clear()
    asking = asyncio.ensure_future(embedded(place, pool))
    await place.until(lambda: place.workers["a"].asked)
    pool.replicas[0].lose(memory_too=False)
    with pytest.raises(AttemptFailed, match="says nothing any more"):
        await asking
    second = asyncio.ensure_future(embedded(place, pool))
    await place.until(lambda: len(place.workers["a"].asked) == 2)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert pool.replicas[0].in_flight == 0


FIRST = pb.GenerateResponse(token_ids=[1, 2], text="hel", revision="r1")
MORE = pb.GenerateResponse(token_ids=[3], text="l")
REST = pb.GenerateResponse(token_ids=[4], text="o", finish_reason=pb.FINISH_REASON_STOP, revision="r1")


async def goes_on(place, *steps, rest=(REST,), error=BROKEN, **how):
    """As `breaks_after`, and the other one says `rest`."""
    _, generation = await breaks_after(place, *steps, error=error, resumes=True, **how)
    first_and_other(place)[1].answers = list(rest)
    return generation


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("error", [BROKEN, ABORTED])
async def test_what_is_begun_goes_on_where_that_is_wanted(place, restarts, error):
    generation = await goes_on(place, FIRST, MORE, error=error, restarts=restarts)
    assert await read_out(generation) == ["hel", "l", "o"]
    (asked,) = [one for worker in place.workers.values() for one in worker.asked if one.HasField("begun")]
    assert (list(asked.begun.token_ids), asked.begun.revision, asked.text) == ([1, 2, 3], "r1", "hello there")
    assert place.count("trunkline_gateway_replica_resumes_total") == 1
    assert place.tried.resends == 1


async def test_it_may_go_on_more_than_once(place):
    pool = await place.opened("a", "b", "c")
    for worker, steps in zip(place.workers.values(), ([1], [2], [3]), strict=True):
        worker.answers = [pb.GenerateResponse(token_ids=steps, text="x", revision="r1"), BROKEN]
    generation = await sent(place, pool, resumes=True)
    steps = [await generation.read() for _ in range(3)]
    with pytest.raises(grpc.aio.AioRpcError):
        await generation.read()
    asked = sorted((list(worker.asked[0].begun.token_ids) for worker in place.workers.values()), key=len)
    said = [step.token_ids[0] for step in steps]
    assert asked == [[], said[:1], said[:2]]
    assert [replica.in_flight for replica in pool.replicas] == [0, 0, 0]


async def test_a_replica_of_another_model_is_passed_over(place):
    pool = await place.opened("a", "b", "c")
    for worker in place.workers.values():
        worker.answers = [FIRST, BROKEN]
    generation = await sent(place, pool, resumes=True)
    await generation.read()
    others = [worker for worker in place.workers.values() if not worker.asked]
    for worker in others:
        worker.answers = [Conflict("another model")]
    with pytest.raises(grpc.aio.AioRpcError, match="another model"):
        await generation.read()
    assert [len(worker.asked) for worker in others] == [1, 1]
    assert place.count("trunkline_gateway_replica_resends_total", cause="other_model") == 1
    assert sum(replica.breaker.failures for replica in pool.replicas) == 1, "only the one that broke has failed"


async def test_who_does_not_know_of_it_must_not_say_all_again(place):
    generation = await goes_on(place, FIRST, rest=(TEXT, LAST))
    await generation.read()
    with pytest.raises(AttemptFailed, match="could not go on"):
        await generation.read()


@pytest.mark.parametrize(
    ("request_", "steps"),
    [
        (pb.GenerateRequest(request_id="r", text="hello there", choices=2), [FIRST]),
        (REQUEST, [TEXT]),
        (REQUEST, [FIRST, REST]),
    ],
    ids=["several answers", "an unknown model", "at its end"],
)
async def test_what_cannot_go_on_ends_with_an_error(place, request_, steps):
    generation = await goes_on(place, *steps, request=request_)
    for _ in steps:
        await generation.read()
    with pytest.raises(grpc.aio.AioRpcError):
        await generation.read()
    assert place.tried.resends == 0
