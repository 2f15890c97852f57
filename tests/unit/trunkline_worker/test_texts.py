"""Texts as rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from trunkline_kit.errors import InvalidRequest
from trunkline_worker.texts import TokenRow, check_count, encode_pairs, encode_texts, off_loop, padded


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3} | {chr(97 + n): 4 + n for n in range(26)}
    made = Tokenizer(models.WordPiece(vocab=words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def test_texts_are_cut_before_their_closing_token(tokenizer):
    made = encode_texts(tokenizer, ["a b c d", "a"], 4)
    assert [list(row.ids) for row in made.rows] == [[2, 4, 5, 3], [2, 4, 3]]
    assert (made.prompt_tokens, made.truncated) == (7, 1)


def test_pairs_say_where_the_second_text_begins(tokenizer):
    made = encode_pairs(tokenizer, "a b", ["c", "c d e f g h", ""], 7)
    assert [list(row.ids) for row in made.rows] == [[2, 4, 5, 3, 6, 3], [2, 4, 5, 3, 6, 7, 3], [2, 4, 5, 3, 3]]
    assert [row.second for row in made.rows] == [4, 4, 4]
    assert (made.prompt_tokens, made.truncated) == (18, 1)
    assert tokenizer.truncation is None


@given(st.lists(st.lists(st.integers(4, 29), min_size=1, max_size=9), min_size=1, max_size=6), st.integers(0, 5))
def test_padding_can_be_taken_away_again(rows, second):
    made = padded([TokenRow(ids, second) for ids in rows], 0)
    for index, ids in enumerate(rows):
        length = made.mask[index].sum()
        assert made.ids[index, :length].tolist() == ids
        assert not made.ids[index, length:].any()
        assert made.types[index].sum() == (max(0, len(ids) - second) if second else 0)


@pytest.mark.parametrize("count", [0, 2049])
def test_counts(count):
    with pytest.raises(InvalidRequest, match="1 to 2048"):
        check_count(count, "input")


async def test_long_texts_are_read_in_a_thread(tokenizer):
    for text in ("a b", "a " * 5000):
        made = await off_loop(lambda text=text: encode_texts(tokenizer, [text], 8), [text])
        assert len(made.rows) == 1
