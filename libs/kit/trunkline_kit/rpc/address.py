"""What a target or listen address means: pure text in, values out."""

import msgspec

LOCAL = "local:"
UNIX = "unix:"

_UNIX_PATH_BYTES_MAX = 107
"""Length of `sun_path` without its final zero; Linux, unix(7)."""

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "*": "127.0.0.1", "": "127.0.0.1"}


class TcpAddress(msgspec.Struct, frozen=True):
    """A host and a port to listen on; port 0 lets the kernel choose."""

    host: str
    port: int

    def bind_text(self) -> str:
        """As the gRPC library wants it: a wildcard host is spelled `[::]`, which also takes IPv4."""
        return f"{'[::]' if self.host in {'', '*'} else self.host}:{self.port}"

    def dial_text(self, port: int) -> str:
        """Where a client on this machine reaches the server that was given `port`."""
        return f"{_WILDCARDS.get(self.host, self.host)}:{port}"


def is_local(address: str) -> bool:
    """Whether the address names a server of the same `Net`. Raises ValueError for `local:` without a name."""
    if address == LOCAL:
        raise ValueError("address 'local:' has no name; write local:NAME, e.g. local:router")
    return address.startswith(LOCAL)


def check_unix(address: str) -> None:
    """Raise ValueError for a socket path that the kernel would refuse."""
    path = address.removeprefix(UNIX).removeprefix("//")
    size_bytes = len(path.encode())
    if not path or size_bytes > _UNIX_PATH_BYTES_MAX:
        raise ValueError(
            f"address {address!r}: a Unix socket path has 1 to {_UNIX_PATH_BYTES_MAX} bytes, this one {size_bytes}"
        )


def parse_tcp(address: str) -> TcpAddress:
    """`host:port`, with or without `dns:///` in front. Raises ValueError."""
    host, separator, port = address.removeprefix("dns:///").rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"listen address {address!r}: write HOST:PORT, unix:PATH or local:NAME")
    return TcpAddress(host, int(port))
