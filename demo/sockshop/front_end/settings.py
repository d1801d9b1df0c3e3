"""What a front-end is told at its start. Pure: the environment is read by `__main__` and handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = ("v1", "v2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one front-end runs."""

    port: int = 8079
    version: str = "v1"
    domain: str = ""
    """Appended to every backend's name: with `x`, catalogue becomes `catalogue.x`."""
    customer_override: bool = False
    """Whether `?custId=` names the customer. Anybody may then be anybody: for development only."""
    access_log: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str], *, domain: str = "") -> Settings:
        """From PORT, NODE_ENV, SOCKSHOP_VERSION and SOCKSHOP_ACCESS_LOG. Raises ValueError naming the variable.

        An absent NODE_ENV means production here; the original takes it for development.
        """
        port = environment.get("PORT") or "8079"
        if not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"PORT={port!r}: give a number from 0 to 65535")
        version = environment.get("SOCKSHOP_VERSION") or "v1"
        if version not in VERSIONS:
            raise ValueError(f"SOCKSHOP_VERSION={version!r}: give {' or '.join(VERSIONS)}")
        return cls(
            port=int(port),
            version=version,
            domain=domain,
            customer_override=environment.get("NODE_ENV", "production") != "production",
            access_log=environment.get("SOCKSHOP_ACCESS_LOG", "") not in {"", "0", "false"},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Addresses of the services behind the front-end.

    Bare names without a port: orders builds its links from the Host header.
    """

    catalogue: str = "http://catalogue"
    carts: str = "http://carts/carts"
    orders: str = "http://orders"
    customers: str = "http://user/customers"
    addresses: str = "http://user/addresses"
    cards: str = "http://user/cards"
    login: str = "http://user/login"
    register: str = "http://user/register"

    @classmethod
    def within(cls, domain: str) -> Endpoints:
        """The services' addresses with `domain` behind each name."""
        dotted = f".{domain.strip('.')}" if domain else ""
        user = f"http://user{dotted}"
        return cls(
            catalogue=f"http://catalogue{dotted}",
            carts=f"http://carts{dotted}/carts",
            orders=f"http://orders{dotted}",
            customers=f"{user}/customers",
            addresses=f"{user}/addresses",
            cards=f"{user}/cards",
            login=f"{user}/login",
            register=f"{user}/register",
        )
