import msgspec
import pytest
from aiohttp import web

from trunkline_kit.errors import (
    ConfigError,
    Conflict,
    InvalidRequest,
    ObjectNotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    UpstreamError,
    VersionMismatch,
)
from trunkline_standalone.remote import DEFAULT_URL, Remote, connected, key_of, raise_refusal, url_of


@pytest.fixture
async def serve(tmp_path):
    """Starts a gateway that answers as a test wants; gives a remote and what it was asked."""
    runners = []

    async def started(answer):
        asked = []

        async def handle(request):
            asked.append((request.method, request.path_qs, dict(request.headers), await request.read()))
            return answer(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return Remote(url=url, key="tl-key", home=tmp_path), asked

    yield started
    for runner in runners:
        await runner.cleanup()


def test_where_the_gateway_is(tmp_path):
    assert url_of(Remote(home=tmp_path)) == DEFAULT_URL
    (tmp_path / "url").write_text("http://127.0.0.1:7000\n")
    assert url_of(Remote(home=tmp_path)) == "http://127.0.0.1:7000"
    assert url_of(Remote(url="http://else/v1/", home=tmp_path)) == "http://else"


def test_with_which_key(tmp_path):
    with pytest.raises(ConfigError, match="trunkline up"):
        key_of(Remote(home=tmp_path))
    (tmp_path / "key").write_text("tl-home\n")
    assert key_of(Remote(home=tmp_path)) == "tl-home"
    assert key_of(Remote(key="tl-given", home=tmp_path)) == "tl-given"


async def test_a_request(serve):
    remote, asked = await serve(lambda _: web.json_response({"n": 1}))
    async with connected(remote) as gateway:
        assert await gateway.one(dict[str, int], "POST", "/keys", {"a": 1}) == {"n": 1}
        await gateway.ask("GET", "/keys", query=(("team", "t"), ("prefix", "")))
    method, path, headers, body = asked[0]
    assert (method, path, body) == ("POST", "/admin/v1/keys", b'{"a":1}')
    assert headers["Authorization"] == "Bearer tl-key"
    assert asked[1][1] == "/admin/v1/keys?team=t"


async def test_escaped_slashes_arrive_as_they_were_sent(serve):
    remote, asked = await serve(lambda _: web.json_response({}))
    async with connected(remote) as gateway:
        await gateway.ask("GET", "/models/org%2Ffake")
    assert asked[0][1] == "/admin/v1/models/org%2Ffake"


async def test_lists_are_read_to_their_end(serve):
    def answer(request):
        after = int(request.query.get("after", 0))
        limit = int(request.query["limit"])
        end = min(after + min(limit, 2), 5)
        return web.json_response({"data": list(range(after, end)), "next": str(end) if end < 5 else None})

    remote, asked = await serve(answer)
    async with connected(remote) as gateway:
        assert await gateway.all(int, "/n") == [0, 1, 2, 3, 4]
        assert len(asked) == 3
        assert await gateway.all(int, "/n", limit=3) == [0, 1, 2]
        assert "limit=1" in asked[-1][1]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthenticated),
        (403, PermissionDenied),
        (404, ObjectNotFound),
        (409, Conflict),
        (412, VersionMismatch),
        (429, Unavailable),
        (503, Unavailable),
    ],
)
def test_refusals_keep_the_gateways_words(status, kind):
    with pytest.raises(kind, match="its words") as caught:
        raise_refusal(status, msgspec.json.encode({"error": {"message": "its words"}}))
    assert ("--key" in caught.value.message) is (status in {401, 403})


async def test_something_that_is_no_gateway(serve):
    remote, _ = await serve(lambda _: web.Response(text="<html>", status=502))
    async with connected(remote) as gateway:
        with pytest.raises(UpstreamError, match="no gateway"):
            await gateway.ask("GET", "/keys")


async def test_nobody_listens_and_no_url(tmp_path):
    for url, kind, text in (("http://127.0.0.1:9", Unavailable, "--url"), ("nonsense", InvalidRequest, "is no URL")):
        async with connected(Remote(url=url, key="k", home=tmp_path)) as gateway:
            with pytest.raises(kind, match=text):
                await gateway.ask("GET", "/keys")
