"""Between protobuf messages and the engine's own values."""

from __future__ import annotations

from msgspec import Struct

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_kit.errors import ContextTooLong, InvalidRequest, Unsupported
from trunkline_worker.chat import decode_messages
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest, SamplingOptions, TokenLogprobs
from trunkline_worker.load import EngineLoad
from trunkline_worker.tokenizer import TextCodec

_FINISH = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.ABORTED: pb.FINISH_REASON_ABORTED,
}
_NOTHING_ASKED = (b"", b"null", b"[]")
_PLAIN_TEXT = b'{"type":"text"}'


class Intake(Struct, frozen=True, kw_only=True):
    """What of a model decides how its requests are read."""

    codec: TextCodec
    context_tokens: int
    """Prompt and answer of one request, at most."""
    unset: SamplingOptions = SamplingOptions()
    """Temperature and top_p of requests that name none."""


def generation_request(request: pb.GenerateRequest, intake: Intake) -> GenerationRequest:
    """Tokenise the prompt and take over the options. Raises InvalidRequest, ContextTooLong, Unsupported."""
    if not request.request_id:
        raise InvalidRequest("request_id is empty", param="request_id")
    if request.tools_json.strip() not in _NOTHING_ASKED:
        raise Unsupported("this model cannot call tools", param="tools")
    if request.response_format_json.replace(b" ", b"") not in (*_NOTHING_ASKED, _PLAIN_TEXT):
        raise Unsupported("this model cannot be held to a response format", param="response_format")
    return GenerationRequest(
        request_id=request.request_id,
        prompt_ids=tuple(_prompt_ids(request, intake.codec, intake.context_tokens)),
        sampling=_sampling(request.sampling, intake.unset),
        max_tokens=request.max_tokens,
        stop=tuple(request.stop),
        top_logprobs=request.top_logprobs if request.logprobs else None,
        ignore_eos=request.ignore_eos,
        priority=request.priority,
    )


def _prompt_ids(request: pb.GenerateRequest, codec: TextCodec, context_tokens: int) -> list[int]:
    characters = context_tokens * codec.longest_token
    match request.WhichOneof("prompt"):
        case "messages_json":
            messages = decode_messages(request.messages_json)
            _check_size(sum(len(message.content) for message in messages), characters, context_tokens)
            return codec.encode_chat(messages)
        case "text":
            _check_size(len(request.text), characters, context_tokens)
            return codec.encode(request.text)
        case "tokens":
            return list(request.tokens.ids)
        case _:
            raise InvalidRequest("there is no prompt; send messages_json, text or tokens", param="prompt")


def _check_size(length: int, most: int, context_tokens: int) -> None:
    """Refuse what cannot fit however it is tokenised, before megabytes of it are."""
    if length > most:
        raise ContextTooLong(
            f"this model's maximum context length is {context_tokens} tokens, prompt and answer together; "
            f"the prompt has {length} characters, which is more than they can hold. Shorten it.",
            param="messages",
        )


def _sampling(options: pb.SamplingOptions, unset: SamplingOptions) -> SamplingOptions:
    return SamplingOptions(
        temperature=options.temperature if options.HasField("temperature") else unset.temperature,
        top_p=options.top_p if options.HasField("top_p") else unset.top_p,
        top_k=options.top_k,
        min_p=options.min_p,
        seed=options.seed if options.HasField("seed") else None,
        frequency_penalty=options.frequency_penalty,
        presence_penalty=options.presence_penalty,
        repetition_penalty=options.repetition_penalty or 1.0,
        logit_bias=dict(options.logit_bias),
    )


def generate_response(delta: Delta, codec: TextCodec) -> pb.GenerateResponse:
    response = pb.GenerateResponse(
        token_ids=delta.token_ids,
        text=delta.text,
        matched_stop=delta.matched_stop,
        logprobs=[_logprob(logprobs, codec) for logprobs in delta.logprobs],
        usage=pb.Usage(
            prompt_tokens=delta.usage.prompt_tokens,
            completion_tokens=delta.usage.completion_tokens,
            cached_tokens=delta.usage.cached_tokens,
        ),
    )
    if delta.finish is not None:
        response.finish_reason = _FINISH[delta.finish]
    if delta.timing is not None:
        timing = delta.timing
        response.timing.CopyFrom(
            pb.Timing(queue_ms=timing.queue_ms, prefill_ms=timing.prefill_ms, decode_ms=timing.decode_ms)
        )
    return response


def load_response(load: EngineLoad, now_s: float) -> pb.GetLoadResponse:
    return pb.GetLoadResponse(
        running=load.running,
        waiting=load.waiting,
        waiting_uncached_tokens=load.waiting_tokens,
        kv_usage=load.kv_usage,
        generation_tokens_per_s=load.rate.at(now_s),
        max_running=load.max_running,
        draining=load.draining,
    )


def _logprob(logprobs: TokenLogprobs, codec: TextCodec) -> pb.TokenLogprob:
    message = _flat(logprobs.chosen.token_id, logprobs.chosen.logprob, codec)
    message.top.extend(_flat(one.token_id, one.logprob, codec) for one in logprobs.top)
    return message


def _flat(token_id: int, logprob: float, codec: TextCodec) -> pb.TokenLogprob:
    raw = codec.token_bytes(token_id)
    return pb.TokenLogprob(token_id=token_id, token=raw.decode(errors="replace"), logprob=logprob, utf8=raw)
