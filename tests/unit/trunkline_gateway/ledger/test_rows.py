from uuid import UUID

import msgspec
import pytest

from trunkline_gateway.ledger.rows import (
    ROWS_PER_BATCH_MAX,
    TEXT_CHARS_MAX,
    AttemptRow,
    batches,
    decode_rows,
    encode_rows,
    plain,
)

ROW = AttemptRow(
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
    end_user="u",
    tags=("a", "b"),
    image_output_tokens=3,
)


def test_there_and_back():
    assert decode_rows(encode_rows([ROW, ROW])) == [ROW, ROW]


def test_rows_of_a_newer_gateway_are_read_and_those_of_an_older_one_too():
    (fields,) = msgspec.msgpack.decode(encode_rows([ROW]))
    assert decode_rows(msgspec.msgpack.encode([[*fields, "a field of tomorrow"]])) == [ROW]
    older = decode_rows(msgspec.msgpack.encode([fields[:31]]))
    assert older == [msgspec.structs.replace(ROW, tags=(), image_output_tokens=0)]


def test_batches_are_bounded():
    made = list(batches([ROW] * (ROWS_PER_BATCH_MAX + 1)))
    assert [len(decode_rows(payload)) for payload in made] == [ROWS_PER_BATCH_MAX, 1]
    assert list(batches([])) == []


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode([[1]])])
def test_what_is_no_batch_is_refused(payload):
    with pytest.raises(msgspec.DecodeError):
        decode_rows(payload)


def test_text_is_fit_for_the_database():
    assert plain("a\0b") == "ab"
    assert len(plain("x" * 1000)) == TEXT_CHARS_MAX
