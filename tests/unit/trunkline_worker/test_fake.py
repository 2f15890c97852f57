import pytest

from trunkline_kit.errors import Internal
from trunkline_worker.runtimes.base import DecoderRuntime
from trunkline_worker.runtimes.fake import EOS_ID, TURN_ID, ByteCodec, FakeDecoder


def test_blocks_bring_tokens_into_another_slot():
    fake: DecoderRuntime = FakeDecoder(2, 50, blocks=2)
    ids = [*b"sixteen tokens..", *b"more", TURN_ID]
    alone = fake.prefill(0, ids, 0)
    fake.keep(0, 0, 1)
    fake.restore(1, 1, 0)
    assert (fake.prefill(1, ids[16:], 16) == alone).all()
    assert fake.cost is None


def test_it_says_back_the_last_message():
    fake, ids = FakeDecoder(1, 50), [*b"first", TURN_ID, *b"hi", TURN_ID]
    said = [int(fake.prefill(0, ids, 0).argmax())]
    while said[-1] != EOS_ID:
        ids.append(said[-1])
        said.append(int(fake.decode([said[-1]], [len(ids)])[0].argmax()))
    assert ByteCodec().decode(said) == "hi"


def test_it_finds_an_engine_out_that_mixes_slots_up():
    fake = FakeDecoder(2, 10)
    with pytest.raises(Internal, match="slot 1 holds 0 tokens"):
        fake.prefill(1, [1], 5)
    with pytest.raises(Internal, match="of 10"):
        fake.prefill(0, [1] * 11, 0)


def test_the_same_context_gives_the_same_logits():
    first, second = FakeDecoder(2, 50), FakeDecoder(2, 50)
    first.prefill(0, [1, 2, 3], 0)
    first.move(0, 1, 2)
    assert (first.prefill(1, [3], 2) == second.prefill(0, [1, 2, 3], 0)).all()
