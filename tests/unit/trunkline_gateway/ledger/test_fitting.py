"""Every row fits into its slot, also the largest that there can be."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from trunkline_gateway.ledger.fitting import CUT, TEXT_BYTES, fitted, shortened
from trunkline_gateway.ledger.rows import TAGS_MAX, TEXT_CHARS_MAX, AttemptRow, decode_rows, encode_rows
from trunkline_gateway.ledger.slots import PAYLOAD_BYTES_MAX

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
)
EMOJI = "\U0001f680"
FIELDS = structs.fields(AttemptRow)


def largest(field):
    """What takes the most bytes in this field."""
    if field.name == "attempt_id":
        return UUID(int=(1 << 128) - 1)
    if field.type is bool:
        return True
    if field.type is str:
        return EMOJI * TEXT_CHARS_MAX
    return (EMOJI * TEXT_CHARS_MAX,) * TAGS_MAX if field.name == "tags" else (1 << 63) - 1


LARGEST = AttemptRow(**{field.name: largest(field) for field in FIELDS})


def test_the_largest_row_fits():
    payload, is_whole = fitted(LARGEST, PAYLOAD_BYTES_MAX)
    assert len(payload) <= PAYLOAD_BYTES_MAX
    assert not is_whole
    (row,) = decode_rows(payload)
    assert row.tags == ()
    assert row.team.endswith(CUT)
    kept = [field.name for field in FIELDS if field.type is not str and field.name != "tags"]
    assert [getattr(row, name) for name in kept] == [getattr(LARGEST, name) for name in kept]


def test_a_row_that_fits_is_as_it_was():
    """With all the tags that a key may have, each as long as one may be."""
    row = structs.replace(ROW, tags=("t" * 64,) * TAGS_MAX, end_user="someone@example.com")
    assert fitted(row, PAYLOAD_BYTES_MAX) == (encode_rows([row]), True)


def test_an_end_user_goes_before_tags_and_tags_before_names():
    row = structs.replace(ROW, end_user=EMOJI * TEXT_CHARS_MAX, tags=("t" * 64,) * TAGS_MAX, team="t" * 200)
    payload, is_whole = fitted(row, PAYLOAD_BYTES_MAX)
    (found,) = decode_rows(payload)
    assert found == structs.replace(row, end_user=shortened(row.end_user))
    assert not is_whole
    (found,) = decode_rows(fitted(structs.replace(row, model="m" * 900), PAYLOAD_BYTES_MAX)[0])
    assert 0 < len(found.tags) < TAGS_MAX
    assert found.tags == row.tags[: len(found.tags)]
    assert (found.model, found.team) == ("m" * 900, "t" * 200)


TEXTS = [field.name for field in FIELDS if field.type is str]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=TEXT_CHARS_MAX)


@given(st.fixed_dictionaries(dict.fromkeys(TEXTS, texts)), st.lists(texts, max_size=TAGS_MAX))
def test_every_row_fits_and_can_be_read(given_texts, tags):
    row = structs.replace(ROW, tags=tuple(tags), **given_texts)
    payload, is_whole = fitted(row, PAYLOAD_BYTES_MAX)
    assert len(payload) <= PAYLOAD_BYTES_MAX
    (found,) = decode_rows(payload)
    assert (found == row) is is_whole
    assert found.tags == row.tags[: len(found.tags)]


@given(texts)
def test_a_text_is_cut_between_characters_and_says_so(text):
    cut = shortened(text)
    assert len(cut.encode()) <= TEXT_BYTES
    assert cut == text or (cut.endswith(CUT) and text.startswith(cut.removesuffix(CUT)))


def test_what_is_no_row_is_refused():
    with pytest.raises(ValueError, match="surrogates"):
        fitted(structs.replace(ROW, team="\ud83d"), PAYLOAD_BYTES_MAX)
