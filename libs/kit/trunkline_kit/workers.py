"""The part of the settings that is about one model worker."""

from typing import Annotated

from msgspec import Meta, Struct


class Worker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One worker process: one model and its memory. The key in `workers:` is a name for `--worker NAME`."""

    model: str = "smollm2-135m-instruct"
    """A name from `trunkline models list`, or `path:/folder` with model.onnx, tokenizer.json and genai_config.json."""
    variant: Annotated[str, Meta(pattern="^(auto|q8|q4|f32|f16)$")] = "auto"
    """How weights are stored: `trunkline models compare` says what each costs and loses. `auto` is what the catalogue
    says of the model, or what one's own was prepared as; f16 on a GPU."""
    device: Annotated[str, Meta(pattern="^(cpu|cuda)$")] = "cpu"
    """`cuda` refuses to start where the CUDA provider does not load."""
    slots: Annotated[int, Meta(ge=1, le=256)] = 8
    """Requests decoded together."""
    slot_tokens: Annotated[int, Meta(ge=64, le=131072)] = 2048
    """Prompt and answer of one request, at most; KV memory is reserved for slots times slot_tokens."""
    prefix_cache_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024 * 1024
    """Memory for beginnings of prompts that may come again, beside the slots'; 0 keeps none."""
    queue_requests: Annotated[int, Meta(ge=0)] = 256
    """Requests that may wait for a slot; one more is refused."""
    prefill_chunk_tokens: Annotated[int, Meta(ge=16)] = 256
    """A longer prompt is read in chunks of this size, decode steps in between."""
    decode_wait_steps: Annotated[float, Meta(ge=0)] = 1.25
    """While answers decode, chunks shrink to what takes this many times a decode step; higher: first tokens sooner."""
    speculation: Annotated[str, Meta(pattern="^(auto|off)$")] = "auto"
    """Whether an answer that runs alone may be drafted from its prompt; exact, and used where it is faster. Takes the
    weights' size in memory once more, on the CPU; `off` saves that."""
    batch_invariant: bool = True
    """A greedy answer, or one with a seed, is the same alone and beside others, token for token. `false` lets those too
    take the faster kernel of a lone row, as answers without a seed do: q4 on a CPU."""
    threads: Annotated[int, Meta(ge=0)] = 0
    """ONNX Runtime threads inside one operator; 0 means the cores this process may use."""
    stall_s: Annotated[float, Meta(gt=0)] = 60.0
    """A worker that has work and makes no step for so long is not healthy any more; a step takes seconds at most."""
    objective_first_token_s: Annotated[float, Meta(gt=0)] = 2.0
    """Requests that keep this and the next count as goodput; a queue that will break it asks for another replica."""
    objective_token_s: Annotated[float, Meta(gt=0)] = 0.2
    """Mean time between the tokens of an answer."""
    peak_flops_per_s: Annotated[float, Meta(ge=0)] = 0.0
    """What MFU is measured against, operations per second; 0 measures a matrix product at start."""
    peak_bytes_per_s: Annotated[float, Meta(ge=0)] = 0.0
    """What MBU is measured against; 0 measures a copy at start."""
    spinning: bool = False
    """Threads wait by spinning: faster on an idle machine, ruinous on a shared one."""
