"""Drafts of an answer's next tokens out of what prompt and answer have said before, and whether they are worth a run.

A draft is what followed the last few tokens when they came the last time (Yang et al., 2023, "Inference with
Reference", arXiv:2304.04487; prompt lookup). The model then reads all of it in one run and each token is drawn from its
logits as ever: what is drawn is the answer, the draft only decides how many of the logits can be used. So answers are
the same with drafts and without, token for token, also those that are drawn at random.

Whether drafts pay is learnt without paying: every draft is compared with what really comes, used or not. An answer
whose drafts are wrong costs nothing but the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

_MATCH_TOKENS = 3
"""How many tokens must have come before in this order. Two make many more drafts, most of them wrong."""
_LATEST_DRAFT = 0.3
"""What the latest draft counts in how many tokens a draft makes: two in a row that are right make a beginning, and a
wrong one right after them the end."""
_LATEST_RUN = 0.2
_MARGIN = 1.1
"""By how much a draft must pay: the figures are noisy, and plain decoding is the quieter course."""
_UNMEASURED = 2.0
"""Runs of a single token that a run with a draft takes, until it has been measured."""
_FORGET = 0.02
"""How far a cost that keeps drafts from being tried goes back to that at every draft, so that one bad moment passes."""


class Drafter:
    """The tokens of one answer so far, its prompt included, and how good the drafts made of them were."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}
        """Where what followed some tokens the last time is."""
        self._draft: tuple[int, ...] = ()
        self._right = 0
        self.made = 1.0
        """Tokens that a run with a draft makes, the latest drafts weighing most."""
        for token_id in ids:
            self.push(token_id)

    def __len__(self) -> int:
        return len(self._ids)

    def push(self, token_id: int) -> None:
        """A token came; a draft that is under way is compared with it."""
        if self._draft:
            self._compare(token_id)
        if len(self._ids) >= _MATCH_TOKENS:
            self._next[tuple(self._ids[-_MATCH_TOKENS:])] = len(self._ids)
        self._ids.append(token_id)

    @property
    def drafting(self) -> bool:
        """Whether the last draft is neither complete nor wrong yet."""
        return bool(self._draft)

    def draft(self, count: int) -> tuple[int, ...]:
        """What may come next, `count` tokens, to be compared with what does; none if the last few tokens are new."""
        begin = self._next.get(tuple(self._ids[-_MATCH_TOKENS:]))
        self._draft, self._right = (), 0
        if begin is not None:
            # A draft that reaches the end of what there is goes on in itself: that is how repetitions repeat.
            period = len(self._ids) - begin
            self._draft = tuple(self._ids[begin + place % period] for place in range(count))
        return self._draft

    def _compare(self, token_id: int) -> None:
        right = token_id == self._draft[self._right]
        self._right += right
        if right and self._right < len(self._draft):
            return
        self.made += _LATEST_DRAFT * (self._right + 1 - self.made)
        self._draft = ()


class Drafted(Struct, frozen=True, kw_only=True):
    """Counts of what was verified."""

    drafts: int = 0
    tokens: int = 0
    accepted: int = 0

    def after(self, tokens: int, accepted: int) -> Drafted:
        """Once another draft was verified."""
        return Drafted(drafts=self.drafts + 1, tokens=self.tokens + tokens, accepted=self.accepted + accepted)


class Costs(Struct, frozen=True, kw_only=True):
    """How long runs of a single row take, with and without a draft, seconds; 0 is not known."""

    single_s: float = 0.0
    draft_s: float = 0.0

    @property
    def ratio(self) -> float:
        """Runs of one token that one with a draft takes."""
        if self.single_s <= 0 or self.draft_s <= 0:
            return _UNMEASURED
        return self.draft_s / self.single_s

    def pays(self, made: float) -> bool:
        """Whether runs that make so many tokens beat as many runs of one."""
        return made >= self.ratio * _MARGIN

    def after_single(self, duration_s: float) -> Costs:
        return Costs(single_s=_moving(self.single_s, duration_s), draft_s=self.draft_s)

    def after_draft(self, duration_s: float) -> Costs:
        return Costs(single_s=self.single_s, draft_s=_moving(self.draft_s, duration_s))

    def after_doubt(self) -> Costs:
        """Once a draft was not used."""
        usual_s = self.single_s * _UNMEASURED
        if self.draft_s <= usual_s:
            return self
        return Costs(single_s=self.single_s, draft_s=self.draft_s + _FORGET * (usual_s - self.draft_s))


class Speculation:
    """Decides when an answer that decodes alone gets a draft. For the engine's thread."""

    def __init__(self, verify_tokens: int) -> None:
        self._count = max(0, verify_tokens - 1)
        self.costs = Costs()
        self.drafted = Drafted()

    def draft(self, drafter: Drafter, room_tokens: int) -> tuple[int, ...]:
        """Tokens to verify now: as many as a run takes, or none. `room_tokens` is what the slot has left for them."""
        if not self._count or room_tokens < self._count:
            return ()
        if self.costs.pays(drafter.made):
            return drafter.draft(self._count)
        if not drafter.drafting and drafter.draft(self._count):
            self.costs = self.costs.after_doubt()
        return ()

    def verified(self, draft: Sequence[int], accepted: int, duration_s: float) -> None:
        """A draft was verified: so many of its tokens were what came."""
        self.drafted = self.drafted.after(len(draft), accepted)
        self.costs = self.costs.after_draft(duration_s)

    def decoded(self, duration_s: float) -> None:
        """One row ran without a draft."""
        self.costs = self.costs.after_single(duration_s)


def _moving(before_s: float, latest_s: float) -> float:
    return before_s + _LATEST_RUN * (latest_s - before_s) if before_s else latest_s
