"""The outermost layer: ids, the bound, the last word."""

import asyncio

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Gauge

from trunkline_gateway.edge import ADMIN_REQUESTS_MAX, Edge, Visit, visit_of
from trunkline_kit.errors import ModelNotFound


def scope(path="/v1/models", **headers):
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "path": path, "headers": pairs}


async def called(app, given, limit=10):
    sent = []
    gauge = Gauge("in_flight", "x", registry=CollectorRegistry())

    async def send(message):
        sent.append(message)

    await Edge(app, limit, gauge)(given, None, send)
    return sent, gauge._value.get()


def answering(status=200):
    async def app(given, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": visit_of(given).request_id.encode()})

    return app


async def test_every_answer_carries_the_id_that_handlers_see():
    sent, in_flight = await called(answering(), scope(x_request_id="mine"))
    assert (b"x-request-id", b"mine") in sent[0]["headers"]
    assert sent[1]["body"] == b"mine"
    assert in_flight == 0


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ü", "a\tb"])
def test_an_id_that_is_not_sane_is_replaced(given):
    assert Visit([(b"x-request-id", given.encode())]).request_id.startswith("req-")


async def test_what_nobody_handled_is_an_error_of_ours(caplog):
    async def broken(given, receive, send):
        raise ZeroDivisionError("detail")

    sent, _ = await called(broken, scope())
    assert sent[0]["status"] == 500
    assert msgspec.json.decode(sent[1]["body"])["error"]["code"] == "internal_error"
    assert "detail" in caplog.text
    assert b"detail" not in sent[1]["body"]


async def test_known_errors_keep_their_status():
    async def failing(given, receive, send):
        raise ModelNotFound("no")

    assert (await called(failing, scope()))[0][0]["status"] == 404


async def test_an_answer_that_has_begun_is_not_begun_again(caplog):
    async def half(given, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await called(half, scope())
    assert "after its answer had begun" in caplog.text


async def test_over_the_bound_only_the_api_is_refused():
    sent, _ = await called(answering(), scope(), limit=0)
    assert sent[0]["status"] == 503
    assert (await called(answering(), scope("/v2/rerank"), limit=0))[0][0]["status"] == 503
    assert (await called(answering(), scope("/livez"), limit=0))[0][0]["status"] == 200


async def test_the_admin_api_gets_in_when_the_gateway_is_full_and_cannot_fill_it():
    sent, waiting = [], asyncio.Event()

    async def send(message):
        sent.append(message)

    async def held(given, receive, send):
        await waiting.wait()

    edge = Edge(held, 1, Gauge("in_flight", "x", registry=CollectorRegistry()))
    async with asyncio.TaskGroup() as group:
        group.create_task(edge(scope("/v1/models"), None, send))
        for _ in range(ADMIN_REQUESTS_MAX):
            group.create_task(edge(scope("/admin/v1/keys"), None, send))
        await asyncio.sleep(0)
        assert sent == []
        await edge(scope("/admin/v1/keys"), None, send)
        assert sent[0]["status"] == 503
        waiting.set()


def test_proxies_that_each_write_a_line_write_one_list():
    visit = Visit(
        [(b"x-forwarded-for", b"198.51.100.7"), (b"accept", b"*/*"), (b"x-forwarded-for", b"10.0.0.2")], "10.0.0.1"
    )
    assert visit.credentials.forwarded == "198.51.100.7,10.0.0.2"
    assert visit.credentials.peer == "10.0.0.1"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models"])
async def test_errors_speak_the_dialect_of_their_path(path):
    async def failing(given, receive, send):
        raise ModelNotFound("no")

    sent, _ = await called(failing, scope(path))
    body = msgspec.json.decode(sent[1]["body"])
    assert body.get("type") == ("error" if path == "/v1/messages" else None)
    names = [name for name, _ in sent[0]["headers"]]
    assert (b"request-id" in names) == (path == "/v1/messages")
