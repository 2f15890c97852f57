import asyncio
import json
from collections import deque

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from trunkline_gateway.plan import FailureKind
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.google_tokens import (
    AGAIN_AFTER_S,
    RENEWED_BEFORE_S,
    SCOPE,
    MetadataServer,
    ServiceAccount,
    Tokens,
)
from trunkline_gateway.providers.http_account import open_session
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret
from trunkline_testkit.issuer import make_key

KEY = make_key("RS256").key
assert isinstance(KEY, RSAKey)
PEM = KEY.as_pem(private=True).decode()


def key_file(**fields):
    file = {
        "type": "service_account",
        "client_email": "robot@project.iam.gserviceaccount.com",
        "private_key": PEM,
        "private_key_id": "kid-1",
    }
    return Secret(json.dumps({**file, **fields}))


class Endpoint:
    """Gives tokens out, as told: a token, or a status."""

    def __init__(self):
        self.answers = deque()
        self.asked = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.arrived = asyncio.Event()
        self.url = ""

    async def handle(self, request):
        self.asked.append((request.method, request.path, dict(request.headers), dict(await request.post())))
        self.arrived.set()
        await self.hold.wait()
        answer = self.answers.popleft() if self.answers else f"token-{len(self.asked)}"
        if isinstance(answer, int):
            return web.json_response({"error": "invalid_grant", "error_description": PEM}, status=answer)
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.json_response({"access_token": answer, "expires_in": 3600, "token_type": "Bearer"})


@pytest.fixture
async def endpoint():
    found = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    found.hold.set()
    await runner.cleanup()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def tokens(endpoint, clock):
    async with open_session({}, 4) as session:
        yield Tokens("up", ServiceAccount("up", key_file(token_uri=f"{endpoint.url}/token")), session, clock)


async def test_a_signed_statement_is_exchanged(tokens, endpoint, clock):
    assert await tokens.current() == "token-1"
    method, path, headers, form = endpoint.asked[0]
    assert (method, path, form["grant_type"]) == ("POST", "/token", "urn:ietf:params:oauth:grant-type:jwt-bearer")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    statement = jwt.decode(form["assertion"], KEY, algorithms=["RS256"])
    assert statement.header == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"}
    now_s = int(clock.now_s())
    assert statement.claims == {
        "iss": "robot@project.iam.gserviceaccount.com",
        "scope": SCOPE,
        "aud": f"{endpoint.url}/token",
        "iat": now_s,
        "exp": now_s + 3600,
    }


async def test_the_metadata_server_is_asked_where_there_are_no_credentials(endpoint, clock):
    source = MetadataServer({"GCE_METADATA_HOST": endpoint.url.removeprefix("http://")})
    async with open_session({}, 4) as session:
        assert await Tokens("up", source, session, clock).current() == "token-1"
    method, path, headers, _ = endpoint.asked[0]
    assert (method, path) == ("GET", "/computeMetadata/v1/instance/service-accounts/default/token")
    assert headers["metadata-flavor"] == "Google"
    assert MetadataServer({}).ask(0).url.startswith("http://metadata.google.internal/")


async def test_a_token_is_kept_until_shortly_before_its_end(tokens, endpoint, clock):
    await tokens.current()
    clock.advance(3600 - RENEWED_BEFORE_S - 1)
    assert await tokens.current() == "token-1"
    clock.advance(1)
    assert await tokens.current() == "token-2"
    assert len(endpoint.asked) == 2


async def test_one_asks_for_all(tokens, endpoint):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tokens.current()) for _ in range(20)]
    assert {task.result() for task in tasks} == {"token-1"}
    assert len(endpoint.asked) == 1


async def test_one_fails_for_all_that_wait(tokens, endpoint):
    endpoint.answers.extend([400])

    async def refused():
        with pytest.raises(AttemptFailed) as failed:
            await tokens.current()
        return failed.value

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(refused()) for _ in range(5)]
    assert {task.result().kind for task in tasks} == {FailureKind.ACCOUNT}
    assert len(endpoint.asked) == 1
    assert await tokens.current() == "token-2"


async def test_who_leaves_lets_the_next_one_ask(tokens, endpoint):
    endpoint.hold.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(tokens.current())
        await endpoint.arrived.wait()
        second = group.create_task(tokens.current())
        first.cancel()
        endpoint.hold.set()
    assert second.result().startswith("token-")


async def test_while_one_renews_the_others_go_on_with_what_is_good(tokens, endpoint, clock):
    await tokens.current()
    clock.advance(3600 - RENEWED_BEFORE_S)
    endpoint.hold.clear()
    endpoint.arrived.clear()
    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(tokens.current())
        await endpoint.arrived.wait()
        assert await tokens.current() == "token-1"
        endpoint.hold.set()
    assert renewing.result() == "token-2"


async def test_a_failed_renewal_leaves_the_old_token_while_it_is_good(tokens, endpoint, clock):
    await tokens.current()
    clock.advance(3600 - RENEWED_BEFORE_S)
    endpoint.answers.extend([503, 503])
    assert await tokens.current() == "token-1"
    assert await tokens.current() == "token-1"
    assert len(endpoint.asked) == 2, "not asked again at once"
    clock.advance(AGAIN_AFTER_S)
    assert await tokens.current() == "token-1"
    clock.advance(RENEWED_BEFORE_S)
    assert await tokens.current() == "token-4"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (400, FailureKind.ACCOUNT),
        (401, FailureKind.ACCOUNT),
        (403, FailureKind.ACCOUNT),
        (500, FailureKind.BROKEN),
        (429, FailureKind.BROKEN),
        (b"no json", FailureKind.BROKEN),
        (b'{"access_token":5}', FailureKind.BROKEN),
    ],
)
async def test_a_refusal_is_the_accounts_and_a_mishap_is_not(tokens, endpoint, answer, kind):
    endpoint.answers.append(answer)
    with pytest.raises(AttemptFailed) as failed:
        await tokens.current()
    assert failed.value.kind is kind
    assert failed.value.error.http_status in {502, 503}
    assert "PRIVATE KEY" not in failed.value.error.message
    assert kind is not FailureKind.ACCOUNT or "invalid_grant" in failed.value.error.message


async def test_an_endpoint_that_is_not_there(clock):
    source = ServiceAccount("up", key_file(token_uri="http://127.0.0.1:1/token"))
    async with open_session({}, 4) as session:
        with pytest.raises(AttemptFailed) as failed:
            await Tokens("up", source, session, clock).current()
    assert failed.value.kind is FailureKind.BROKEN


async def test_a_token_that_was_refused_is_not_sent_again(tokens):
    await tokens.current()
    tokens.forget()
    assert tokens.latest.reveal() == "token-1", "still hidden from what is said"
    assert await tokens.current() == "token-2"
    assert "token" not in repr(tokens.latest)


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        (Secret("not json"), "no JSON"),
        (Secret('{"type":"authorized_user"}'), "authorized_user"),
        (key_file(client_email=""), "service_account"),
        (key_file(private_key="-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----"), "private_key"),
        (key_file(private_key=""), "private_key"),
    ],
)
def test_credentials_that_are_none(credentials, says):
    with pytest.raises(ConfigError) as refused:
        ServiceAccount("up", credentials)
    assert says in str(refused.value)
    assert "BEGIN" not in str(refused.value)
