"""Rules for names, labels and values. Each gives an empty text if the value keeps the rule, else what is wrong."""

from __future__ import annotations

import re
from ipaddress import ip_address

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

#: Numbers a port can have.
PORTS = range(1, 65536)


def dns_label(value: str) -> str:
    """RFC 1123 label: most names inside objects, namespaces."""
    if _LABEL.fullmatch(value) and len(value) <= 63:
        return ""
    return (
        "must be a DNS label: lower-case letters, digits and '-', with a letter or digit at both ends, "
        "at most 63 characters, such as my-name"
    )


def dns_1035_label(value: str) -> str:
    """RFC 1035 label: names of Services."""
    if _LABEL_1035.fullmatch(value) and len(value) <= 63:
        return ""
    return (
        "must be a DNS-1035 label: lower-case letters, digits and '-', with a letter first and a letter or digit last, "
        "at most 63 characters, such as my-name"
    )


def dns_subdomain(value: str) -> str:
    """RFC 1123 subdomain: names of most objects."""
    if _SUBDOMAIN.fullmatch(value) and len(value) <= 253:
        return ""
    return (
        "must be a DNS name: lower-case letters, digits, '-' and '.', each part with a letter or digit at both ends, "
        "at most 253 characters, such as my-name or example.com"
    )


def qualified_name(value: str) -> str:
    """Keys of labels and annotations, names of resources: an optional DNS prefix, '/', a name."""
    prefix, slash, name = value.rpartition("/")
    if slash and dns_subdomain(prefix):
        return f"the part before '/' {dns_subdomain(prefix)}"
    if _QUALIFIED.fullmatch(name) and len(name) <= 63:
        return ""
    return (
        "must be a name of letters, digits, '-', '_' and '.', with a letter or digit at both ends, at most 63 "
        "characters, optionally after a DNS prefix and '/', such as app or example.com/app"
    )


def label_value(value: str) -> str:
    """Values of labels; may be empty."""
    if not value or (_QUALIFIED.fullmatch(value) and len(value) <= 63):
        return ""
    return (
        "a label value must be empty or letters, digits, '-', '_' and '.', with a letter or digit at both ends, "
        "at most 63 characters"
    )


def config_key(value: str) -> str:
    """Keys of ConfigMaps and Secrets: usable as file names."""
    if _CONFIG_KEY.fullmatch(value) and len(value) <= 253 and value != "." and not value.startswith(".."):
        return ""
    return "a key must consist of letters, digits, '-', '_' and '.', at most 253 characters, and not begin with '..'"


def port_name(value: str) -> str:
    """Names of container ports (IANA service names)."""
    if _PORT_NAME.fullmatch(value) and len(value) <= 15 and re.search("[a-z]", value) and "--" not in value:
        return ""
    return (
        "must be a port name: lower-case letters, digits and single '-', at least one letter, a letter or digit at "
        "both ends, at most 15 characters, such as http or http-web"
    )


def environment_name(value: str) -> str:
    """Names of environment variables: printable ASCII without '='."""
    if value and all(" " <= char <= "~" and char != "=" for char in value):
        return ""
    return "must consist of printable ASCII characters other than '='"


def ip(value: str) -> str:
    """An IPv4 or IPv6 address."""
    try:
        ip_address(value)
    except ValueError:
        return "must be an IP address, such as 10.9.8.7 or 2001:db8::ffff"
    return ""


def relative_path(value: str) -> str:
    """A path that stays below where it starts."""
    if value.startswith("/"):
        return "must be a relative path"
    return "must not contain '..'" if ".." in value.split("/") else ""
