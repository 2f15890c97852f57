"""The layout of the journal: what is read back is what was written, at every moment between two stores."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline_gateway.ledger.rows import LOST, AttemptRow, encode_rows
from trunkline_gateway.ledger.slots import HEAD_BYTES, SLOT_BYTES, Found, Left, Slots, Unreadable, read, size_bytes

COUNT = 4
LOST_ROW = AttemptRow(
    attempt_id=UUID(int=7),
    started_us=1,
    request_id="r",
    attempt=1,
    org="o",
    team="t",
    key_id="k",
    surface="chat",
    model_asked="m",
    model="m",
    provider="p",
    provider_model="pm",
    route="",
    outcome=LOST,
)
OK_ROW = replace(LOST_ROW, outcome="ok")


@pytest.fixture
def block():
    return bytearray(size_bytes(COUNT))


@pytest.fixture
def slots(block):
    made = Slots(memoryview(block), COUNT)
    yield made
    made.release()


def test_rows_come_back_with_what_was_counted(slots, block):
    slots.write(2, encode_rows([LOST_ROW]))
    slots.progress(2, 10.0)(5, 10.25)
    assert read(bytes(block)) == Left((Found(LOST_ROW, 5, 250),))
    slots.clear(2)
    assert read(bytes(block)) == Left(())


def test_a_slot_that_is_used_again_counts_from_the_beginning(slots, block):
    slots.write(0, encode_rows([LOST_ROW]))
    slots.progress(0, 0.0)(9, 1.0)
    slots.clear(0)
    slots.write(0, encode_rows([OK_ROW]))
    assert read(bytes(block)).found == (Found(OK_ROW),)


@pytest.mark.parametrize("order", [(LOST_ROW, OK_ROW), (OK_ROW, LOST_ROW)])
def test_of_two_rows_of_an_attempt_the_settled_one_counts(slots, block, order):
    for slot, row in enumerate(order):
        slots.write(slot, encode_rows([row]))
    assert read(bytes(block)).found == (Found(OK_ROW),)


@given(st.binary(min_size=1, max_size=SLOT_BYTES))
def test_whatever_a_power_cut_leaves_in_a_slot_is_told_apart(noise):
    block = bytearray(size_bytes(COUNT))
    slots = Slots(memoryview(block), COUNT)
    slots.write(0, encode_rows([OK_ROW]))
    slots.release()
    before = bytes(block)
    at = HEAD_BYTES + SLOT_BYTES
    block[at : at + len(noise)] = noise
    left = read(bytes(block))
    assert left.found == (Found(OK_ROW),)
    used = any(noise[:4])
    assert left.damaged == int(used)
    assert read(before) == Left((Found(OK_ROW),))


def test_a_row_with_a_bit_turned_is_damaged_and_so_is_a_payload_that_is_no_row(slots, block):
    slots.write(0, encode_rows([OK_ROW]))
    block[HEAD_BYTES + 40] ^= 1
    slots.write(1, b"\xc1")
    slots.write(2, encode_rows([OK_ROW, OK_ROW]))
    assert read(bytes(block)) == Left((), 3)


@pytest.mark.parametrize("data", [b"", b"x" * 10, b"x" * size_bytes(COUNT)])
def test_what_is_no_journal_is_not_read(data):
    with pytest.raises(Unreadable):
        read(data)


def test_a_journal_that_was_cut_off_is_not_read(slots, block):
    with pytest.raises(Unreadable):
        read(bytes(block[:-1]))


def test_a_block_that_is_too_small_is_refused(block):
    with pytest.raises(ValueError, match="do not fit"):
        Slots(memoryview(block), COUNT + 1)


def test_counts_beyond_a_word_do_not_break_a_stream(slots, block):
    slots.write(0, encode_rows([LOST_ROW]))
    slots.progress(0, 0.0)(1 << 40, 1e12)
    assert len(read(bytes(block)).found) == 1
