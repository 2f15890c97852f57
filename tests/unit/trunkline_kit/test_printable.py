import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.printable import REPLACEMENT, printable, printable_json, printable_lines

TURNS = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def controls(text):
    return {char for char in text if unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"} or char in TURNS}


@given(st.text(st.characters()))
def test_nothing_is_left_that_a_terminal_obeys(text):
    assert not controls(printable(text))
    assert controls(printable_lines(text)) <= {"\n", "\t"}
    assert len(printable(text)) == len(text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters=TURNS)))
def test_all_other_text_stays_as_it_is(text):
    assert printable(text) == printable_lines(text) == text


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "\x9b31m", "a\rb", "a\x7f", "\u202egnp"])
def test_what_it_is_for(text):
    assert REPLACEMENT in printable(text)
    assert REPLACEMENT in printable_lines(text)


def test_lines_stay_lines_and_emoji_whole():
    assert printable_lines("a\tb\r\nc\n") == "a\tb\nc\n"
    assert printable("a\nb") == f"a{REPLACEMENT}b"
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert printable(family) == family


@given(st.dictionaries(st.text(), st.text()))
def test_json_means_the_same(value):
    told = printable_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    assert json.loads(told) == value
    assert controls(told) <= {"\n"}
