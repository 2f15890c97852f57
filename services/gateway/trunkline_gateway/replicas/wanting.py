"""What of a worker's request decides which replica gets it. Pure."""

from array import array

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.replicas.prefixes import chain_of
from trunkline_gateway.replicas.replica import Wanted
from trunkline_policy.affinity import prefix_key


def wanted_of(request: pb.GenerateRequest, tokens_per_byte: float) -> Wanted:
    """A prompt, as far as it can be told without the worker's tokenizer and template."""
    kind = request.WhichOneof("prompt")
    if kind == "tokens":
        prompt = array("I", request.tokens.ids).tobytes()
        text_bytes, tokens = 0, float(len(request.tokens.ids))
    else:
        prompt = request.messages_json if kind == "messages_json" else request.text.encode()
        text_bytes = len(prompt) + len(request.tools_json)
        tokens = text_bytes * tokens_per_byte
    head = b"\0".join(((kind or "").encode(), request.tools_json, request.response_format_json))
    return Wanted(
        prompt_bytes=len(prompt),
        tokens=tokens,
        text_bytes=text_bytes,
        chain=chain_of(request.cache_salt, head, prompt),
        key=prefix_key(request.cache_salt, prompt[:_KEY_BYTES], b""),
    )


def wanted_texts(request: pb.EmbedRequest, tokens_per_byte: float) -> Wanted:
    """Texts to embed, which no prefix cache helps with."""
    size_bytes = sum(map(len, request.texts))
    return Wanted(prompt_bytes=size_bytes, tokens=size_bytes * tokens_per_byte)


def wanted_pairs(request: pb.RerankRequest, tokens_per_byte: float) -> Wanted:
    """Documents, each of which is read together with the query."""
    size_bytes = sum(map(len, request.documents)) + len(request.query) * len(request.documents)
    return Wanted(prompt_bytes=size_bytes, tokens=size_bytes * tokens_per_byte)


NOTHING = Wanted(prompt_bytes=0, tokens=0.0)
"""For questions about the model itself."""
_KEY_BYTES = 1024
