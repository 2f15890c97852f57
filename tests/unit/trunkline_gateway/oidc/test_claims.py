"""What a token says."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.oidc.claims import bearer, check, registered, values_at
from trunkline_gateway.oidc.refusals import Fault, Refused
from trunkline_kit.identity import Oidc
from trunkline_kit.tenants import Scope
from trunkline_testkit.issuer import START_S as NOW_S

ISSUER = "https://id.example.com"


def settings(**more):
    return Oidc(issuer=ISSUER, audience=("trunkline", "other"), **more)


def payload(**claims):
    base = {"iss": ISSUER, "aud": "trunkline", "sub": "ann", "exp": NOW_S + 60, **claims}
    return msgspec.json.encode({name: value for name, value in base.items() if value is not None})


def fault_of(now_s=NOW_S, given=None, **claims):
    try:
        check(registered(payload(**claims)), given or settings(), now_s)
    except Refused as refused:
        return refused.fault
    return None


def who(given=None, **claims):
    return bearer("corp", given or settings(), payload(**claims), NOW_S + 90)


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        ({}, None),
        ({"iss": ISSUER + "/"}, Fault.ISSUER),
        ({"iss": ISSUER.upper()}, Fault.ISSUER),
        ({"aud": "trunklin"}, Fault.AUDIENCE),
        ({"aud": None}, Fault.AUDIENCE),
        ({"aud": []}, Fault.AUDIENCE),
        ({"aud": ["somebody", "other"]}, None),
        ({"exp": NOW_S - 29}, None),
        ({"exp": NOW_S - 30}, Fault.EXPIRED),
        ({"exp": -1}, Fault.EXPIRED),
        ({"nbf": NOW_S + 30}, None),
        ({"nbf": NOW_S + 31}, Fault.NOT_YET_VALID),
        ({"iat": NOW_S + 30}, None),
        ({"iat": NOW_S + 31}, Fault.NOT_YET_VALID),
        ({"iat": NOW_S + 20, "exp": NOW_S + 20}, Fault.CLAIMS),
        ({"exp": None}, Fault.CLAIMS),
        ({"exp": "soon"}, Fault.CLAIMS),
        ({"exp": True}, Fault.CLAIMS),
        ({"nbf": "now"}, Fault.CLAIMS),
        ({"iss": None}, Fault.CLAIMS),
        ({"iss": 1}, Fault.CLAIMS),
        ({"aud": {"trunkline": 1}}, Fault.CLAIMS),
        ({"aud": [1]}, Fault.CLAIMS),
        ({"cnf": {"jkt": "x"}}, Fault.BOUND),
    ],
    ids=str,
)
def test_what_every_token_must_say(claims, fault):
    assert fault_of(**claims) is fault


SECONDS = st.integers(-1000, 1000)


@given(exp=SECONDS, nbf=st.none() | SECONDS, leeway_s=st.integers(0, 300), at_s=SECONDS)
def test_a_token_counts_in_its_time_and_no_other(exp, nbf, leeway_s, at_s):
    has_begun = nbf is None or nbf - leeway_s <= at_s
    is_over = at_s >= exp + leeway_s
    claims = {"exp": NOW_S + exp} if nbf is None else {"exp": NOW_S + exp, "nbf": NOW_S + nbf}
    fault = fault_of(NOW_S + at_s, settings(leeway_s=leeway_s), **claims)
    if is_over or not has_begun:
        assert fault in {Fault.EXPIRED, Fault.NOT_YET_VALID}
    else:
        assert fault is (Fault.CLAIMS if nbf is not None and exp <= nbf else None)


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b'{"iss":"a","exp":1e999}', b'{"x":' + b"[" * 5000])
def test_payloads_that_are_none(data):
    with pytest.raises(Refused) as refused:
        registered(data)
    assert refused.value.fault is Fault.CLAIMS


@pytest.mark.parametrize(
    ("claims", "path", "found"),
    [
        ({"team": "a"}, "team", ["a"]),
        ({"team": ["a", "b"]}, "team", ["a", "b"]),
        ({"team": []}, "team", []),
        ({}, "team", []),
        ({"org": {"team": "a"}}, "org.team", ["a"]),
        ({"org": "a"}, "org.team", []),
        ({"org": [{"team": "a"}]}, "org.team", []),
        ({"https://x.example/team": "a"}, "https://x.example/team", ["a"]),
        ({"access": {"my.client": {"roles": ["a"]}}}, "access.my.client.roles", ["a"]),
        ({"a.b": {"c": 1}, "a": {"b": {"c": 2}}}, "a.b.c", [1]),
        ({"a.b": "no", "a": {"b": {"c": 2}}}, "a.b.c", [2]),
        ({"": 1}, "", [1]),
        ({"a": {"": 1}}, "a.", [1]),
        ({".a": 1}, ".a", [1]),
    ],
    ids=str,
)
def test_dots_lead_into_objects(claims, path, found):
    assert list(values_at(claims, path)) == found


NAMES = st.text(st.characters(categories=["Ll", "Nd"], include_characters=".:/"), min_size=1, max_size=8)


@given(st.lists(NAMES, min_size=1, max_size=4), st.text())
def test_whatever_the_names_a_value_is_found_by_the_way_to_it(names, value):
    claims = value
    for name in reversed(names):
        claims = {name: claims}
    assert list(values_at(claims, ".".join(names))) == [value]


def test_teams_are_names_of_teams_here_unless_they_are_mapped():
    assert who(team=["search", "ads", "search", 7]).teams == ("search", "ads")
    mapped = settings(teams={"CN=Search": "search", "CN=Ads": "ads"}, team_claim="groups")
    assert who(mapped, groups=["search", "CN=Ads", "CN=Search"]).teams == ("ads", "search")
    assert who(mapped, team="search").teams == ()


def test_roles_add_scopes():
    given = settings(roles={"admin": (Scope.ADMIN_WRITE,), "ops admin": (Scope.METRICS,)})
    assert who(given).scopes == {Scope.INFERENCE}
    assert who(given, roles=["x", "admin"]).scopes == {Scope.INFERENCE, Scope.ADMIN_WRITE}
    # A name with a space in it is one name, and none of its words.
    assert who(given, roles="ops admin").scopes == {Scope.INFERENCE, Scope.METRICS}


@pytest.mark.parametrize("claim", ["scope", "scp", "auth.scope"])
def test_scopes_of_oauth_are_words(claim):
    given = settings(roles_claim=claim, scopes=(), roles={"admin": (Scope.ADMIN_READ,)})
    claims = {"auth": {"scope": "openid admin"}, "scope": "openid admin", "scp": ["openid", "admin"]}
    assert who(given, **claims).scopes == {Scope.ADMIN_READ}
    assert who(given).scopes == frozenset()


def test_the_bearer_is_the_subject():
    found = who()
    assert (found.provider, found.subject, found.expires_s) == ("corp", "ann", NOW_S + 90)
    assert who(settings(subject_claim="user.id"), user={"id": 7}).subject == "7"


@pytest.mark.parametrize("subject", [None, "", 1.5, True, {}, [], "a\0b", "a\nb", "s" * 256])
def test_subjects_that_are_none(subject):
    with pytest.raises(Refused) as refused:
        who(sub=subject)
    assert refused.value.fault is Fault.CLAIMS


def test_claims_that_cannot_be_read():
    with pytest.raises(Refused):
        bearer("corp", settings(), b'{"sub":"ann","x":1e999}', NOW_S)
