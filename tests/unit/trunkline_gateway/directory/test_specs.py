"""Specs as they are stored: short, and the same when they come back."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.directory.objects import SPECS, Kind, SecretMark
from trunkline_gateway.directory.specs import (
    UnknownSpec,
    audit_document,
    decode_spec,
    default_text,
    encode_spec,
    field_text,
)
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.tenants import Budget, KeySpec, Limit, Org, PerEndUser, Period, Priority, Project, Scope, Tag, Team

LIMITS = st.lists(
    st.one_of(
        st.builds(Limit, requests=st.integers(1, 2**53), per_s=st.floats(0.001, 31_622_400)),
        st.builds(Limit, concurrent=st.integers(1, 99)),
    ),
    max_size=3,
).map(tuple)
BUDGETS = st.lists(
    st.builds(
        Budget,
        amount_usd=st.floats(0, 9_000_000),
        period=st.sampled_from(Period),
        time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    ),
    max_size=2,
).map(tuple)
EACH = st.builds(PerEndUser, limits=LIMITS, budgets=BUDGETS)
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SPECS_OF = {
    Kind.ORG: st.builds(Org, limits=LIMITS, budgets=BUDGETS),
    Kind.TEAM: st.builds(Team, org=TEXTS, limits=LIMITS, end_user=EACH, weight=st.floats(0.01, 1000)),
    Kind.PROJECT: st.builds(Project, team=TEXTS, budgets=BUDGETS),
    Kind.TAG: st.builds(Tag, limits=LIMITS),
    Kind.MODEL: st.builds(Tag, budgets=BUDGETS),
    Kind.KEY: st.builds(
        KeySpec,
        team=TEXTS,
        project=st.none() | TEXTS,
        models=st.lists(TEXTS, max_size=3).map(tuple),
        scopes=st.lists(st.sampled_from(Scope), max_size=4).map(tuple),
        disabled=st.booleans(),
        expires_at=st.none() | MOMENTS,
        networks=st.sampled_from([(), ("10.0.0.0/8",), ("2001:db8::1", "::/0")]),
        limits=LIMITS,
        end_user=EACH,
        priority=st.sampled_from(Priority),
        queue_wait_s=st.none() | st.floats(0.1, 100),
    ),
    Kind.PRICE: st.builds(
        PriceOverride,
        provider=TEXTS,
        team=st.none() | TEXTS,
        input_usd=st.floats(0, 1e6),
        cache_read_usd=st.none() | st.floats(0, 1e6),
        gpu_requests=st.integers(1, 99),
    ),
}


@given(st.sampled_from(Kind).flatmap(lambda kind: st.tuples(st.just(kind), SPECS_OF[kind])))
def test_what_is_stored_comes_back_as_it_was(drawn):
    kind, spec = drawn
    assert decode_spec(kind, encode_spec(spec)) == spec


@pytest.mark.parametrize("kind", Kind)
def test_what_is_as_by_default_is_not_stored(kind):
    plain = PriceOverride(provider="up") if kind is Kind.PRICE else SPECS[kind]()
    assert encode_spec(plain) == ('{"provider":"up"}' if kind is Kind.PRICE else "{}")
    assert encode_spec(Team(limits=(Limit(concurrent=1),))) == '{"limits":[{"concurrent":1}]}'
    budget = Budget(amount_usd=1, period=Period.DAY)
    nested = PerEndUser(budgets=(budget,))
    assert encode_spec(Team(end_user=nested)) == '{"end_user":{"budgets":[{"amount_usd":1,"period":"day"}]}}'


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (Kind.KEY, '{"invented": 1}', "invented"),
        (Kind.KEY, '{"team": 1}', "str"),
        (Kind.PRICE, "{}", "provider"),
        (Kind.TEAM, "[]", "array"),
        (Kind.TEAM, "{", "truncated"),
        (Kind.TEAM, '{"limits":' + "[" * 100_000, "."),
        (Kind.TEAM, '{"limits": [{"requests": 1}]}', r"limits\[0\]: requests needs per_s"),
        (Kind.KEY, '{"networks": ["10.0.0.0/99"]}', "no network"),
        (Kind.ORG, '{"budgets": [{"amount_usd": 1, "period": "day", "time_zone": "Mars"}]}', "no time zone"),
    ],
)
def test_what_cannot_be_relied_on_is_not_read(kind, text, says):
    with pytest.raises(UnknownSpec, match=says):
        decode_spec(kind, text)


def test_the_audit_log_shows_all_of_a_spec_and_marks_of_secrets():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    shown = msgspec.json.decode(audit_document(KeySpec(), [SecretMark(last_four="abcd", created_at=moment)]))
    assert shown["secrets"] == [{"last_four": "abcd", "created_at": "2026-01-01T00:00:00Z", "expires_at": None}]
    assert shown["models"] == ["*"]
    assert "secrets" not in msgspec.json.decode(audit_document(Team(), None))


def test_fields_as_text_are_as_postgres_gives_them():
    assert [field_text(value) for value in (True, False, "x", Priority.BATCH, None, 3)] == [
        "true",
        "false",
        "x",
        "batch",
        None,
        None,
    ]
    assert default_text(Kind.KEY, "disabled") == "false"
    assert default_text(Kind.KEY, "project") is None
    assert default_text(Kind.KEY, "priority") == "normal"
    assert default_text(Kind.PRICE, "provider") is None
