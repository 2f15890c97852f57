"""Our socket: any free port, one clear line when there is none."""

import socket

import pytest

from trunkline_gateway.server import listen_on, url_of
from trunkline_kit.errors import ConfigError, Conflict


def test_port_zero_is_any_and_the_url_says_which():
    with listen_on("127.0.0.1:0") as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    with listen_on("0.0.0.0:0") as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")


def test_a_taken_port_says_what_to_do():
    with listen_on("127.0.0.1:0") as listener:
        listener.listen()
        with pytest.raises(Conflict, match="choose another --port"):
            listen_on(f"127.0.0.1:{listener.getsockname()[1]}")


def test_several_processes_may_share_a_port_when_told_to():
    with listen_on("127.0.0.1:0", share_port=True) as listener:
        listener.listen()
        listen_on(f"127.0.0.1:{listener.getsockname()[1]}", share_port=True).close()


def test_a_host_that_is_not_ours():
    with pytest.raises((ConfigError, Conflict), match=r"192\.0\.2\.1"):
        listen_on("192.0.2.1:0")
    with pytest.raises(ConfigError, match="not an address of this machine"):
        listen_on("no.such.host.invalid:0")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
def test_ipv6():
    with listen_on("[::1]:0") as listener:
        assert url_of(listener).startswith("http://[::1]:")
