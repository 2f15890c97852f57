"""A DNS server of a few lines, for headless names: answers A queries from a table that a test may change."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

_TYPE_A = 1
_CLASS_IN = 1
_ANSWERED = 0x8580
"""Response, authoritative, recursion desired and available. RFC 1035, §4.1.1."""
_HEADER_BYTES = 12
_POINTER_TO_QUESTION = 0xC00C


class NameTable:
    """Names and their IPv4 addresses; `queries` counts what was asked."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.queries = 0
        self.port = 0


def _question(query: bytes) -> tuple[str, int, int]:
    """Name, type, and where the question ends. RFC 1035, §4.1.2."""
    labels, position = [], _HEADER_BYTES
    while length := query[position]:
        labels.append(query[position + 1 : position + 1 + length].decode())
        position += length + 1
    (kind,) = struct.unpack_from("!H", query, position + 1)
    return ".".join(labels).lower(), kind, position + 5


def answer(query: bytes, addresses: dict[str, list[str]], ttl_s: int = 0) -> bytes:
    """The response to one query; a name or type that is not in the table has no records."""
    name, kind, end = _question(query)
    records = addresses.get(name, []) if kind == _TYPE_A else []
    head = query[:2] + struct.pack("!HHHHH", _ANSWERED, 1, len(records), 0, 0)
    body = b"".join(
        struct.pack("!HHHIH", _POINTER_TO_QUESTION, _TYPE_A, _CLASS_IN, ttl_s, 4) + socket.inet_aton(address)
        for address in records
    )
    return head + query[_HEADER_BYTES:end] + body


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, table: NameTable) -> None:
        self._table = table

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's datagram transport is declared as one.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._table.queries += 1
        self._transport.sendto(answer(data, self._table.addresses), addr)


@asynccontextmanager
async def open_dns() -> AsyncIterator[NameTable]:
    """Serve on a free UDP port; dial names through it as `dns://127.0.0.1:{table.port}/{name}:{port}`."""
    table = NameTable()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Responder(table), local_addr=("127.0.0.1", 0))
    try:
        table.port = transport.get_extra_info("sockname")[1]
        yield table
    finally:
        transport.close()
