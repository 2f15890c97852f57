"""The search for secrets finds them, or every test that uses it would be green for nothing."""

import base64
import hashlib
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.secrets import Secret
from trunkline_testkit.canaries import Canaries, objects_of

VALUE = "sk-canary+/ä 0123456789"
CANARIES = Canaries({"key": VALUE})


def found(text):
    return [leak.canary for leak in CANARIES.leaks("here", text)]


@given(before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_every_form_is_found_whatever_stands_around_it(before, after):
    data = VALUE.encode()
    forms = [
        data,
        data[::-1],
        quote(VALUE, safe="").encode(),
        data.hex().encode(),
        hashlib.sha256(data).hexdigest().encode(),
        ascii(VALUE)[1:-1].encode(),
    ]
    for form in forms:
        assert found(before + form + after)
    assert found(base64.b64encode(before + data + after))
    assert found(base64.urlsafe_b64encode(before + data + after))


@given(st.binary(max_size=2000))
def test_nothing_is_found_where_nothing_is(data):
    assert not found(data)


def test_a_leak_does_not_say_the_secret():
    (leak,) = (one for one in CANARIES.leaks("log", f"before {VALUE} after") if one.form == "plain")
    assert (leak.place, leak.around) == ("log", "before [HERE] after")


def test_short_secrets_are_none():
    with pytest.raises(ValueError, match="too short"):
        CANARIES.add("short", "abc")


@dataclass
class Holder:
    inside: object


def test_objects_are_found_by_whatever_way():
    secret = Secret(VALUE)
    held = Holder({"list": [lambda: secret]})
    assert [one for one in objects_of(held, "trunkline_kit") if one is secret]
