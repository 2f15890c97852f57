"""The DNS server's bytes, read by the system's idea of a query."""

import struct

from trunkline_testkit.dns import answer


def query(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def test_a_records():
    asked = query("Router.svc", 1)
    response = answer(asked, {"router.svc": ["10.0.0.1", "10.0.0.2"]})
    assert response[:2] == asked[:2]
    assert struct.unpack_from("!H", response, 6) == (2,)
    assert response.endswith(bytes([10, 0, 0, 2]))


def test_no_records():
    for name, kind in (("router.svc", 28), ("other.svc", 1)):
        assert struct.unpack_from("!H", answer(query(name, kind), {"router.svc": ["10.0.0.1"]}), 6) == (0,)
