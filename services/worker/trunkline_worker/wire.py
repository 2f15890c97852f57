"""Between protobuf messages and the engine's own values."""

from __future__ import annotations

from msgspec import Struct

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_kit.errors import ContextTooLong, InvalidRequest, Unsupported
from trunkline_worker.chat import decode_messages
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest, SamplingOptions, TokenLogprobs
from trunkline_worker.grammars import Grammar, options_grammar, regex_grammar, response_grammar
from trunkline_worker.guides import CompiledGrammar, GuideMaker
from trunkline_worker.load import EngineLoad
from trunkline_worker.tokenizer import TextCodec
from trunkline_worker.tools import CallPiece, Tools, decode_tools

_FINISH = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.TOOL_CALLS: pb.FINISH_REASON_TOOL_CALLS,
    FinishReason.ABORTED: pb.FINISH_REASON_ABORTED,
    FinishReason.EXPIRED: pb.FINISH_REASON_ABORTED,
    FinishReason.UNGUIDED: pb.FINISH_REASON_ABORTED,
}


_RATE_LEAST, _RATE_SHARE = 1.0, 0.1
"""Tokens a second, absolute and as a share, by which a rate must move to be news."""


class Intake(Struct, frozen=True, kw_only=True):
    """What of a model decides how its requests are read."""

    codec: TextCodec
    context_tokens: int
    """Prompt and answer of one request, at most."""
    unset: SamplingOptions = SamplingOptions()
    """Temperature and top_p of requests that name none."""
    guides: GuideMaker | None = None
    """None where answers cannot be held to a grammar."""


def generation_request(request: pb.GenerateRequest, intake: Intake) -> GenerationRequest:
    """Tokenise the prompt and take over the options. Raises InvalidRequest, ContextTooLong, Unsupported."""
    if not request.request_id:
        raise InvalidRequest("request_id is empty", param="request_id")
    tools = decode_tools(request.tools_json, request.tool_choice_json)
    grammar = _grammar(request, tools)
    begun = request.begun.token_ids
    return GenerationRequest(
        request_id=request.request_id,
        prompt_ids=(*_prompt_ids(request, intake, tools), *begun),
        begun=len(begun),
        sampling=_sampling(request.sampling, intake.unset),
        max_tokens=request.max_tokens,
        stop=tuple(request.stop),
        top_logprobs=request.top_logprobs if request.logprobs else None,
        ignore_eos=request.ignore_eos,
        priority=request.priority,
        choices=request.choices or 1,
        grammar=None if grammar is None else _compiled(grammar, intake),
        cache_salt=request.cache_salt,
    )


def calls_tools(request: pb.GenerateRequest) -> bool:
    """Whether its answers may be tool calls. For a request that `generation_request` has taken."""
    return bool(decode_tools(request.tools_json, request.tool_choice_json).functions)


def _grammar(request: pb.GenerateRequest, tools: Tools) -> Grammar | None:
    """What the answer is held to, of the four ways to say it."""
    asked = [response_grammar(request.response_format_json), tools.grammar()]
    asked.append(regex_grammar(request.regex) if request.regex else None)
    asked.append(options_grammar(request.options) if request.options else None)
    found = [grammar for grammar in asked if grammar is not None]
    if len(found) > 1:
        names = " and ".join(grammar.param.partition(".")[0] for grammar in found)
        raise Unsupported(f"{names} cannot be asked for together", param=found[1].param)
    return found[0] if found else None


def _compiled(grammar: Grammar, intake: Intake) -> CompiledGrammar:
    if intake.guides is None:
        raise Unsupported("this model cannot be held to a grammar", param=grammar.param)
    return intake.guides.compile(grammar)


def _prompt_ids(request: pb.GenerateRequest, intake: Intake, tools: Tools) -> list[int]:
    codec, context_tokens = intake.codec, intake.context_tokens
    characters = context_tokens * codec.longest_token
    match request.WhichOneof("prompt"):
        case "messages_json":
            messages = tools.prompted(decode_messages(request.messages_json))
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
        index=delta.index,
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


def call_delta(piece: CallPiece) -> pb.ToolCallDelta:
    return pb.ToolCallDelta(id=piece.id, name=piece.name, arguments=piece.arguments)


def load_response(load: EngineLoad, now_s: float) -> pb.GetLoadResponse:
    return pb.GetLoadResponse(
        running=load.running,
        waiting=load.waiting,
        waiting_uncached_tokens=load.waiting_tokens,
        kv_usage=load.kv_usage,
        generation_tokens_per_s=load.rate.at(now_s),
        cache_hit_ratio=load.hits.ratio,
        max_running=load.max_running,
        draining=load.draining,
        prefill_tokens_per_s=load.prefill_tokens_per_s,
        prefix_cache_tokens=load.prefix_tokens,
        reading_tokens=load.reading_tokens,
    )


def says_more(load: pb.GetLoadResponse, last: pb.GetLoadResponse | None) -> bool:
    """Whether it is worth sending after `last`: moving averages also move while nothing happens."""
    if last is None:
        return True
    steady = pb.GetLoadResponse()
    steady.CopyFrom(load)
    for field in ("generation_tokens_per_s", "prefill_tokens_per_s"):
        before, now = getattr(last, field), getattr(load, field)
        if abs(now - before) > max(_RATE_LEAST, _RATE_SHARE * before):
            return True
        setattr(steady, field, before)
    return steady != last


def _logprob(logprobs: TokenLogprobs, codec: TextCodec) -> pb.TokenLogprob:
    message = _flat(logprobs.chosen.token_id, logprobs.chosen.logprob, codec)
    message.top.extend(_flat(one.token_id, one.logprob, codec) for one in logprobs.top)
    return message


def _flat(token_id: int, logprob: float, codec: TextCodec) -> pb.TokenLogprob:
    raw = codec.token_bytes(token_id)
    return pb.TokenLogprob(token_id=token_id, token=raw.decode(errors="replace"), logprob=logprob, utf8=raw)
