"""What all accounts over HTTP share. Over sockets: the integration tests."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.event_stream import without
from trunkline_gateway.providers.http_account import (
    Account,
    BoundedResolver,
    client_timeout,
    open_session,
    read,
    request_id_in,
)
from trunkline_kit.clock import ManualClock
from trunkline_kit.secrets import Secret
from trunkline_policy.faults import FailureKind


@given(st.binary(), st.binary())
def test_no_error_repeats_the_key(before, after):
    assert b"sk-secret" not in without(Secret("sk-secret"), before + b"sk-secret" + after)


def test_without_a_key_nothing_is_cut_out():
    assert without(Secret(""), b"said") == b"said"


def test_only_connecting_has_a_clock_of_the_clients():
    timeout = client_timeout(2.5)
    assert (timeout.sock_connect, timeout.total, timeout.sock_read) == (2.5, None, None)
    assert client_timeout(2.5) is timeout


@pytest.mark.parametrize("base", ["http://provider.test/v1", "http://provider.test/v1/"])
async def test_paths_are_below_the_base(base):
    async with open_session({"x-api-key": "k"}, 1) as session:
        account = Account("up", base, Secret("k"), session, ManualClock())
        assert str(account._url("/messages")) == "http://provider.test/v1/messages"
        assert account._url("/messages") is account._url("/messages")
        assert account.host == "provider.test"
        assert session.headers["x-api-key"] == "k"
        assert session.headers["accept-encoding"] == "identity"


async def test_a_name_is_not_looked_up_for_ever():
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    async def nobody_answers(*_args, **_options):
        asked.set()
        await asyncio.Event().wait()

    loop.getaddrinfo = nobody_answers
    with pytest.raises(TimeoutError):
        await BoundedResolver(0.01).resolve("provider.test", 443)
    assert asked.is_set()


async def test_sessions_use_it():
    async with open_session({}, 1) as session:
        assert isinstance(session.connector._resolver, BoundedResolver)


class Reply:
    """What aiohttp gives, as far as it is used."""

    def __init__(self, *pieces, content_length=None, status=200):
        self._pieces = list(pieces)
        self.status, self.headers = status, {}
        self.content_length = content_length
        self.content = self
        self.closed = False

    async def readany(self):
        return self._pieces.pop(0) if self._pieces else b""

    def close(self):
        self.closed = True

    release = close


@pytest.mark.parametrize(
    ("reply", "left"),
    [(Reply(b"1234", b"5678", b"9"), 1), (Reply(b"1234", content_length=10**9), 1)],
    ids=["unannounced", "announced"],
)
async def test_too_long_an_answer_is_cut_as_soon_as_that_is_known(reply, left):
    with pytest.raises(AttemptFailed) as caught:
        await read(reply, 7)
    assert caught.value.kind is FailureKind.UNFIT
    assert (reply.closed, len(reply._pieces)) == (True, left)


@pytest.mark.parametrize(("status", "times"), [(401, 1), (403, 0), (400, 0), (429, 0), (500, 0)])
async def test_only_refused_credentials_are_given_up(status, times):
    given_up = []
    async with open_session({}, 1) as session:
        account = Account("up", "http://provider.test", Secret("k"), session, ManualClock())
        account.on_refused = lambda: given_up.append(True)
        await account._judged(Reply(b"{}", status=status))
    assert len(given_up) == times


async def test_one_that_fits_is_read_whole():
    assert await read(Reply(b"1234", b"567", content_length=7), 7) == b"1234567"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x-request-id": "req_1"}, "req_1"),
        ({"request-id": "req_2"}, "req_2"),
        ({"x-amzn-requestid": "a-b-c"}, "a-b-c"),
        ({"apim-request-id": "z"}, "z"),
        ({"x-request-id": "two words"}, ""),
        ({"x-request-id": "x" * 129}, ""),
        ({}, ""),
    ],
)
def test_a_providers_own_id_is_repeated_if_it_may_be(headers, said):
    assert request_id_in(headers) == said
