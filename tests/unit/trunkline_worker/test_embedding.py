from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.embedding import EmbedConfig, batches


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 20), st.integers(1, 2000))
def test_every_text_once_and_no_run_over_the_bounds(lengths, texts, tokens):
    groups = batches(lengths, EmbedConfig(batch_texts=texts, batch_tokens=tokens))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) <= texts
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= tokens
