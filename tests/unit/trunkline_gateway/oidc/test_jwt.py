"""Form and signature of tokens."""

import hmac
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from trunkline_gateway.oidc.jwt import ALGORITHMS, NAMES, TOKEN_BYTES_MAX, looks_like_token, parse, verify
from trunkline_gateway.oidc.refusals import Fault, Refused
from trunkline_kit.identity import Algorithm
from trunkline_testkit.issuer import make_key, sign

NAMED = [name for algorithm in Algorithm for name in NAMES[algorithm]]
PAYLOAD = b'{"iss":"https://id.example.com","exp":1}'


def token(alg="ES256", **header):
    key = make_key(alg)
    return sign({"alg": alg, **header}, PAYLOAD, key.key, alg)


def fault_of(action, *arguments):
    with pytest.raises(Refused) as refused:
        action(*arguments)
    return refused.value.fault


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()


@pytest.mark.parametrize("alg", NAMED)
def test_every_algorithm_verifies_what_it_signed_and_nothing_else(alg):
    parsed = parse(token(alg, kid="key-1", typ="JWT"))
    verify(parsed, make_key(alg).key)
    assert (parsed.header.alg, parsed.header.kid, parsed.payload) == (alg, "key-1", PAYLOAD)
    assert fault_of(verify, parsed, make_key(alg, serial=1).key) is Fault.SIGNATURE


def test_only_the_algorithms_of_the_settings_are_there():
    assert set(ALGORITHMS) == set(NAMED)
    assert not {"none", "HS256", "ES256K"} & set(ALGORITHMS)


@pytest.mark.parametrize("alg", NAMED)
@pytest.mark.parametrize("other", NAMED)
def test_a_key_verifies_with_algorithms_of_its_own_kind_only(alg, other):
    kinds = {alg[:2], other[:2]}
    if alg == other or kinds == {"Ed"} or kinds <= {"RS", "PS"}:
        return
    parsed = parse(token(alg))
    assert fault_of(verify, parsed, make_key(other, serial=1).key) is Fault.KEY


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_public_key_is_never_taken_for_a_shared_secret(form):
    public = make_key("RS256").key
    secret = public.as_pem(private=False) if form == "PEM" else public.as_der(private=False)
    head = b'{"alg":"HS256","kid":"key-1"}'
    signed = f"{encoded(head)}.{encoded(PAYLOAD)}"
    forged = f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"
    assert fault_of(verify, parse(forged), public) is Fault.ALGORITHM


def test_a_token_without_a_signature_is_no_token():
    head = encoded(b'{"alg":"none"}')
    assert fault_of(parse, f"{head}.{encoded(PAYLOAD)}.") is Fault.MALFORMED
    unsigned = parse(f"{head}.{encoded(PAYLOAD)}.AAAA")
    assert fault_of(verify, unsigned, make_key("RS256").key) is Fault.ALGORITHM


def test_a_curve_belongs_to_one_algorithm():
    parsed = parse(token("ES256"))
    assert fault_of(verify, parsed, ECKey.generate_key("P-384")) is Fault.KEY
    assert fault_of(verify, parsed, ECKey.generate_key("secp256k1")) is Fault.KEY


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": None},
        {"b64": True},
        {"b64": False},
        {"zip": "DEF"},
        {"typ": "logout+jwt"},
        {"typ": "secevent+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": 1},
        {"kid": 7},
        {"kid": "k" * 513},
    ],
    ids=str,
)
def test_what_the_header_may_not_ask_for(header):
    assert fault_of(parse, token(**header)) is Fault.MALFORMED


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+JWT", None])
def test_types_of_tokens_that_say_who_somebody_is(typ):
    parse(token(**({} if typ is None else {"typ": typ})))


@pytest.mark.parametrize(
    "header", [{"jwk": {"kty": "oct", "k": "AAAA"}}, {"jku": "https://evil"}, {"x5u": "https://e"}]
)
def test_keys_that_a_token_brings_along_are_not_looked_at(header):
    evil = make_key("RS256", serial=1)
    forged = parse(sign({"alg": "RS256", **header}, PAYLOAD, evil.key, "RS256"))
    assert fault_of(verify, forged, make_key("RS256").key) is Fault.SIGNATURE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "a.b",
        "a.b.c.d.e",
        "tl-abc",
        "a.b.c\n",
        "a.b.c=",
        "a b.c.d",
        "ä.b.c",
        "a.b.c\udcff",
    ],
)
def test_what_is_no_token(text):
    assert not looks_like_token(text)
    assert fault_of(parse, text) is Fault.MALFORMED


def test_a_token_is_bounded():
    assert fault_of(parse, token(x="x" * TOKEN_BYTES_MAX)) is Fault.MALFORMED


@pytest.mark.parametrize("head", [b"[1]", b"{", b"{}", b'{"alg":1}', b"\xff", b'{"alg":"ES256","x":' + b"[" * 4000])
def test_headers_that_are_none(head):
    assert fault_of(parse, f"{encoded(head)}.AAAA.AAAA") is Fault.MALFORMED


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text):
    with suppress(Refused):
        parse(text)


GOOD = {alg: token(alg, kid="key-1") for alg in ("ES256", "EdDSA", "RS256")}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


@given(data=st.data(), alg=st.sampled_from(sorted(GOOD)))
def test_a_token_that_was_touched_anywhere_is_refused(data, alg):
    good = GOOD[alg]
    place = data.draw(st.integers(0, len(good) - 1))
    letter = data.draw(st.sampled_from(LETTERS).filter(lambda letter: letter != good[place]))
    touched = good[:place] + letter + good[place + 1 :]
    with pytest.raises(Refused):
        verify(parse(touched), make_key(alg).key)


@given(data=st.data())
def test_a_signature_that_was_cut_or_lengthened_is_refused(data):
    good = GOOD["ES256"]
    length = data.draw(st.integers(1, 85))
    with pytest.raises(Refused):
        verify(parse(good[:-length]), make_key("ES256").key)
    with pytest.raises(Refused):
        verify(parse(good + data.draw(st.text(LETTERS, min_size=1, max_size=5))), make_key("ES256").key)


def test_the_payload_is_what_was_signed():
    other = encoded(msgspec.json.encode({"iss": "https://id.example.com", "exp": 2}))
    head, _, signature = GOOD["ES256"].split(".")
    assert fault_of(verify, parse(f"{head}.{other}.{signature}"), make_key("ES256").key) is Fault.SIGNATURE
