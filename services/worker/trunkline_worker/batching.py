"""The engine's core: continuous batching over slots, one step at a time and without threads or I/O.

Requests join and leave between steps. A step reads prompts, one chunk's worth of tokens at most, then decodes one
token for every answer that is past its prompt; so a long prompt delays the others by a chunk, never by all of it.
Answers that decode hold the slots 0 … n-1; when one leaves, the last takes its place. The prompt being read holds a
slot behind them and moves down when it is done.

No answer that can be asked for again, greedy or with a seed, depends on who else is running: decode rows do not mix,
what a prompt leaves in its slot does not depend on how it was cut or who read it first, and every answer draws from its
own random generator. One that is drawn at random may be computed by a kernel of its own while it runs alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Set as AbstractSet

from msgspec import Struct

from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError, ContextTooLong
from trunkline_worker.candidates import Scratch
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest, joined
from trunkline_worker.load import EngineLoad, HitRatio, Speed, TokenRate
from trunkline_worker.prefix_cache import PrefixCache
from trunkline_worker.runtimes.base import DecoderRuntime, Logits
from trunkline_worker.sequence import Limits, Sequence
from trunkline_worker.speculation import Speculation
from trunkline_worker.tokenizer import TextCodec
from trunkline_worker.utilisation import Utilisation
from trunkline_worker.waiting import Waiting, is_too_late

_KEY_BYTES = 32
_LEAST_READ_TOKENS = 8
"""Reading fewer at once costs more for each: a run reads all weights whatever it is for."""
_SMALL_CHUNK_SPEED = 0.5
"""Tokens per second of a small chunk by those of a whole one, until a small one was measured."""
_DECODE_MEMORY = 0.8
"""What the steps before the latest count in the length of a decode step."""
_MIN_CHUNK_TOKENS = 3
"""So that a chunk and what is left after it can both have two tokens at least."""


class BatchConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a step is filled."""

    chunk_tokens: int = 256
    """Prompt tokens that one step reads at most."""
    wait_steps: float = 1.25
    """While answers decode, what a step reads of prompts takes about this many times a decode step at most."""
    max_waiting: int = 256
    """Answers that may wait for a slot; more are refused."""
    promote_s: float = 5.0
    """A request of the next class overtakes what came this much earlier, seconds."""


def next_chunk(remaining: int, most: int) -> int:
    """Tokens of a prompt to prefill next: `most`, but never so that one lone token is left for the end.

    A run of one token takes another kernel, whose rounding differs; with that avoided the logits after a chunked prompt
    equal those after the prompt in one piece, bit for bit. Only a prompt of one token is a chunk of one.
    """
    if remaining <= most:
        return remaining
    return most - 1 if remaining - most == 1 else most


def step_tokens(config: BatchConfig, decode_s: float, prefill_tokens_per_s: float) -> int:
    """Prompt tokens that a step may read while answers decode, by how long both take; all of a chunk if unknown.

    The speed is that of small chunks, which take far longer for each token than large ones.
    """
    if decode_s <= 0 or prefill_tokens_per_s <= 0:
        return config.chunk_tokens
    affordable = int(config.wait_steps * decode_s * prefill_tokens_per_s)
    return min(config.chunk_tokens, max(_LEAST_READ_TOKENS, affordable))


