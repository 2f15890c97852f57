"""Beginnings of prompts: shared as far as they are alike, bounded, and never without their own beginning."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.replicas.prefixes import BLOCK_BYTES, BLOCKS_MAX, PrefixIndex, chain_of

SALT = b"tenant"


def prompt(*letters):
    return b"".join(letter.encode() * BLOCK_BYTES for letter in letters)


texts = st.lists(st.sampled_from("abc"), max_size=8).map(lambda letters: prompt(*letters))


def test_prompts_share_as_many_blocks_as_they_begin_alike():
    one, other = chain_of(SALT, b"", prompt(*"aab") + b"rest"), chain_of(SALT, b"", prompt(*"aac"))
    assert (len(one), len(other)) == (3, 3)
    assert one[:2] == other[:2]
    assert one[2] != other[2]


def test_tenants_and_heads_share_nothing():
    chains = [
        chain_of(SALT, b"", prompt("a")),
        chain_of(b"other", b"", prompt("a")),
        chain_of(SALT, b"tools", prompt("a")),
    ]
    assert len(set(chains)) == 3
    assert chain_of(b"", b"", prompt("a")) == ()


def test_a_salt_of_any_length_will_do_and_a_prompt_is_cut():
    assert len(chain_of(b"x" * 500, b"", bytes(BLOCK_BYTES * (BLOCKS_MAX + 9)))) == BLOCKS_MAX
    assert chain_of(SALT, b"", b"short") == ()


@given(st.lists(texts, max_size=12), texts, st.integers(0, 10))
def test_what_is_found_is_the_beginning_of_what_is_there(sent, asked, size):
    index = PrefixIndex(size)
    for text in sent:
        index.add(chain_of(SALT, b"", text))
        assert len(index) <= size
    chain = chain_of(SALT, b"", asked)
    walked = 0
    while walked < len(chain) and chain[walked] in index._blocks:
        walked += 1
    assert index.match(chain) == walked
    assert not any(block in index._blocks for block in chain[walked:])


@given(texts, st.integers(0, 10))
def test_what_was_sent_last_is_found_as_far_as_there_is_room(text, size):
    index, chain = PrefixIndex(size), chain_of(SALT, b"", text)
    index.add(chain_of(SALT, b"", prompt("z")))
    index.add(chain)
    assert index.match(chain) == min(size, len(chain))


def test_less_room_drops_the_ends_first():
    index, chain = PrefixIndex(8), chain_of(SALT, b"", prompt(*"abcd"))
    index.add(chain)
    index.blocks_max = 2
    assert (index.blocks_max, index.match(chain)) == (2, 2)
    index.clear()
    assert (len(index), index.match(chain)) == (0, 0)
