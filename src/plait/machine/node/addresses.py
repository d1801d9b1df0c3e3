"""Which pod has which address."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network


class AddressError(Exception):
    """The network has no free address left."""


class Addresses:
    """Hands out addresses of a network in turn, so that one that was just freed comes back last.

    A late packet to a pod that has ended then reaches nobody, instead of its successor.
    """

    def __init__(self, network: IPv4Network, reserved: Iterable[IPv4Address]) -> None:
        self._network = network
        self._taken = {int(address) for address in reserved}
        # The first 16 are for the bridge and for whatever the node itself may need.
        self._first = int(network.network_address) + 16
        self._last = int(network.broadcast_address) - 1
        self._next = self._first

    def claim(self, address: str) -> None:
        """Take a particular address: that of a pod which was found running."""
        self._taken.add(int(IPv4Address(address)))
        self._next = max(self._next, int(IPv4Address(address)) + 1)

    def take(self) -> str:
        """A free address; raises AddressError."""
        for _ in range(self._last - self._first + 1):
            if self._next > self._last:
                self._next = self._first
            candidate, self._next = self._next, self._next + 1
            if candidate not in self._taken:
                self._taken.add(candidate)
                return str(IPv4Address(candidate))
        raise AddressError(f"every address of {self._network} is in use")

    def free(self, address: str) -> None:
        """Give an address back."""
        self._taken.discard(int(IPv4Address(address)))
