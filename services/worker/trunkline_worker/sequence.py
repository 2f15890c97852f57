"""One answer on its way through the engine: its prompt, its tokens so far, its text, and why it ended."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from msgspec import Struct

from trunkline_worker.candidates import Scratch
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest, Timing, TokenLogprobs, Usage
from trunkline_worker.logprobs import logprobs
from trunkline_worker.runtimes.base import Logits
from trunkline_worker.sampling import Sampler
from trunkline_worker.speculation import Drafter
from trunkline_worker.stopping import StopMatcher
from trunkline_worker.tokenizer import IncrementalDetokenizer, TextCodec


class Limits(Struct, frozen=True, kw_only=True):
    """What the engine imposes on every sequence, and gives to all of them."""

    slot_tokens: int
    eos_ids: AbstractSet[int]
    scratch: Scratch | None = None
    """Each has its own without one."""


class Spent:
    """What the answers to one request have used together."""

    completion_tokens = 0
    cached_tokens = 0


class Sequence:
    """Mutable state of one answer to a request; owned by the engine's thread."""

    def __init__(
        self,
        request: GenerationRequest,
        codec: TextCodec,
        limits: Limits,
        now_s: float,
        *,
        first: Sequence | None = None,
        index: int = 0,
    ) -> None:
        self.request = request
        self.index = index
        self._guide = None if request.grammar is None else request.grammar.guide()
        prompt = request.prompt_ids[: len(request.prompt_ids) - request.begun]
        self.sampler = Sampler(request.sampling, prompt, choice=index, guide=self._guide, scratch=limits.scratch)
        self.prefilled = 0
        """Tokens of the prompt that the slot holds already."""
        self.last_id = -1
        """The newest token; it enters the slot with the next step."""
        self.generated = 0
        self.chain: tuple[bytes, ...] = ()
        """Hashes of the prompt's blocks."""
        self.cached = 0
        """Tokens of the prompt that the prefix cache gave; before the start, what it would have given on arrival."""
        self._answer_ids: list[int] = []
        self._drafter: Drafter | None = None
        self._limits = limits
        room = limits.slot_tokens - len(prompt)
        self._most = (min(request.max_tokens, room) if request.max_tokens else room) - request.begun
        self._text = IncrementalDetokenizer(codec)
        self._stops = StopMatcher(request.stop)
        self._codec = codec
        self.spent: Spent = Spent() if first is None else first.spent
        self.arrived_s = self.started_s = self.prefilled_s = now_s
        if first is not None:
            self.started_s, self.prefilled_s = first.started_s, first.prefilled_s
        if request.begun:
            self._recall(request.prompt_ids[len(prompt) :])

    @property
    def prompt_tokens(self) -> int:
        """Tokens to read before the next one is chosen, those included that another worker chose."""
        return len(self.request.prompt_ids)

    @property
    def uncached_tokens(self) -> int:
        """Tokens of the prompt that the model has to read."""
        return self.prompt_tokens - self.cached

    @property
    def held_tokens(self) -> int:
        """Tokens that its slot holds now."""
        return self.prefilled + max(0, self.generated - 1)

    @property
    def length(self) -> int:
        """Tokens its slot will hold once the newest one is in."""
        return self.prompt_tokens + self.generated

    def siblings(self) -> list[Sequence]:
        """The other answers to the request, to be made once its prompt is in a slot."""
        made = [
            Sequence(self.request, self._codec, self._limits, self.arrived_s, first=self, index=index)
            for index in range(1, self.request.choices)
        ]
        for sibling in made:
            sibling.chain = self.chain
        return made

    def start(self, now_s: float) -> None:
        """The request leaves the queue, with what the prefix cache has put into its slot."""
        self.prefilled = self.cached
        self.started_s = self.prefilled_s = now_s
        if self.index == 0:
            self.spent.cached_tokens = min(self.cached, self.prompt_tokens - self.request.begun)

    def first(self, now_s: float) -> None:
        """The prompt is in the slot."""
        self.prefilled = self.prompt_tokens
        self.prefilled_s = now_s

    def take(self, token_id: int, row: Logits, now_s: float) -> Delta:
        """Append a sampled token; the delta says what became certain, and whether this was the last."""
        self.last_id = token_id
        self._answer_ids.append(token_id)
        self.generated += 1
        self.spent.completion_tokens += 1
        text = "" if self._ends(token_id) else self._stops.push(self._text.push((token_id,)))
        finish = self._finish(token_id)
        if finish is not None and not self._stops.matched:
            text += self._stops.push(self._text.flush())
            text += self._stops.flush()
        return Delta(
            request_id=self.request.request_id,
            index=self.index,
            usage=self.usage(),
            token_ids=(token_id,),
            text=text,
            logprobs=self._logprobs(row, token_id),
            finish=finish,
            matched_stop=self._stops.matched if finish is not None else "",
            timing=None if finish is None else self._timing(now_s),
        )

    def drafter(self) -> Drafter:
        """What drafts are made of, up to the newest token. Made when it is first asked for: most answers never do."""
        if self._drafter is None:
            self._drafter = Drafter(self.request.prompt_ids)
        for token_id in self._answer_ids[len(self._drafter) - self.prompt_tokens :]:
            self._drafter.push(token_id)
        return self._drafter

    def end(self, finish: FinishReason, now_s: float) -> Delta:
        """The last delta of a request that did not end by itself; text that was held back comes out."""
        held = self._stops.push(self._text.flush()) + self._stops.flush()
        return Delta(
            request_id=self.request.request_id,
            index=self.index,
            usage=self.usage(),
            text=held,
            finish=finish,
            timing=self._timing(now_s),
        )

    def usage(self) -> Usage:
        spent = self.spent
        return Usage(
            prompt_tokens=self.prompt_tokens - self.request.begun,
            completion_tokens=spent.completion_tokens,
            cached_tokens=spent.cached_tokens,
            begun_tokens=self.request.begun,
        )

    def _recall(self, begun: tuple[int, ...]) -> None:
        """Take over what another worker said of this answer."""
        self.sampler.recall(begun)
        self._stops.push(self._text.push(begun))
        self.spent.completion_tokens += len(begun)

    def _ends(self, token_id: int) -> bool:
        return token_id in self._limits.eos_ids and not self.request.ignore_eos

    def _finish(self, token_id: int) -> FinishReason | None:
        if self._guide is not None and self._guide.failed:
            return FinishReason.UNGUIDED
        if self._ends(token_id) or self._stops.matched or (self._guide is not None and self._guide.done):
            return FinishReason.STOP
        return FinishReason.LENGTH if self.generated >= self._most else None

    def _logprobs(self, row: Logits, token_id: int) -> tuple[TokenLogprobs, ...]:
        wanted = self.request.top_logprobs
        return () if wanted is None else (logprobs(row, token_id, wanted),)

    def _timing(self, now_s: float) -> Timing:
        return Timing(
            queue_ms=(self.started_s - self.arrived_s) * 1000,
            prefill_ms=(self.prefilled_s - self.started_s) * 1000,
            decode_ms=(now_s - self.prefilled_s) * 1000,
        )
