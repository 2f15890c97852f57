"""Where requests come from, and how far a header may say so."""

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.addresses import caller_address, is_within, networks_of
from trunkline_kit.errors import ConfigError

PROXIES = networks_of(["10.0.0.0/8", "fd00::/8"], "x")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, nonsense, 10.2.2.2", ""),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::5]:443, 10.2.2.2:80", "2001:db8::5"),
        ("10.0.0.1", "198.51.100.7, unknown", ""),
        ("10.0.0.1", "10.3.3.3,10.2.2.2", "10.3.3.3"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        ("", "1.2.3.4", ""),
    ],
)
def test_the_header_is_believed_as_far_as_proxies_are_ours(peer, forwarded, address):
    assert caller_address(peer, forwarded, PROXIES) == address
    assert caller_address(peer, forwarded, ()) == peer


@given(st.ip_addresses(v=4).filter(lambda one: one not in PROXIES[0]), st.text())
def test_what_a_stranger_sends_never_changes_who_it_is(peer, forwarded):
    assert caller_address(str(peer), forwarded, PROXIES) == str(peer)


@given(st.text(), st.ip_addresses().filter(lambda one: not is_within(str(one), PROXIES)))
def test_what_the_caller_wrote_before_our_proxy_changes_nothing(claimed, real):
    mapped = getattr(real, "ipv4_mapped", None) or real
    if not is_within(str(mapped), PROXIES):
        assert ip_address(caller_address("10.0.0.1", f"{claimed},{real}", PROXIES)) == mapped


@given(st.ip_addresses(v=4))
def test_ipv4_inside_ipv6_is_ipv4(address: IPv4Address):
    assert is_within(f"::ffff:{address}", networks_of([f"{address}/32"], "x"))


def test_what_is_no_address_is_nowhere():
    assert not is_within("unix", networks_of(["0.0.0.0/0", "::/0"], "x"))


def test_networks_may_have_host_bits_and_must_be_networks():
    assert str(networks_of(["10.1.2.3/8"], "x")[0]) == "10.0.0.0/8"
    with pytest.raises(ConfigError, match=r"keys: 'k': '10\.0\.0\.0/99' is no network"):
        networks_of(["10.0.0.0/99"], "keys: 'k'")
