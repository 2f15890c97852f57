"""An issuer's keys over real HTTP."""

import aiohttp
import msgspec
import pytest
from yarl import URL

from trunkline_gateway.oidc.fetching import BODY_BYTES_MAX, DISCOVERY_PATH, fetch_jwks, require_no_worse
from trunkline_gateway.oidc.keys import read_jwks
from trunkline_kit.errors import Unavailable
from trunkline_testkit.issuer import JWKS_PATH, open_fake_issuer
from trunkline_testkit.parts import free_port


@pytest.fixture
async def served():
    async with open_fake_issuer() as opened:
        yield opened


@pytest.fixture
def fetch(oidc, served):
    async def fetched(timeout_s=5.0, **settings):
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            return await fetch_jwks(session, oidc(**{"issuer": served.url, **settings}), timeout_s)

    return fetched


async def test_keys_are_found_by_the_issuers_description(served, fetch):
    assert len(read_jwks(await fetch())) == 1
    assert served.requests == [DISCOVERY_PATH, JWKS_PATH]


async def test_or_where_the_settings_say(served, fetch):
    assert len(read_jwks(await fetch(jwks_url=served.url + JWKS_PATH, issuer="https://elsewhere"))) == 1
    assert served.requests == [JWKS_PATH]


@pytest.mark.parametrize(
    "discovery",
    [{"issuer": "https://evil"}, {"issuer": 1}, {"jwks_uri": 1}, {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": ""}],
    ids=str,
)
async def test_a_description_that_is_wrong(served, fetch, discovery):
    served.discovery = discovery
    with pytest.raises(Unavailable):
        await fetch()
    assert served.fetches == 0


async def test_the_issuer_is_the_same_to_the_letter(served, fetch):
    with pytest.raises(Unavailable, match="another issuer"):
        await fetch(issuer=served.url + "/")


@pytest.mark.parametrize("status", [204, 304, 400, 404, 500, 503])
async def test_what_is_no_answer(served, fetch, status):
    served.status = status
    with pytest.raises(Unavailable, match=str(status)):
        await fetch()


async def test_redirects_are_followed_a_few_times(served, fetch):
    served.redirect_to = served.url + "/moved"
    assert len(read_jwks(await fetch())) == 1
    served.redirect_to = JWKS_PATH
    with pytest.raises(Unavailable, match="redirects"):
        await fetch()


@pytest.mark.parametrize("there", ["ftp://127.0.0.1/keys", "file:///etc/passwd", "http://[", ""])
async def test_redirects_to_nowhere(served, fetch, there):
    served.redirect_to = there or JWKS_PATH
    with pytest.raises(Unavailable):
        await fetch()


def test_https_is_not_left():
    require_no_worse(URL("https://a/x"), URL("https://b/y"))
    require_no_worse(URL("http://a/x"), URL("http://b/y"))
    require_no_worse(URL("http://a/x"), URL("https://b/y"))
    for there in ("http://a/x", "ftp://a", "/x", ""):
        with pytest.raises(Unavailable):
            require_no_worse(URL("https://a/x"), URL(there))


async def test_an_answer_is_bounded(served, fetch):
    served.body = b" " * (BODY_BYTES_MAX + 1)
    with pytest.raises(Unavailable, match="longer"):
        await fetch(jwks_url=served.url + JWKS_PATH)
    served.body = msgspec.json.encode({"keys": []}).ljust(BODY_BYTES_MAX)
    assert len(await fetch()) == BODY_BYTES_MAX


async def test_an_issuer_that_does_not_answer(served, fetch):
    served.hold()
    with pytest.raises(Unavailable, match="within"):
        await fetch(timeout_s=0.05)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/keys", "http://:/", "http://a..b/", "http://xn--/"])
async def test_an_issuer_that_is_not_there(fetch, url):
    with pytest.raises(Unavailable):
        await fetch(jwks_url=url.format(port=free_port()))
