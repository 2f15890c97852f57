import pytest

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_kit.errors import ContextTooLong, InvalidRequest, Unsupported
from trunkline_worker.generation import Alternative, Delta, FinishReason, SamplingOptions, Timing, TokenLogprobs, Usage
from trunkline_worker.load import EngineLoad, TokenRate
from trunkline_worker.runtimes.fake import ByteCodec
from trunkline_worker.wire import Intake, generate_response, generation_request, load_response, says_more

CODEC = ByteCodec()
INTAKE = Intake(codec=CODEC, context_tokens=100)


def decoded(**fields):
    return generation_request(pb.GenerateRequest(request_id="a", **fields), INTAKE)


def test_defaults_are_the_apis():
    request = decoded(text="x")
    assert request.sampling == SamplingOptions()
    assert (request.max_tokens, request.stop, request.top_logprobs, request.ignore_eos) == (0, (), None, False)


def test_what_a_request_leaves_open_is_the_models():
    unset = SamplingOptions(temperature=0.2, top_p=0.9)
    intake = Intake(codec=CODEC, context_tokens=100, unset=unset)
    plain = pb.GenerateRequest(request_id="a", text="x")
    assert generation_request(plain, intake).sampling == unset
    plain.sampling.temperature = 0
    assert generation_request(plain, intake).sampling == SamplingOptions(temperature=0, top_p=0.9)


def test_every_option_arrives():
    sampling = pb.SamplingOptions(
        temperature=0,
        top_p=0.5,
        top_k=3,
        seed=0,
        min_p=0.25,
        frequency_penalty=1,
        presence_penalty=-1,
        repetition_penalty=1.5,
        logit_bias={5: 2.0},
    )
    request = decoded(text="x", sampling=sampling, max_tokens=4, stop=["s"], logprobs=True, priority=2, ignore_eos=True)
    assert request.sampling == SamplingOptions(
        temperature=0,
        top_p=0.5,
        top_k=3,
        seed=0,
        min_p=0.25,
        frequency_penalty=1,
        presence_penalty=-1,
        repetition_penalty=1.5,
        logit_bias={5: 2.0},
    )
    assert (request.max_tokens, request.stop, request.top_logprobs) == (4, ("s",), 0)
    assert (request.priority, request.ignore_eos) == (2, True)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, InvalidRequest),
        ({"text": "x", "tools_json": b"[{}]"}, InvalidRequest),
        ({"text": "x", "response_format_json": b'{"type": "json_object"}'}, Unsupported),
        ({"text": "x", "regex": "a"}, Unsupported),
        ({"text": "x", "options": ["a"]}, Unsupported),
        ({"text": "x" * 101}, ContextTooLong),
        ({"messages_json": b'[{"role":"user","content":"' + b"x" * 101 + b'"}]'}, ContextTooLong),
    ],
)
def test_refusals(fields, error):
    with pytest.raises(error):
        decoded(**fields)


@pytest.mark.parametrize("finish", list(FinishReason))
def test_every_reason_has_a_number(finish):
    delta = Delta(request_id="a", usage=Usage(prompt_tokens=1, completion_tokens=2), finish=finish)
    assert generate_response(delta, CODEC).finish_reason != pb.FINISH_REASON_UNSPECIFIED


def test_a_delta():
    logprobs = TokenLogprobs(chosen=Alternative(0xC3, -0.5), top=(Alternative(65, -0.25),))
    delta = Delta(
        request_id="a",
        usage=Usage(prompt_tokens=1, completion_tokens=2),
        token_ids=(0xC3,),
        logprobs=(logprobs,),
        timing=Timing(queue_ms=1, prefill_ms=2, decode_ms=3),
    )
    message = generate_response(delta, CODEC)
    assert message.finish_reason == pb.FINISH_REASON_UNSPECIFIED
    assert (message.usage.prompt_tokens, message.usage.completion_tokens) == (1, 2)
    assert (message.logprobs[0].utf8, message.logprobs[0].token) == (b"\xc3", "\ufffd")
    assert (message.logprobs[0].top[0].token, message.logprobs[0].top[0].logprob) == ("A", -0.25)
    assert message.timing.decode_ms == 3


def test_what_is_news():
    load = pb.GetLoadResponse(running=1, generation_tokens_per_s=100, prefill_tokens_per_s=400)

    def other(**fields):
        changed = pb.GetLoadResponse()
        changed.CopyFrom(load)
        for name, value in fields.items():
            setattr(changed, name, value)
        return changed

    assert says_more(load, None)
    assert not says_more(load, load)
    assert not says_more(other(generation_tokens_per_s=92, prefill_tokens_per_s=420), load)
    assert says_more(other(generation_tokens_per_s=80), load)
    assert says_more(other(generation_tokens_per_s=0), load)
    assert says_more(other(running=2), load)
    assert says_more(other(draining=True), load)


def test_load():
    load = EngineLoad(running=1, waiting=2, waiting_tokens=3, kv_usage=0.5, max_running=4, rate=TokenRate(8.0, 1.0))
    message = load_response(load, 1.0)
    assert (message.running, message.waiting, message.waiting_uncached_tokens, message.max_running) == (1, 2, 3, 4)
    assert (message.kv_usage, message.generation_tokens_per_s) == (0.5, 8.0)
