"""The HTTP surface itself: one shape of errors, bounds, ids, health, and a document that tells the truth."""

import asyncio
import io
import logging

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from trunkline_gateway.app import open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_guardrails.app import open_guardrails
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import ConfigError, Conflict
from trunkline_kit.health import Part, Readiness, ReadinessReport
from trunkline_kit.lifecycle import run
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.tracing import Tracing
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply, open_fake_upstream

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
JSON = {"authorization": "Bearer tl-test-key", "content-type": "application/json"}


async def error_of(reply):
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    assert "server" not in reply.headers
    body = await reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    return body["error"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (b'"x"', None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b'{"model":"fake","messages":' + b"[" * 100_000, None),
        (b"{}", "model"),
        (b'{"model":"fake"}', "messages"),
        (b'{"model":7,"messages":[1]}', "model"),
        (b'{"model":"","messages":[1]}', "model"),
        (b'{"model":"fake","messages":"hi"}', "messages"),
        (b'{"model":"fake","messages":[]}', "messages"),
        (b'{"model":"fake","messages":[1],"stream":"yes"}', "stream"),
        (b'{"model":"fake","messages":[1],"n":0}', "n"),
        (b'{"model":"fake","messages":[1],"stream_options":{"include_usage":1}}', "stream_options.include_usage"),
    ],
)
async def test_bad_bodies_name_the_field(harness, upstream, body, param):
    reply = await harness.post("/v1/chat/completions", data=body, headers=JSON)
    assert reply.status == 400
    error = await error_of(reply)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert not upstream.requests


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("POST", "/v1/images/generations", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/fake", 405, "method_not_allowed"),
        ("PUT", "/", 405, "method_not_allowed"),
        ("GET", "/v1/models/a/b/c", 404, "model_not_found"),
        ("GET", "/v1/models/%ff%00", 404, "model_not_found"),
        ("GET", "/schema", 404, "not_found"),
    ],
)
async def test_framework_errors_have_the_same_shape(harness, method, path, status, code):
    reply = await harness.http.request(method, harness.url + path, headers=JSON)
    assert reply.status == status
    assert (await error_of(reply))["code"] == code
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    "headers",
    [{"content-type": "text/plain"}, {"content-type": "application/json", "content-encoding": "gzip"}],
)
async def test_other_content_types_and_encodings_are_refused(harness, headers):
    reply = await harness.post("/v1/chat/completions", data=b"{}", headers={**JSON, **headers})
    assert reply.status == 400
    await error_of(reply)


