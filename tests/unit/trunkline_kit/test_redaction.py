"""No secret comes through, whatever stands around it."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trunkline_kit.redaction import REDACTED, is_secret_name, redact

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
bodies = st.text(LETTERS, min_size=12, max_size=48)
around = st.text(max_size=30)


@given(around, st.sampled_from(["tl-", "sk-", "sk-ant-", "sk-proj-", "ghp_", "hf_"]), bodies, around)
def test_keys_by_prefix(before, prefix, body, after):
    assume(body not in before + after)
    assert body not in redact(f"{before} {prefix}{body}{after}")
    assert body not in redact(repr(f"{before}\n{prefix}{body}{after}"))


@given(around, st.sampled_from(["Bearer ", "bearer ", "Basic ", "BEARER  "]), bodies, around)
def test_authorization_schemes(before, scheme, body, after):
    assume(body not in before + after)
    assert body not in redact(f"{before} {scheme}{body} {after}")


@given(
    around,
    st.sampled_from(["authorization", "Authorization", "x-api-key", "api_key", "apiKey", "client_secret", "password"]),
    st.sampled_from(["=", ": ", '": "', "': '", "=Bearer ", ": Basic "]),
    bodies,
)
def test_named_values(before, name, separator, body):
    assume(body not in before)
    assert body not in redact(f"{before} {name}{separator}{body}")


@given(bodies)
def test_passwords_in_urls(password):
    text = redact(f"postgresql://trunkline:{password}@db:5432/trunkline")
    assert password not in text
    assert text.endswith("@db:5432/trunkline")


@given(st.text())
def test_twice_is_once(text):
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a request took 12 ms",
        "model smollm2-135m, route auto",
        "task-list",
        "http://router:8080/v1",
        "risk-free",
        "disk-utilization is 0.5",
    ],
)
def test_ordinary_text_stays(text):
    assert redact(text) == text


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api_key", "apiKey", "client_secret", "Set-Cookie"])
def test_names_that_hide_their_value(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["model", "key_id", "tokens", "max_tokens", "route"])
def test_names_that_do_not(name):
    assert not is_secret_name(name)


def test_the_mark_is_no_secret():
    assert redact(REDACTED) == REDACTED
