"""Names: DNS labels, hosts with wildcards, HTTP header names. Predicates only; nothing here knows an object."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

_LABEL: Final = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
#: Istio: the first label of a host may be `*`, `*name` or `*-name`.
_WILD_LABEL: Final = re.compile(r"\*|(?:\*|\*-)?[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_MAX_NAME: Final = 255
_MAX_LABEL: Final = 63
#: RFC 9110 token: what Envoy accepts as the name of a header.
_HEADER: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


def is_dns_label(text: str) -> bool:
    """Whether `text` is one label of a DNS name (RFC 1123)."""
    return _LABEL.fullmatch(text) is not None


def is_hostname(text: str) -> bool:
    """Whether `text` is a DNS name without a wildcard; a final dot is allowed.

    Istio: the last label may not be a number, since that would look like an address.
    """
    return 0 < len(text) <= _MAX_NAME and _are_labels(text.split("."))


def _are_labels(labels: list[str]) -> bool:
    if len(labels) > 1 and not labels[-1]:
        labels = labels[:-1]
    return not labels[-1].isdecimal() and all(map(is_dns_label, labels))


def within_label(host: str) -> bool:
    """Whether a wildcard stands for a part of a label (`*foo.example`), by which Envoy tells no names of TLS apart."""
    return host.startswith("*") and host != "*" and not host.startswith("*.")


def is_wildcard_host(text: str) -> bool:
    """Whether `text` is a DNS name whose first label may be a wildcard: `*`, `*.domain`, `*-name.domain`."""
    if not 0 < len(text) <= _MAX_NAME:
        return False
    first, _, rest = text.partition(".")
    return (
        len(first) <= _MAX_LABEL
        and _WILD_LABEL.fullmatch(first) is not None
        and (not rest or _are_labels(rest.split(".")))
    )


def is_mesh_sni(text: str) -> bool:
    """Whether `text` is the SNI that Istio's mutual TLS sends: `outbound_.PORT_.SUBSET_.HOST`."""
    parts = text.split("_")
    if parts[0] != "outbound" or len(parts) < 4 or len(text) > _MAX_NAME:
        return False
    # Istio looks for a digit in the port and for a letter in the host, and at nothing else.
    return re.search(r"[0-9]", parts[1]) is not None and re.search(r"[a-zA-Z]", parts[3]) is not None


def host_matches(one: str, other: str) -> bool:
    """Whether there is a name that both hosts stand for; a wildcard stands for any first part."""
    one, other = one.lower(), other.lower()
    if one.startswith("*") and other.startswith("*"):
        short, long = sorted((one[1:], other[1:]), key=len)
        return long.endswith(short)
    if one.startswith("*"):
        return len(other) > len(one) - 1 and other.endswith(one[1:])
    if other.startswith("*"):
        return host_matches(other, one)
    return one == other


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, without a zone."""
    if "%" in text:
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_subnet(text: str) -> bool:
    """Whether `text` is an address or a range of them (`10.0.0.0/8`)."""
    address, slash, bits = text.partition("/")
    if not is_ip(address):
        return False
    # As Go reads it: 08 is no number of bits.
    return not slash or (bits.isascii() and bits.isdigit() and str(int(bits[:4])) == bits
                         and int(bits) <= ip_address(address).max_prefixlen)  # fmt: skip


def gateway_place(name: str, namespace: str) -> tuple[str, str]:
    """(namespace, name) of the Gateway that a VirtualService of `namespace` calls `name`.

    Istio: besides NAME, NAMESPACE/NAME and ./NAME there is the form of its first versions, NAME.NAMESPACE with or
    without a domain behind it.
    """
    owner, slash, short = name.partition("/")
    if slash:
        return (namespace if owner == "." else owner), short
    short, dot, rest = name.partition(".")
    return (rest.partition(".")[0] if dot else namespace), short


def is_header_name(text: str) -> bool:
    """Whether `text` can be the name of an HTTP header."""
    return _HEADER.fullmatch(text) is not None


def is_header_value(text: str) -> bool:
    """Whether `text` can be the value of an HTTP header: no NUL, CR or LF."""
    return not any(mark in text for mark in "\0\r\n")


def is_host_port(text: str) -> bool:
    """Whether a text is HOST:PORT."""
    host, colon, port = text.rpartition(":")
    return bool(colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536)


def is_variable_name(text: str) -> bool:
    """The name of an environment variable as Kubernetes takes it in a pod: printable ASCII without `=`."""
    return bool(text) and all(" " <= letter <= "~" and letter != "=" for letter in text)


def is_port(number: int) -> bool:
    """Whether `number` is a TCP port one can name."""
    return 1 <= number <= 65535


_CLAIMS: Final = "@request.auth.claims"


def claim_path(name: str) -> tuple[str, ...]:
    """The claim of a token that a "header" of a match means, from the outside in; empty: it is a header.

    Istio: `@request.auth.claims.group`, `@request.auth.claims.a.b` of claims within claims, or
    `@request.auth.claims[a][b]` of names with dots.
    """
    if not is_claim(name):
        return ()
    rest = name[len(_CLAIMS) :]
    parts = rest[1:-1].split("][") if rest.startswith("[") else rest[1:].split(".")
    return tuple(parts) if all(parts) else ()


def is_claim(name: str) -> bool:
    """Whether a "header" of a match means a claim of a token; the first part of its name in any case, as in Istio."""
    rest = name[len(_CLAIMS) :]
    if name[: len(_CLAIMS)].lower() != _CLAIMS:
        return False
    return (rest.startswith(".") and len(rest) > 1) or (rest.startswith("[") and rest.endswith("]") and len(rest) > 2)
