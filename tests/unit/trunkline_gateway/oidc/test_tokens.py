"""Whose a token is, with the keys at hand."""

from functools import partial

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.oidc.binding import Tenancy
from trunkline_gateway.oidc.jwks import IssuerKeys
from trunkline_gateway.oidc.meters import RESULTS, TokenMeters
from trunkline_gateway.oidc.tokens import KNOWN_MAX, KNOWN_S, Tokens
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import PermissionDenied, Unauthenticated, Unavailable
from trunkline_kit.lifecycle import background
from trunkline_kit.tenants import Scope, Team
from trunkline_testkit.issuer import START_S, make_key

TENANCY = Tenancy(teams={"search": Team(org="acme")})


class Bench:
    """Tokens of one issuer on paper, and what is counted of them."""

    def __init__(self, issuer, settings):
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.meters = TokenMeters(self.registry)
        self.issuer = issuer
        self.sources = {
            name: IssuerKeys(name, one, partial(self.fetch, name), self.clock, self.meters)
            for name, one in settings.items()
        }
        self.fetched = []
        self.is_away = False
        self.tokens = Tokens(lambda _: self.sources, self.clock, self.meters)
        self.tokens.apply(settings, TENANCY)

    async def fetch(self, name):
        self.fetched.append(name)
        if self.is_away:
            raise Unavailable("no")
        return msgspec.json.encode({"keys": [key.published() for key in self.issuer.keys]})

    def counted(self):
        found = {
            result: self.registry.get_sample_value("trunkline_gateway_oidc_checks_total", {"result": result})
            for result in RESULTS
        }
        return {result: count for result, count in found.items() if count}


@pytest.fixture
async def bench(issuer, oidc):
    made = Bench(issuer, {"corp": oidc()})
    async with background(made.sources["corp"].run()):
        yield made


async def test_a_token_is_verified_once_a_minute(bench):
    token = bench.issuer.token()
    first = await bench.tokens.principal(token)
    assert (first.key_id, first.subject, first.team, first.org) == ("corp", "ann", "search", "acme")
    assert (first.scopes, first.expires_s) == ({Scope.INFERENCE}, START_S + 630)
    assert await bench.tokens.principal(token) is first
    bench.clock.advance(KNOWN_S - 1)
    assert await bench.tokens.principal(token) is first
    bench.clock.advance(1)
    assert await bench.tokens.principal(token) is not first
    assert bench.counted() == {"ok": 2, "cached": 2}


async def test_a_token_is_not_known_longer_than_it_is_good(bench):
    token = bench.issuer.token(exp=START_S + 5)
    await bench.tokens.principal(token)
    bench.clock.advance(4.9)
    await bench.tokens.principal(token)
    bench.clock.advance(0.1)
    # Within the leeway: good, and looked at every time.
    await bench.tokens.principal(token)
    await bench.tokens.principal(token)
    assert bench.counted() == {"ok": 3, "cached": 1}
    bench.clock.advance(30)
    with pytest.raises(Unauthenticated, match="expired"):
        await bench.tokens.principal(token)


