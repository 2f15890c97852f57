"""The engine's core: continuous batching over slots, one step at a time and without threads or I/O.

Requests join and leave between steps. A step prefills waiting requests, chunk by chunk within a budget, then decodes
one token for every request that is past its prompt; so a long prompt delays the others by a chunk, never by all of it.
Decoding requests hold the slots 0 … n-1; when one leaves, the last takes its place. The request being prefilled holds a
slot behind them and moves down when it is done.

No answer depends on who else is running: decode rows do not mix, the chunks of a prompt follow from its length alone,
and every request draws from its own random generator.
"""

from __future__ import annotations

import heapq
from collections.abc import Set as AbstractSet

from msgspec import Struct

from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError, ContextTooLong
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest
from trunkline_worker.load import EngineLoad, TokenRate
from trunkline_worker.runtimes.base import DecoderRuntime, Logits
from trunkline_worker.sampling import choose_all
from trunkline_worker.sequence import Limits, Sequence
from trunkline_worker.tokenizer import TextCodec


class BatchConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a step is filled."""

    chunk_tokens: int = 256
    """Prompt tokens of one prefill run; decoding requests wait this long at most for one."""
    step_prefill_tokens: int = 256
    """No further chunk is begun in a step that prefilled this many tokens."""
    max_waiting: int = 256
    """Requests that may wait for a slot; more are refused."""


def next_chunk(remaining: int, most: int) -> int:
    """Tokens of a prompt to prefill next: `most`, but never so that one lone token is left for the end.

    A run of one token takes another kernel, whose rounding differs; with that avoided the logits after a chunked prompt
    equal those after the prompt in one piece, bit for bit. Only a prompt of one token is a chunk of one.
    """
    if remaining <= most:
        return remaining
    return most - 1 if remaining - most == 1 else most


class Batcher:
    """Owns the runtime's slots. Not safe for more than one thread."""

    def __init__(
        self, runtime: DecoderRuntime, codec: TextCodec, eos_ids: AbstractSet[int], config: BatchConfig, clock: Clock
    ) -> None:
        if config.chunk_tokens < 3:
            raise ConfigError(f"chunk_tokens must be at least 3, got {config.chunk_tokens}")
        self.slots = runtime.slots
        self.slot_tokens = runtime.slot_tokens
        self.vocabulary_size = runtime.vocabulary_size
        self.places = runtime.slots + config.max_waiting
        """Requests that may be here at once, running or waiting."""
        self._runtime = runtime
        self._codec = codec
        self._limits = Limits(slot_tokens=runtime.slot_tokens, eos_ids=eos_ids)
        self._config = config
        self._clock = clock
        self._waiting: list[tuple[int, int, Sequence]] = []
        self._arrivals = 0
        self._decoding: list[Sequence] = []
        """By slot."""
        self._filling: Sequence | None = None
        self._filling_slot = 0
        self._rate = TokenRate()

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._decoding or self._filling)

    def add(self, request: GenerationRequest) -> None:
        """Put a request into the queue, by priority, then by arrival. Raises ContextTooLong if it can never fit."""
        check_length(request, self._limits.slot_tokens)
        sequence = Sequence(request, self._codec, self._limits, self._clock.monotonic_s())
        heapq.heappush(self._waiting, (-request.priority, self._arrivals, sequence))
        self._arrivals += 1

    def cancel(self, request_id: str) -> Delta | None:
        """Take a request out, wherever it is, and free its slot at once. None if it is not here (any more)."""
        now_s = self._clock.monotonic_s()
        if self._filling is not None and self._filling.request.request_id == request_id:
            ended, self._filling = self._filling, None
            return ended.end(FinishReason.ABORTED, now_s)
        for slot, sequence in enumerate(self._decoding):
            if sequence.request.request_id == request_id:
                self._leave(slot)
                return sequence.end(FinishReason.ABORTED, now_s)
        for index, (_, _, sequence) in enumerate(self._waiting):
            if sequence.request.request_id == request_id:
                del self._waiting[index]
                heapq.heapify(self._waiting)
                return sequence.end(FinishReason.ABORTED, now_s)
        return None

    def step(self) -> list[Delta]:
        """One round: prefill within the budget, then one token for each request that is past its prompt."""
        deltas = self._prefill()
        deltas += self._decode()
        made = sum(len(delta.token_ids) for delta in deltas)
        self._rate = self._rate.after(made, self._clock.monotonic_s())
        return deltas

    def load(self) -> EngineLoad:
        active = [*self._decoding, *([self._filling] if self._filling else [])]
        held = sum(sequence.held_tokens for sequence in active)
        return EngineLoad(
            running=len(active),
            waiting=len(self._waiting),
            waiting_tokens=sum(sequence.prompt_tokens for _, _, sequence in self._waiting),
            kv_usage=held / (self._runtime.slots * self._runtime.slot_tokens),
            rate=self._rate,
            max_running=self._runtime.slots,
        )

    def _prefill(self) -> list[Delta]:
        deltas: list[Delta] = []
        spent = 0
        while spent < self._config.step_prefill_tokens:
            sequence = self._filling or self._begin()
            if sequence is None:
                break
            begin = sequence.prefilled
            size = next_chunk(sequence.prompt_tokens - begin, self._config.chunk_tokens)
            row = self._runtime.prefill(self._filling_slot, sequence.request.prompt_ids[begin : begin + size], begin)
            sequence.prefilled += size
            spent += size
            if sequence.prefilled == sequence.prompt_tokens:
                deltas.append(self._join(sequence, row))
        return deltas

    def _begin(self) -> Sequence | None:
        """Take the next request from the queue into the first slot behind those that decode."""
        if not self._waiting or len(self._decoding) == self._runtime.slots:
            return None
        _, _, sequence = heapq.heappop(self._waiting)
        sequence.start(self._clock.monotonic_s())
        self._filling, self._filling_slot = sequence, len(self._decoding)
        return sequence

    def _join(self, sequence: Sequence, row: Logits) -> Delta:
        """The prompt is done: sample the first token and take a place among those that decode."""
        slot = len(self._decoding)
        if self._filling_slot != slot:
            self._runtime.move(self._filling_slot, slot, sequence.prompt_tokens)
        self._filling = None
        now_s = self._clock.monotonic_s()
        sequence.first(now_s)
        delta = sequence.take(sequence.sampler.choose(row), row, now_s)
        if delta.finish is None:
            self._decoding.append(sequence)
        return delta

    def _decode(self) -> list[Delta]:
        rows = tuple(self._decoding)
        if not rows:
            return []
        logits = self._runtime.decode([row.last_id for row in rows], [row.length for row in rows])
        chosen = choose_all(logits, [row.sampler for row in rows])
        now_s = self._clock.monotonic_s()
        deltas = [row.take(chosen[slot], logits[slot], now_s) for slot, row in enumerate(rows)]
        # From the last slot down, so that what moves into a hole is never itself about to leave.
        for slot in reversed(range(len(rows))):
            if deltas[slot].finish is not None:
                self._leave(slot)
        return deltas

    def _leave(self, slot: int) -> None:
        last = self._decoding.pop()
        if slot < len(self._decoding):
            self._runtime.move(len(self._decoding), slot, last.held_tokens)
            self._decoding[slot] = last


def check_length(request: GenerationRequest, slot_tokens: int) -> None:
    """Raises ContextTooLong when the prompt leaves no room for a single token."""
    if len(request.prompt_ids) >= slot_tokens:
        raise ContextTooLong(
            f"this model's maximum context length is {slot_tokens} tokens, prompt and answer together; "
            f"the prompt has {len(request.prompt_ids)}. Shorten it.",
            param="messages",
        )
