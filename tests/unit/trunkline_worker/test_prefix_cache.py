"""Laws of the prefix cache's bookkeeping, and of what comes back out of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_kit.clock import ManualClock
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.generation import GenerationRequest, SamplingOptions
from trunkline_worker.prefix_cache import BlockIndex, PrefixCache
from trunkline_worker.runtimes.fake import EOS_ID, TURN_ID, ByteCodec, FakeDecoder

KEY = b"k" * 32
chains = st.lists(st.integers(0, 2), min_size=1, max_size=5).map(
    lambda path: [bytes(path[: end + 1]) for end in range(len(path))]
)


def put(index: BlockIndex, chain: list[bytes]) -> None:
    chain = chain[: index.places]
    index.use(chain[: index.match(chain)])
    for block in chain:
        index.place(block)
    index.use(chain)


@settings(max_examples=200)
@given(st.integers(1, 8), st.lists(chains, min_size=1, max_size=20))
def test_a_block_never_outlives_its_beginning(places, puts):
    index = BlockIndex(places)
    known: set[bytes] = set()
    for chain in puts:
        put(index, chain)
        known.update(chain)
        assert index.match(chain) == min(len(chain), places)
        here = {block for block in known if block in index._places}
        assert len(here) == len(index) <= places
        assert all(block[:-1] in here for block in here if len(block) > 1)
        taken = [index._places[block] for block in here]
        assert len(set(taken)) == len(taken)
        assert set(taken) <= set(range(places))


def test_the_least_recently_used_goes_first():
    index = BlockIndex(2)
    put(index, [b"a"])
    put(index, [b"b"])
    index.use([b"a"])
    put(index, [b"c"])
    assert (index.match([b"a"]), index.match([b"b"]), index.match([b"c"])) == (1, 0, 1)


def cache(blocks: int = 8) -> tuple[PrefixCache, FakeDecoder]:
    runtime = FakeDecoder(2, 300, blocks)
    return PrefixCache(runtime, KEY), runtime


def test_only_the_same_beginning_and_tenant_share():
    prefix, _ = cache()
    ids = list(range(40))
    chain = prefix.chain(ids, b"a")
    assert len(chain) == 2
    assert prefix.chain([*ids[:39], 99], b"a") == chain
    changed = prefix.chain([99, *ids[1:]], b"a")
    assert not set(changed) & set(chain)
    assert not set(prefix.chain(ids, b"b")) & set(chain)
    assert prefix.chain(ids, b"") == ()
    other, _ = cache()
    assert other.chain(ids, b"a") == chain
    assert PrefixCache(FakeDecoder(), b"x" * 32).chain(ids, b"a") != chain


def test_two_tokens_are_left_to_prefill():
    prefix, runtime = cache()
    ids = list(range(48))
    runtime.prefill(0, ids, 0)
    chain = prefix.chain(ids, b"a")
    prefix.keep(chain, 0, 48, 0)
    known = {
        length: prefix.known_tokens(prefix.chain(ids[:length], b"a"), length) for length in (1, 16, 17, 18, 33, 34)
    }
    assert known == {1: 0, 16: 0, 17: 0, 18: 16, 33: 16, 34: 32}
    assert prefix.restore(chain, 48, 1) == 32
    assert runtime._kept[1] == ids[:32]
    assert prefix.usage == 3 / 8


def test_without_memory_nothing_is_kept():
    prefix, _ = cache(blocks=0)
    assert prefix.chain(list(range(40)), b"a") == ()
    assert prefix.known_tokens((), 40) == 0
    assert prefix.usage == 0


def test_a_chain_whose_beginning_is_gone_is_not_kept():
    prefix, runtime = cache()
    ids = list(range(48))
    runtime.prefill(0, ids, 0)
    prefix.keep(prefix.chain(ids, b"a"), 16, 48, 0)
    assert prefix.usage == 0


prompts = st.lists(
    st.sampled_from(["the same long beginning of it all, ", "another one that is as long, ", "x", "yz"]), max_size=6
)


@settings(max_examples=80, deadline=None)
@given(st.lists(prompts, min_size=1, max_size=12), st.sampled_from([1, 3, 40]), st.sampled_from([1, 2, 4]))
def test_answers_are_those_without_it(texts, blocks, slots):
    def run(salt: bytes) -> dict[str, tuple[int, ...]]:
        runtime = FakeDecoder(slots, 600, blocks)
        config = BatchConfig(chunk_tokens=24)
        batch = Batcher(runtime, ByteCodec(), frozenset({EOS_ID}), config, ManualClock())
        for number, text in enumerate(texts):
            ids = (*"".join(text).encode(), TURN_ID)
            sampling = SamplingOptions(temperature=1.5, seed=number)
            batch.add(
                GenerationRequest(
                    request_id=str(number), prompt_ids=ids, sampling=sampling, max_tokens=9, cache_salt=salt
                )
            )
        answers: dict[str, tuple[int, ...]] = {}
        while batch.has_work:
            for delta in batch.step():
                answers[delta.request_id] = answers.get(delta.request_id, ()) + delta.token_ids
                assert delta.usage.cached_tokens < delta.usage.prompt_tokens
        return answers

    assert run(b"tenant") == run(b"")


def test_a_second_request_reports_what_was_cached():
    runtime = FakeDecoder(1, 600)
    batch = Batcher(runtime, ByteCodec(), frozenset({EOS_ID}), BatchConfig(), ManualClock())
    ids = (*("x" * 100).encode(), TURN_ID)
    cached = []
    for number in range(2):
        batch.add(GenerationRequest(request_id=str(number), prompt_ids=ids, max_tokens=1, cache_salt=b"t"))
        assert batch.load().waiting_tokens == (5 if number else 101)
        cached.append(batch.step()[-1].usage.cached_tokens)
    assert cached == [0, 96]
    load = batch.load()
    assert (load.hits.queried_tokens, load.hits.found_tokens) == (202, 96)
    assert 0.4 < load.hits.ratio < 0.5
    assert load.prefix_usage == 6 / 64