@pytest.mark.parametrize(
    ("claims", "result", "message"),
    [
        ({"exp": START_S - 100}, "expired", "expired"),
        ({"nbf": START_S + 100}, "not_yet_valid", "not valid yet"),
        ({"iat": START_S + 100, "exp": START_S + 200}, "not_yet_valid", "future"),
        ({"aud": "other"}, "audience", "aud"),
        ({"iss": "https://evil"}, "issuer", "issuer is not known"),
        ({"iss": None}, "claims", "iss"),
        ({"exp": None}, "claims", "exp"),
        ({"sub": None}, "claims", "sub"),
        ({"cnf": {}}, "bound", "cnf"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_said_and_counted(bench, claims, result, message):
    token = bench.issuer.token(**claims)
    with pytest.raises(Unauthenticated, match=message) as refused:
        await bench.tokens.principal(token)
    assert bench.counted() == {result: 1}
    assert ("www-authenticate", 'Bearer error="invalid_token"') in refused.value.headers
    assert not any(part in str(refused.value) for part in (*token.split("."), "evil"))


async def test_a_signature_of_somebody_else(bench):
    forged = bench.issuer.token(make_key("RS256", serial=1))
    with pytest.raises(Unauthenticated, match="signature"):
        await bench.tokens.principal(forged)
    with pytest.raises(Unauthenticated, match="publishes no key"):
        await bench.tokens.principal(bench.issuer.token(make_key("RS256", "key-9")))
    assert bench.counted() == {"signature": 1, "key": 1}


async def test_a_symmetric_algorithm(bench):
    for alg in ("HS256", "HS512"):
        with pytest.raises(Unauthenticated, match="algorithm"):
            await bench.tokens.principal(bench.issuer.token(make_key(alg)))
    assert bench.counted() == {"algorithm": 2}


async def test_text_that_is_no_token(bench):
    for text in ("", "tl-key", "a.b.c", "\udcff.b.c"):
        with pytest.raises(Unauthenticated):
            await bench.tokens.principal(text)
    assert bench.counted() == {"malformed": 4}
    assert not bench.fetched


async def test_a_good_token_without_a_team(bench):
    for _ in range(2):
        with pytest.raises(PermissionDenied, match="no team"):
            await bench.tokens.principal(bench.issuer.token(team="gone"))
    assert bench.counted() == {"no_team": 2}


async def test_nobody_can_tell_without_keys(bench):
    bench.is_away = True
    with pytest.raises(Unavailable) as refused:
        await bench.tokens.principal(bench.issuer.token())
    assert refused.value.retry_after_s
    assert bench.counted() == {"unavailable": 1}


async def test_a_changed_directory_counts_at_once(bench):
    token = bench.issuer.token(team=["ads", "search"])
    assert (await bench.tokens.principal(token)).team == "search"
    settings = {name: source.settings for name, source in bench.sources.items()}
    bench.tokens.apply(settings, Tenancy(teams={"search": Team(), "ads": Team()}))
    assert (await bench.tokens.principal(token)).team == "ads"
    bench.tokens.apply(settings, Tenancy())
    with pytest.raises(PermissionDenied):
        await bench.tokens.principal(token)
    assert bench.fetched == ["corp"]


async def test_a_key_that_was_taken_back_takes_its_tokens_along(bench):
    token = bench.issuer.token()
    await bench.tokens.principal(token)
    bench.issuer.keys = [make_key("RS256", "key-2", serial=1)]
    bench.clock.advance(10)
    await bench.tokens.principal(bench.issuer.token())
    with pytest.raises(Unauthenticated, match="publishes no key"):
        await bench.tokens.principal(token)


async def test_what_changed_while_keys_were_fetched_is_not_remembered(bench):
    token = bench.issuer.token()
    verified = bench.tokens._verified
    digest = b"digest"

    async def fetch():
        bench.tokens.forget()
        return msgspec.json.encode({"keys": [key.published() for key in bench.issuer.keys]})

    bench.sources["corp"]._fetch = fetch
    await verified(token, digest)
    assert not bench.tokens._known


async def test_known_tokens_are_bounded(bench):
    principal = await bench.tokens.principal(bench.issuer.token())
    for number in range(KNOWN_MAX + 5):
        bench.tokens._remember(number.to_bytes(4, "big"), principal, 10.0)
    assert len(bench.tokens._known) == KNOWN_MAX


async def test_entries_with_one_issuer_are_told_apart_by_audience(issuer, oidc):
    bench = Bench(issuer, {"people": oidc(audience=("web",)), "robots": oidc(audience=("batch", "jobs"))})
    async with background(bench.sources["people"].run()), background(bench.sources["robots"].run()):
        assert (await bench.tokens.principal(issuer.token(aud="jobs"))).key_id == "robots"
        assert (await bench.tokens.principal(issuer.token(aud=["x", "web"]))).key_id == "people"
        with pytest.raises(Unauthenticated, match="aud"):
            await bench.tokens.principal(issuer.token(aud="x"))
    assert set(bench.tokens.checks()) == {"oidc people", "oidc robots"}


async def test_without_issuers_nothing_is_a_token(bench):
    assert bench.tokens.looks_like_token("a.b.c")
    bench.sources = {}
    bench.tokens.apply({}, TENANCY)
    assert not bench.tokens.looks_like_token("a.b.c")
    with pytest.raises(Unauthenticated, match="issuer is not known"):
        await bench.tokens.principal(bench.issuer.token())
