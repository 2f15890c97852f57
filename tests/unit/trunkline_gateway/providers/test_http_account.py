"""What all accounts over HTTP share. Over sockets: the integration tests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.providers.event_stream import without
from trunkline_gateway.providers.http_account import Account, client_timeout, open_session
from trunkline_kit.clock import ManualClock
from trunkline_kit.secrets import Secret


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
