"""What addresses mean, and that a wrong one says how to write it."""

import pytest

from trunkline_kit.rpc.address import check_unix, is_local, parse_tcp


@pytest.mark.parametrize(
    ("listen", "bound", "dialled"),
    [
        ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:4711"),
        ("0.0.0.0:9090", "0.0.0.0:9090", "127.0.0.1:4711"),
        ("[::]:9090", "[::]:9090", "[::1]:4711"),
        (":9090", "[::]:9090", "127.0.0.1:4711"),
        ("dns:///router:9090", "router:9090", "router:4711"),
    ],
)
def test_tcp(listen, bound, dialled):
    address = parse_tcp(listen)
    assert address.bind_text() == bound
    assert address.dial_text(4711) == dialled


@pytest.mark.parametrize("listen", ["", "router", "router:", "router:http", "router:65536", "router:-1"])
def test_a_wrong_listen_address_says_how_to_write_it(listen):
    with pytest.raises(ValueError, match="write HOST:PORT, unix:PATH or local:NAME"):
        parse_tcp(listen)


def test_local_needs_a_name():
    assert is_local("local:router")
    assert not is_local("localhost:80")
    with pytest.raises(ValueError, match="write local:NAME"):
        is_local("local:")


@pytest.mark.parametrize("path", ["", "/" + "x" * 107])
def test_a_socket_path_the_kernel_would_refuse(path):
    with pytest.raises(ValueError, match="1 to 107 bytes"):
        check_unix(f"unix:{path}")


def test_the_longest_socket_path():
    check_unix("unix:/" + "x" * 106)
    check_unix("unix:///" + "x" * 106)
