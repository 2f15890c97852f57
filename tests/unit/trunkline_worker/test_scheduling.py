"""The batcher as a state machine, driven through whatever hypothesis thinks of: nothing is lost, leaked or starved."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trunkline_kit.clock import ManualClock
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.generation import FinishReason, GenerationRequest, SamplingOptions
from trunkline_worker.runtimes.fake import EOS_ID, TURN_ID, ByteCodec, FakeDecoder

SLOTS, SLOT_TOKENS, CHUNK = 3, 80, 8
GREEDY = SamplingOptions(temperature=0)


class Counting(FakeDecoder):
    """Notes what each step did."""

    def __init__(self, least_rows: int) -> None:
        super().__init__(SLOTS, SLOT_TOKENS, blocks=6, least_rows=least_rows)
        self.read_tokens = 0
        self.decoded_rows = 0

    def prefill(self, slot, ids, past):
        assert 0 <= slot < SLOTS
        self.read_tokens += len(ids)
        return super().prefill(slot, ids, past)

    def decode(self, ids, lengths, *, repeatable=True):
        self.decoded_rows += len(ids)
        return super().decode(ids, lengths, repeatable=repeatable)


class Scheduling(RuleBasedStateMachine):
    least_rows = 1

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.runtime = ManualClock(), Counting(self.least_rows)
        config = BatchConfig(chunk_tokens=CHUNK, promote_s=5.0)
        self.batch = Batcher(self.runtime, ByteCodec(), frozenset({EOS_ID}), config, self.clock)
        self.asked: dict[str, GenerationRequest] = {}
        self.texts: dict[tuple[str, int], str] = {}
        self.ends: dict[tuple[str, int], FinishReason] = {}

    @rule(
        text=st.text("abé", max_size=20),
        choices=st.integers(1, 4),
        priority=st.integers(-2, 2),
        salt=st.sampled_from([b"", b"t"]),
        patience_s=st.none() | st.floats(0, 20),
    )
    def ask(self, text, choices, priority, salt, patience_s):
        name = str(len(self.asked))
        request = GenerationRequest(
            request_id=name,
            prompt_ids=(*text.encode(), TURN_ID),
            sampling=GREEDY,
            choices=choices,
            priority=priority,
            cache_salt=salt,
            deadline_s=None if patience_s is None else self.clock.monotonic_s() + patience_s,
        )
        self.asked[name] = request
        self.batch.add(request)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def cancel(self, data):
        name = data.draw(st.sampled_from(sorted(self.asked)))
        before = {key for key in self.ends if key[0] == name}
        self.take(self.batch.cancel(name))
        # Cancelling ends every answer of the request, begun or not, at once.
        assert {key for key in self.ends if key[0] == name} == {(name, at) for at in range(self.asked[name].choices)}
        assert all(self.ends[key] is FinishReason.ABORTED for key in self.ends.keys() - before if key[0] == name)

    @rule()
    def step(self):
        load = self.batch.load()
        busy = {key for key in self.texts if key not in self.ends}
        self.runtime.read_tokens = self.runtime.decoded_rows = 0
        made = self.batch.step()
        self.take(made)
        # Bounded: between two decode steps there is a chunk at most. Conserved: who decodes gets a token in each step.
        assert self.runtime.read_tokens <= CHUNK
        spoke = {(delta.request_id, delta.index) for delta in made}
        assert busy <= spoke
        if load.waiting or load.running:
            assert made or self.runtime.read_tokens or self.runtime.decoded_rows
        if load.waiting and load.running < SLOTS:
            assert self.runtime.read_tokens or any(delta.finish for delta in made)

    def take(self, deltas):
        for delta in deltas:
            key = (delta.request_id, delta.index)
            assert key not in self.ends, "a delta after the end"
            self.texts[key] = self.texts.get(key, "") + delta.text
            if delta.finish is not None:
                self.ends[key] = delta.finish

    @invariant()
    def counts_agree(self):
        load = self.batch.load()
        assert 0 <= load.running <= SLOTS
        assert 0 <= load.kv_usage <= 1
        assert self.batch.has_work == bool(load.running or load.waiting)
        assert load.waiting_tokens >= 0

    def teardown(self):
        """Left alone, it ends everything, with the right answers, within a bounded number of steps."""
        tokens = sum((len(one.prompt_ids) * 2 + 2) * one.choices for one in self.asked.values())
        for _ in range(tokens + 10):
            if not self.batch.has_work:
                break
            self.take(self.batch.step())
        assert not self.batch.has_work
        load = self.batch.load()
        assert (load.running, load.waiting, load.waiting_tokens, load.kv_usage) == (0, 0, 0, 0)
        assert set(self.ends) == {(name, at) for name, one in self.asked.items() for at in range(one.choices)}
        for (name, _), text in self.texts.items():
            prompt = bytes(self.asked[name].prompt_ids[:-1]).decode()
            assert prompt.startswith(text.rstrip("\ufffd"))
        for key, finish in self.ends.items():
            if finish is FinishReason.STOP:
                assert self.texts[key] == bytes(self.asked[key[0]].prompt_ids[:-1]).decode()


class SchedulingByPairs(Scheduling):
    """A model that runs a lone answer on two slots."""

    least_rows = 2


TestScheduling = Scheduling.TestCase
TestSchedulingByPairs = SchedulingByPairs.TestCase
TestScheduling.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSchedulingByPairs.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