async def raw(harness, request):
    """Bytes in, bytes out, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(harness.url.rpartition(":")[2]))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_what_is_not_http_gets_the_same_shape(harness):
    answer = await raw(harness, b"GARBAGE\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'{"error":{"message":"this is not a valid HTTP request' in answer


async def test_a_body_over_the_limit_is_refused_early(open_harness, upstream, single):
    harness = await open_harness({**single(upstream), "server": {"body_limit_bytes": 1000}})
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer tl-test-key\r\n"
    )
    announced = await raw(harness, head + b"content-length: 1001\r\n\r\n")
    assert announced.startswith(b"HTTP/1.1 413")
    chunked = await raw(harness, head + b"transfer-encoding: chunked\r\n\r\n3ea\r\n" + b" " * 1002 + b"\r\n")
    assert chunked.startswith(b"HTTP/1.1 413")
    assert b'"code":"request_too_large"' in chunked
    assert (await harness.post("/v1/chat/completions", ASK)).status == 200


async def test_a_large_body_within_the_limit_passes_to_each_attempt_as_it_came(harness, upstream):
    upstream.replies(error_reply(503, "not now"), chat_reply("read"))
    said = "é" + "x" * 9_000_000
    body = f'{{"model":"fake","messages":[{{"role":"user","content":"{said}"}}],"seed":7}}'.encode()
    assert (await harness.post("/v1/chat/completions", data=io.BytesIO(body), headers=JSON)).status == 200
    first, second = upstream.requests
    assert first.body == second.body
    assert int(first.headers["content-length"]) == len(first.body)
    sent = first.json()
    assert (sent["model"], sent["seed"], sent["messages"][0]["content"]) == ("real-fake", 7, said)


async def test_one_request_too_many_is_told_to_wait(open_harness, upstream, single):
    upstream.replies(Reply(hold_headers=True, chunks=(b"{}",)))
    harness = await open_harness({**single(upstream), "server": {"concurrent_requests": 1}})
    async with asyncio.TaskGroup() as group:
        first = group.create_task(harness.post("/v1/chat/completions", ASK))
        await upstream.wait_for_requests(1)
        second = await harness.post("/v1/chat/completions", ASK)
        assert second.status == 503
        assert (second.headers["retry-after"], second.headers["retry-after-ms"]) == ("1", "1000")
        assert (await error_of(second))["code"] == "overloaded"
        assert (await harness.get("/livez")).status == 200, "health is not counted"
        upstream.release()
    assert first.result().status == 200


async def test_request_ids_are_taken_if_sane_and_made_if_not(harness):
    mine = await harness.post("/v1/chat/completions", ASK, headers={**JSON, "x-request-id": "abc-1"})
    assert mine.headers["x-request-id"] == "abc-1"
    long = await harness.post("/v1/chat/completions", {}, headers={**JSON, "x-request-id": "x" * 200})
    assert long.headers["x-request-id"].startswith("req-")
    assert (await harness.get("/nope", headers={"x-request-id": "q"})).headers["x-request-id"] == "q"


async def test_a_fault_of_ours_tells_nothing_but_its_id(harness, caplog, monkeypatch):
    async def broken(*_args, **_options):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(type(harness_pipeline(harness)), "_answer", broken)
    with caplog.at_level(logging.ERROR):
        reply = await harness.post("/v1/chat/completions", ASK)
    assert reply.status == 500
    error = await error_of(reply)
    assert error["code"] == "internal_error"
    assert "secret detail" not in error["message"]
    [record] = [record for record in caplog.records if record.message == "request failed unforeseen"]
    assert record.request_id == reply.headers["x-request-id"]


def harness_pipeline(harness):
    return harness.gateway._reload._served.pipeline


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_health_without_a_body(harness, path):
    """Some load balancers ask so."""
    whole = await harness.get(path)
    head = await harness.http.head(harness.url + path)
    assert (head.status, await head.read()) == (whole.status, b"") == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]
    assert head.headers["x-request-id"]


async def test_health_without_a_body_says_when_it_is_not_ready(harness, monkeypatch):
    down = Part(name="x", up=False, required=True)

    async def report(_):
        return ReadinessReport(ready=False, parts=(down,))

    monkeypatch.setattr(Readiness, "report", report)
    head = await harness.http.head(f"{harness.url}/readyz")
    assert (head.status, await head.read()) == (503, b"")
    assert (await harness.get("/readyz")).status == 503


@pytest.fixture
async def metered(open_harness, upstream, single, key_entry):
    scopes = {"meter": ["metrics"], "caller": ["inference"], "reader": ["admin:read"], "writer": ["admin:write"]}
    keys = [key_entry(name, f"tl-{name}", scopes=given) for name, given in scopes.items()]
    return await open_harness({**single(upstream), "keys": keys})


def bearer(name):
    return {"authorization": f"Bearer tl-{name}"}


async def test_metrics_for_a_key_with_that_scope(metered):
    await metered.post("/v1/chat/completions", ASK, headers=bearer("caller"))
    page = await metered.get("/metrics", headers=bearer("meter"))
    assert page.status == 200
    assert page.content_type == "text/plain"
    assert page.headers["cache-control"] == "no-store"
    families = {family.name: family for family in text_string_to_metric_families(await page.text())}
    assert sum(sample.value for sample in families["trunkline_gateway_requests"].samples if "total" in sample.name) == 1
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    page = await metered.get("/metrics", headers={"x-api-key": "tl-meter", **accept})
    assert page.content_type == "application/openmetrics-text"
    assert (await page.text()).endswith("# EOF\n")


@pytest.mark.parametrize("name", ["caller", "reader", "writer"])
async def test_metrics_are_not_for_other_keys(metered, name):
    reply = await metered.get("/metrics", headers=bearer(name))
    assert reply.status == 403
    assert (await error_of(reply))["code"] == "permission_denied"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer tl-nobody"}])
async def test_metrics_are_not_for_strangers(metered, headers):
    reply = await metered.get("/metrics", headers=headers)
    assert reply.status == 401
    assert (await error_of(reply))["code"] == "invalid_api_key"


async def test_the_index_says_what_this_is(harness):
    body = await (await harness.http.get(f"{harness.url}/")).json()
    assert body["name"] == "trunkline gateway"


async def test_a_reload_changes_models_and_keeps_connections(harness, settings_of, single, upstream):
    tree = single(upstream)
    tree["models"]["second"] = tree["models"].pop("fake")
    await harness.gateway.apply(settings_of(tree))
    assert [model.id async for model in harness.sdk.models.list()] == ["second"]
    assert (await harness.post("/v1/chat/completions", {**ASK, "model": "second"})).status == 200
    tree["keys"] = [{"id": "a", "secret": "env:NOT_THERE"}]
    with pytest.raises(ConfigError, match="NOT_THERE"):
        await harness.gateway.apply(settings_of(tree))
    assert (await harness.post("/v1/chat/completions", {**ASK, "model": "second"})).status == 200


async def test_a_port_that_is_taken_is_one_clear_line(harness, settings_of, single, upstream):
    address = harness.url.removeprefix("http://")
    settings = settings_of({**single(upstream), "listen": {"http": address, "grpc": "127.0.0.1:0"}})
    kit = Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={"UP": "x"})
    with pytest.raises(Conflict, match=f"cannot listen on {address}"):
        async with open_gateway(GatewayConfig.from_settings(settings), kit):
            pass


def test_the_document_tells_the_truth(harness_of, settings_of, single):
    """Schemathesis sends what the document allows and what it does not: no 5xx, no undocumented answers."""

    async def scenario():
        net = Net()
        kit = Kit(net=net, clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
        async with (
            open_fake_upstream() as upstream,
            # Moderations are theirs.
            open_guardrails(GuardrailsConfig(listen="local:guardrails"), kit),
            harness_of(settings_of(single(upstream)), net, Tracing()) as harness,
        ):
            await asyncio.to_thread(fuzz, harness.url)

    run(scenario)


def fuzz(url):
    # The admin API has a test of its own, with a database and a key that may use it.
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path_regex="^/admin/")
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case):
            # A schema cannot say everything: 91.0 is an integer to it. Who is let in is tested elsewhere.
            headers = {"authorization": "Bearer tl-test-key"}
            case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance, ignored_auth])

        check()


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: b"GET /" + b"x" * 8_000_000,
        lambda: b"GET /livez HTTP/1.1\r\nhost: x\r\na: " + b"x" * 8_000_000,
        lambda: b"GET /livez HTTP/1.1\r\nhost: x\r\na: " + b"x" * 70_000 + b"\r\n\r\n",
        lambda: b"GET /livez HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    ],
    ids=["url without end", "header without end", "one long header", "many headers"],
)
async def test_a_head_over_the_limit_is_refused_in_the_same_shape(harness, request_of):
    answer = await raw(harness, request_of())
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"content-type: application/json" in answer
    assert b'"type":"invalid_request_error","param":null,"code":"head_too_large"' in answer


async def test_a_long_head_within_the_limit_passes(harness):
    assert (await harness.get("/livez", headers={"a": "x" * 60_000})).status == 200


CANCELLED = {"surface": "chat", "outcome": "cancelled", "status": "4xx"}


async def test_a_caller_that_stops_reading_is_dropped_and_settled(open_harness, upstream, single, caplog, monkeypatch):
    """More than every buffer between the two holds is under way when the time is up: the last words cannot leave."""
    harness = await open_harness(single(upstream, timeouts={"total_s": 1}))
    monkeypatch.setattr("trunkline_gateway.reply.GOODBYE_S", 0.1)
    monkeypatch.setattr("trunkline_gateway.reply.HEARTBEAT_S", 0.02)
    piece = chat_stream(["x" * 100_000]).chunks[1]
    upstream.replies(Reply(headers=(("content-type", "text/event-stream"),), chunks=(piece,) * 300, ending="cut"))
    body = b'{"model":"fake","messages":[{"role":"user","content":"hello"}],"stream":true}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer tl-test-key\r\n"
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        _, writer = await asyncio.open_connection("127.0.0.1", int(harness.url.rpartition(":")[2]), limit=1024)
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(5):
            while not harness.metric("trunkline_gateway_requests_total", **CANCELLED):  # noqa: ASYNC110 - a counter
                await asyncio.sleep(0)
            while harness.metric("trunkline_gateway_requests_in_flight"):  # noqa: ASYNC110 - a gauge
                await asyncio.sleep(0)
        writer.transport.abort()
    assert not caplog.records, "a caller's fault is not ours"
