"""The outermost layer: ids, the bound, the last word."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Gauge

from trunkline_gateway.edge import Edge, Visit, visit_of
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
    assert (await called(answering(), scope("/livez"), limit=0))[0][0]["status"] == 200
