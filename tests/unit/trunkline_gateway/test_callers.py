"""Who sends a request, when something is known and when something is not."""

import pytest

from trunkline_gateway.addresses import networks_of
from trunkline_gateway.auth import Entry, Principal, key_ring
from trunkline_gateway.callers import Caller, Callers, Credentials, NoStoredKeys
from trunkline_gateway.hashing import Hasher, sha256_of
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import PermissionDenied, StoreUnavailable, Unauthenticated

HASHER = Hasher()
ANN = Principal(key_id="ann")


class Known:
    """Stored keys in a state of one's choice."""

    def __init__(self, missing="", outdated=""):
        self.missing = lambda: missing
        self.outdated = lambda: outdated


class Tokens:
    """Takes texts with two dots."""

    def looks_like_token(self, text):
        return text.count(".") == 2

    async def principal(self, token):
        return Principal(key_id="okta", subject=token)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def callers_of(clock):
    def made(*entries, stored=None, **more):
        ring = key_ring([(HASHER.of_sha256(sha256_of(key)), entry) for key, entry in entries], HASHER)
        return Callers(ring, stored or NoStoredKeys(), clock, **more)

    return made


def sent(key, **more):
    return Credentials(authorization=f"Bearer {key}", **more)


async def test_a_key_is_somebody_and_is_known_again(callers_of):
    callers = callers_of(("k", Entry(ANN)))
    caller = await callers.identify(sent("k"))
    assert caller.principal is ANN
    assert callers.why_stopped(caller) == ""


async def test_an_unknown_key_is_said_to_be_so_only_where_that_is_known(callers_of):
    with pytest.raises(Unauthenticated, match="incorrect API key"):
        await callers_of().identify(sent("k"))
    with pytest.raises(StoreUnavailable, match="not read yet") as caught:
        await callers_of(stored=Known(missing="not read yet")).identify(sent("k"))
    assert caught.value.retry_after_s


async def test_old_knowledge_of_stored_keys_is_not_acted_on_and_the_files_keys_go_on(callers_of):
    callers = callers_of(("s", Entry(ANN, stored=True)), ("f", Entry(ANN)), stored=Known(outdated="too old"))
    with pytest.raises(StoreUnavailable, match="too old"):
        await callers.identify(sent("s"))
    assert (await callers.identify(sent("f"))).principal is ANN


async def test_a_token_is_taken_where_tokens_are(callers_of):
    assert (await callers_of(bearers=Tokens()).identify(sent("a.b.c"))) == Caller(
        Principal(key_id="okta", subject="a.b.c")
    )
    for callers, text in ((callers_of(), "a.b.c"), (callers_of(bearers=Tokens()), "abc")):
        with pytest.raises(Unauthenticated):
            await callers.identify(sent(text))


async def test_addresses_count_as_far_as_proxies_are_trusted(callers_of):
    inside = Principal(key_id="k", networks=networks_of(["192.0.2.0/24"], "x"))
    callers = callers_of(("k", Entry(inside)), trusted_proxies=networks_of(["10.0.0.0/8"], "x"))
    await callers.identify(sent("k", peer="10.0.0.1", forwarded="192.0.2.4"))
    for peer, forwarded in (("203.0.113.1", "192.0.2.4"), ("10.0.0.1", "192.0.2.4, 203.0.113.1"), ("", "")):
        with pytest.raises(PermissionDenied, match="may not be used from"):
            await callers.identify(sent("k", peer=peer, forwarded=forwarded))


async def test_requests_under_way_learn_that_their_key_stopped(callers_of, clock):
    callers = callers_of(
        ("k", Entry(Principal(key_id="k", expires_s=clock.now_s() + 10))),
        ("old", Entry(ANN, until_s=clock.now_s() + 5)),
    )
    first, former = await callers.identify(sent("k")), await callers.identify(sent("old"))
    gone = callers_of()
    assert "revoked" in gone.why_stopped(first)
    disabled = callers_of(("k", Entry(Principal(key_id="k", disabled=True))))
    assert "disabled" in disabled.why_stopped(first)
    clock.advance(5)
    assert callers.why_stopped(first) == ""
    assert "revoked" in callers.why_stopped(former)
    clock.advance(5)
    assert "expired" in callers.why_stopped(first)
    assert gone.why_stopped(Caller(ANN)) == "", "tokens are looked at when requests begin"