class Batcher:
    """Owns the runtime's slots. Not safe for more than one thread."""

    def __init__(
        self, runtime: DecoderRuntime, codec: TextCodec, eos_ids: AbstractSet[int], config: BatchConfig, clock: Clock
    ) -> None:
        if config.chunk_tokens < _MIN_CHUNK_TOKENS:
            raise ConfigError(f"chunk_tokens must be at least {_MIN_CHUNK_TOKENS}, got {config.chunk_tokens}")
        self.slots = runtime.slots
        self.slot_tokens = runtime.slot_tokens
        self.vocabulary_size = runtime.vocabulary_size
        self.places = runtime.slots + config.max_waiting
        """Answers that may be here at once, running or waiting."""
        self._runtime = runtime
        self._codec = codec
        scratch = Scratch(runtime.vocabulary_size)
        self._limits = Limits(slot_tokens=runtime.slot_tokens, eos_ids=eos_ids, scratch=scratch)
        self._config = config
        self._clock = clock
        self._waiting = Waiting(config.promote_s)
        self._decoding: list[Sequence] = []
        """By slot."""
        self._filling: Sequence | None = None
        self._filling_slot = 0
        self._rate = TokenRate()
        self._prefill_speed = Speed()
        self._small_speed = Speed()
        """Of reading beside those that decode."""
        self._decode_s = 0.0
        """How long a decode step takes, the latest weighing most."""
        self._use = Utilisation()
        self._hits = HitRatio()
        self._speculation = Speculation(runtime.verify_tokens)
        self._prefix = PrefixCache(runtime, secrets.token_bytes(_KEY_BYTES))

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._decoding or self._filling)

    def add(self, request: GenerationRequest) -> None:
        """Put a request into the queue. Raises ContextTooLong if it can never fit."""
        check_length(request, self._limits.slot_tokens)
        sequence = Sequence(request, self._codec, self._limits, self._clock.monotonic_s())
        # The answers to one request share its prompt even if nobody else may.
        salt = request.cache_salt or (request.request_id.encode() if request.choices > 1 else b"")
        sequence.chain = self._prefix.chain(request.prompt_ids, salt)
        sequence.cached = self._prefix.known_tokens(sequence.chain, sequence.prompt_tokens)
        self._waiting.push(sequence)

    def cancel(self, request_id: str) -> list[Delta]:
        """Take a request out, wherever it is, and free its slots at once. Empty if it is not here (any more)."""
        gone = self._waiting.remove(request_id)
        if self._filling is not None and self._filling.request.request_id == request_id:
            gone.append(self._filling)
            self._filling = None
        # From the last slot down: what moves into a hole has been looked at.
        for slot in reversed(range(len(self._decoding))):
            if self._decoding[slot].request.request_id == request_id:
                gone.append(self._leave(slot))
        return self._end(gone, FinishReason.ABORTED)

    def step(self) -> list[Delta]:
        """One round: prefill within the budget, then one token for each answer that is past its prompt."""
        deltas = self._expire()
        deltas += self._prefill()
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
            waiting_tokens=self._waiting.uncached_tokens,
            kv_usage=held / (self._runtime.slots * self._runtime.slot_tokens),
            prefix_usage=self._prefix.usage,
            prefix_tokens=self._runtime.blocks * self._runtime.block_tokens,
            reading_tokens=self._filling.prompt_tokens - self._filling.prefilled if self._filling else 0,
            rate=self._rate,
            prefill_tokens_per_s=self._prefill_speed.per_s,
            hits=self._hits,
            use=self._use,
            drafted=self._speculation.drafted,
            max_running=self._runtime.slots,
        )

    def _end(self, gone: list[Sequence], finish: FinishReason) -> list[Delta]:
        """Last deltas of answers that are taken out, those included that a prompt under way had still to begin."""
        now_s = self._clock.monotonic_s()
        begun = [*gone]
        for sequence in gone:
            if sequence.index == 0 and sequence.generated == 0:
                begun += sequence.siblings()
        return [sequence.end(finish, now_s) for sequence in begun]

    def _expire(self) -> list[Delta]:
        """End what nobody waits for any more, and what cannot begin in time."""
        now_s = self._clock.monotonic_s()
        gone = self._waiting.expire(now_s, self._prefill_speed.per_s)
        if self._filling is not None and is_too_late(self._filling, now_s, 0):
            gone.append(self._filling)
            self._filling = None
        for slot in reversed(range(len(self._decoding))):
            if is_too_late(self._decoding[slot], now_s, 0):
                gone.append(self._leave(slot))
        return self._end(gone, FinishReason.EXPIRED)

    def _prefill(self) -> list[Delta]:
        """Read prompts: never more tokens in one step than a chunk has, and fewer while others decode."""
        deltas: list[Delta] = []
        left = self._config.chunk_tokens
        if self._decoding:
            per_s = self._small_speed.per_s or _SMALL_CHUNK_SPEED * self._prefill_speed.per_s
            left = step_tokens(self._config, self._decode_s, per_s)
        while left >= _MIN_CHUNK_TOKENS:
            sequence = self._filling or self._begin()
            if sequence is None:
                break
            begin = sequence.prefilled
            size = next_chunk(sequence.prompt_tokens - begin, left)
            row = self._read(sequence, begin, size)
            left -= size
            if sequence.prefilled == sequence.prompt_tokens:
                deltas += self._join(sequence, row)
        return deltas

    def _read(self, sequence: Sequence, begin: int, size: int) -> Logits:
        started_s = self._clock.monotonic_s()
        ids = sequence.request.prompt_ids[begin : begin + size]
        row = self._runtime.prefill(self._filling_slot, ids, begin)
        duration_s = self._clock.monotonic_s() - started_s
        self._prefill_speed = self._prefill_speed.after(size, duration_s)
        if self._decoding:
            self._small_speed = self._small_speed.after(size, duration_s)
        if self._runtime.cost is not None:
            self._use = self._use.after(self._runtime.cost.prefill(size, begin), duration_s)
        sequence.prefilled += size
        self._prefix.keep(sequence.chain, begin, sequence.prefilled, self._filling_slot)
        return row

    def _begin(self) -> Sequence | None:
        """Take the next request from the queue into the first slot behind those that decode."""
        if len(self._decoding) == self._runtime.slots:
            return None
        sequence = self._waiting.pop()
        if sequence is None:
            return None
        self._filling = sequence
        self._filling_slot = max(len(self._decoding), self._runtime.least_rows if self._decoding else 0)
        sequence.cached = self._prefix.restore(sequence.chain, sequence.prompt_tokens, self._filling_slot)
        sequence.start(self._clock.monotonic_s())
        if sequence.index == 0:
            self._hits = self._hits.after(sequence.prompt_tokens, sequence.cached)
        return sequence

    def _join(self, sequence: Sequence, row: Logits) -> list[Delta]:
        """The prompt is done: sample the first token and take a place among those that decode.

        The other answers to the request get a copy of its slot and the same logits; those for which there is no slot
        wait at its place in the queue, and find the prompt in the prefix cache.
        """
        source, self._filling = self._filling_slot, None
        answers = [sequence, *(sequence.siblings() if sequence.index == 0 else ())]
        deltas: list[Delta] = []
        for answer in answers:
            slot = len(self._decoding)
            if slot == self._runtime.slots:
                answer.cached = self._prefix.known_tokens(answer.chain, answer.prompt_tokens)
                self._waiting.push(answer)
                continue
            if slot != source:
                self._runtime.move(source, slot, sequence.prompt_tokens)
            now_s = self._clock.monotonic_s()
            answer.first(now_s)
            deltas.append(answer.take(answer.sampler.choose(row), row, now_s))
            if deltas[-1].finish is None:
                self._decoding.append(answer)
        return deltas

    def _decode(self) -> list[Delta]:
        rows = tuple(self._decoding)
        if not rows:
            return []
        if len(rows) == 1:
            draft = self._speculation.draft(rows[0].drafter(), self.slot_tokens - rows[0].length)
            if draft:
                return [self._verify(rows[0], draft)]
        lengths = [row.length for row in rows]
        started_s = self._clock.monotonic_s()
        repeatable = any(row.request.sampling.repeatable for row in rows)
        logits = self._runtime.decode([row.last_id for row in rows], lengths, repeatable=repeatable)
        duration_s = self._clock.monotonic_s() - started_s
        self._decode_s = duration_s + _DECODE_MEMORY * (self._decode_s - duration_s) if self._decode_s else duration_s
        if len(rows) == 1:
            self._speculation.decoded(duration_s)
        if self._runtime.cost is not None:
            self._use = self._use.after(self._runtime.cost.decode(lengths), duration_s)
        chosen = [row.sampler.choose(logits[slot]) for slot, row in enumerate(rows)]
        now_s = self._clock.monotonic_s()
        deltas = [row.take(chosen[slot], logits[slot], now_s) for slot, row in enumerate(rows)]
        # From the last slot down, so that what moves into a hole is never itself about to leave.
        for slot in reversed(range(len(rows))):
            if deltas[slot].finish is not None:
                self._leave(slot)
        return deltas

    def _verify(self, row: Sequence, draft: tuple[int, ...]) -> Delta:
        """Let the one answer that decodes read its newest token and a draft, and take what of it comes true.

        Every token is drawn from its own logits as in a step of one, so the answer is the same.
        """
        begin = row.length - 1
        started_s = self._clock.monotonic_s()
        logits = self._runtime.verify((row.last_id, *draft), begin)
        now_s = self._clock.monotonic_s()
        if self._runtime.cost is not None:
            self._use = self._use.after(self._runtime.cost.prefill(len(logits), begin), now_s - started_s)
        deltas = [row.take(row.sampler.choose(logits[0]), logits[0], now_s)]
        for drafted, after in zip(draft, logits[1:], strict=True):
            if deltas[-1].finish is not None or row.last_id != drafted:
                break
            deltas.append(row.take(row.sampler.choose(after), after, now_s))
        self._speculation.verified(draft, len(deltas) - 1, now_s - started_s)
        if deltas[-1].finish is not None:
            self._leave(0)
        return joined(deltas)

    def _leave(self, slot: int) -> Sequence:
        """Free a slot; the last one that decodes takes the place."""
        gone, last = self._decoding[slot], self._decoding.pop()
        if slot < len(self._decoding):
            self._runtime.move(len(self._decoding), slot, last.held_tokens)
            self._decoding[slot] = last
        return gone


def check_length(request: GenerationRequest, slot_tokens: int) -> None:
    """Raises ContextTooLong when the prompt leaves no room for a single token."""
    if len(request.prompt_ids) >= slot_tokens:
        raise ContextTooLong(
            f"this model's maximum context length is {slot_tokens} tokens, prompt and answer together; "
            f"the prompt has {len(request.prompt_ids)}. Shorten it.",
            param="messages",
        )
