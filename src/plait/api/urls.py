"""URLs as Istio reads them, which is how Go does (net/url): whether a text is one, and of which scheme."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

_SCHEME: Final = re.compile(r"([a-zA-Z][-+.a-zA-Z0-9]*):")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
#: What a host may be made of; more than ASCII as well, also written by number.
_HOST: Final = re.compile(r"(?:[-_.~a-zA-Z0-9!$&'()*+,;=:<>\"\]]|[^\x00-\x7f]|%[89a-fA-F][0-9a-fA-F])*")
_USER: Final = re.compile(r"(?:[-._:~!$&'()*+,;=%@a-zA-Z0-9])*")
_PORT: Final = re.compile(r"(?::[0-9]*)?")


def url_scheme(text: str, *, request: bool = False) -> str | None:
    """The scheme of a URL in lower case, "" if it has none; None: the text is no URL.

    `request` asks for one that a request could be for: absolute, or a path from the root.
    """
    if not request:
        text, _, fragment = text.partition("#")
        if _BAD_ESCAPE.search(fragment):
            return None
    if _CONTROL.search(text) or (request and not text):
        return None
    if text == "*":
        return ""
    found = _SCHEME.match(text)
    if found is None and text.startswith(":"):
        return None
    scheme = found[1].lower() if found is not None else ""
    rest = text[found.end() :] if found is not None else text
    path = rest.partition("?")[0]
    if not path.startswith("/"):
        # Behind a scheme it may be anything.
        relative = ":" not in path.partition("/")[0] and not _BAD_ESCAPE.search(path)
        return scheme if scheme or (not request and relative) else None
    if path.startswith("//") and (scheme or (not request and not path.startswith("///"))):
        authority, slash, path = path[2:].partition("/")
        path = slash + path
        if not _is_authority(authority):
            return None
    return None if _BAD_ESCAPE.search(path) else scheme


def _is_authority(text: str) -> bool:
    user, at, host = text.rpartition("@")
    if at and (not _USER.fullmatch(user) or _BAD_ESCAPE.search(user)):
        return False
    if host.startswith("["):
        address, end, port = host[1:].rpartition("]")
        address = address.partition("%25")[0]
        try:
            IPv6Address(address)
        except ValueError:
            return False
        return bool(end) and "%" not in address and _PORT.fullmatch(port) is not None
    name, colon, port = host.rpartition(":")
    if not colon:
        name, port = host, ""
    return _PORT.fullmatch(colon + port) is not None and _HOST.fullmatch(name) is not None
