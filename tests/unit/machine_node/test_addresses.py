from ipaddress import IPv4Address, IPv4Network

import pytest

from plait.machine.node.addresses import AddressError, Addresses
from plait.machine.node.sandbox import link_name


def pool(prefix=27):
    network = IPv4Network(f"10.42.0.0/{prefix}")
    return Addresses(network, [IPv4Address("10.42.0.1")])


def test_addresses_are_given_in_turn_and_a_freed_one_comes_last():
    addresses = pool()
    first = [addresses.take() for _ in range(3)]
    assert first == ["10.42.0.16", "10.42.0.17", "10.42.0.18"]
    addresses.free("10.42.0.16")
    following = [addresses.take() for _ in range(13)]
    assert following[-1] == "10.42.0.16"
    assert "10.42.0.31" not in following


def test_a_full_network_says_so():
    addresses = pool()
    for _ in range(15):
        addresses.take()
    with pytest.raises(AddressError, match=r"10\.42\.0\.0/27"):
        addresses.take()


def test_a_claimed_address_is_not_given():
    addresses = pool()
    addresses.claim("10.42.0.17")
    assert addresses.take() == "10.42.0.18"


def test_links_have_short_names_of_their_own():
    assert link_name("10.42.0.16") == "pl0a2a0010"
    assert len(link_name("255.255.255.255")) <= 15
