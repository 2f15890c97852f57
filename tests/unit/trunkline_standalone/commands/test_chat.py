import sys
from collections.abc import Callable

import pytest
from aiohttp import web

from trunkline_kit.errors import ConfigError, InvalidRequest, Unauthenticated, Unavailable, UpstreamError
from trunkline_standalone.commands import chat
from trunkline_standalone.commands.chat import Question, answer, run_chat

Reply = Callable[[web.Request], web.StreamResponse]


def question(url: str, **changes) -> Question:
    given = {"text": "hi", "model": "auto", "url": url, "key": None, "system": None, "stream": True}
    return Question(**given | changes)


@pytest.fixture
async def serve():
    """Starts a gateway that says what a test wants; gives its URL and what it was asked."""
    runners = []

    async def started(status: int, body: bytes, content_type: str = "text/event-stream"):
        asked = []

        async def handle(request: web.Request) -> web.Response:
            asked.append((request.path, request.headers["authorization"], await request.json()))
            return web.Response(status=status, body=body, content_type=content_type)

        app = web.Application()
        app.router.add_post("/{path:.*}", handle)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}", asked

    yield started
    for runner in runners:
        await runner.cleanup()


def stream(*pieces: str, end: str = "data: [DONE]\n\n") -> bytes:
    chunks = [f'data: {{"choices":[{{"index":0,"delta":{{"content":"{piece}"}}}}]}}\n\n' for piece in pieces]
    return "".join([": hello\n\n", *chunks, 'data: {"choices":[],"usage":{}}\n\n', end]).encode()


async def pieces_of(asked: Question) -> list[str]:
    return [piece async for piece in answer(asked, "tl-key")]


async def test_pieces_come_as_they_are(serve):
    url, asked = await serve(200, stream("Gr", "ün", ""))
    assert await pieces_of(question(url)) == ["Gr", "ün", ""]
    path, bearer, body = asked[0]
    assert (path, bearer) == ("/v1/chat/completions", "Bearer tl-key")
    assert body == {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def test_a_whole_answer(serve):
    url, asked = await serve(200, b'{"choices":[{"message":{"content":"Hello"}}]}', "application/json")
    assert await pieces_of(question(url + "/v1/", stream=False, system="Be brief.")) == ["Hello"]
    assert asked[0][0] == "/v1/chat/completions"
    assert asked[0][2]["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_a_stream_without_its_end_broke_off(serve):
    url, _ = await serve(200, stream("Half", end=""))
    with pytest.raises(UpstreamError, match="broke off"):
        await pieces_of(question(url))


async def test_an_error_in_the_stream_is_told(serve):
    url, _ = await serve(200, b'data: {"error":{"message":"the worker died"}}\n\n')
    with pytest.raises(UpstreamError, match="the worker died"):
        await pieces_of(question(url))


async def test_refusals_are_told_in_the_gateways_words(serve):
    url, _ = await serve(404, b'{"error":{"message":"no model `x`"}}', "application/json")
    with pytest.raises(Unavailable, match="no model `x`"):
        await pieces_of(question(url))


async def test_a_wrong_key_says_where_keys_come_from(serve):
    url, _ = await serve(401, b'{"error":{"message":"nobody has this key"}}', "application/json")
    with pytest.raises(Unauthenticated, match="--key, TRUNKLINE_API_KEY"):
        await pieces_of(question(url))


@pytest.mark.parametrize(("status", "body"), [(200, b"data: <html>\n\n"), (502, b"<html>")])
async def test_something_that_is_no_gateway(serve, status, body):
    url, _ = await serve(status, body)
    with pytest.raises(UpstreamError, match="no gateway"):
        await pieces_of(question(url))


async def test_nobody_listens():
    with pytest.raises(Unavailable, match="start one with `trunkline up`"):
        await pieces_of(question("http://127.0.0.1:9"))


async def test_no_url():
    with pytest.raises(InvalidRequest, match="--url"):
        await pieces_of(question("nonsense"))


def test_without_a_key_it_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match="trunkline up"):
        run_chat(question("http://127.0.0.1:9"), tmp_path)


@pytest.mark.parametrize(("is_terminal", "printed"), [(True, "a\ufffd]0;x\ufffd\n"), (False, "a\x1b]0;x\x07\n")])
def test_a_model_gives_no_orders_to_the_terminal(tmp_path, monkeypatch, capsys, is_terminal, printed):
    async def said(*_):
        for piece in ("a\x1b", "]0;x\x07"):
            yield piece

    monkeypatch.setattr(chat, "answer", said)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    run_chat(question("http://127.0.0.1:9", key="tl-key"), tmp_path)
    assert capsys.readouterr().out == printed


def test_without_words_nothing_is_asked(tmp_path):
    with pytest.raises(InvalidRequest, match="nothing to say"):
        run_chat(question("http://127.0.0.1:9", text="  "), tmp_path)
