"""What Envoy says of configuration that it refuses, without what it prints beside the reason."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

#: Before a broken constraint Envoy prints the whole message, as protobuf's debug format begins it.
_PRINTED: Final = re.compile(r"goo\.gle/debug\w*\s.*?:\s+(?=Proto constraint validation failed)", re.DOTALL)
#: It sends the first 4096 bytes of what it has to say (`truncateGrpcStatusMessage`).
_CUT: Final = re.compile(r"goo\.gle/debug\w*\s.*\Z", re.DOTALL)
_ELSEWHERE: Final = (
    "a constraint of Envoy's is broken; which one stands in the log of the proxy (kubectl logs -c istio-proxy)"
)
#: How Envoy begins when it refuses listeners; then come lines `NAME: REASON`.
_LISTENERS: Final = "Error adding/updating listener(s) "
_SHOWN: Final = 3


def reason(words: str) -> str:
    """Envoy's words without the resource as text, behind which the reason is cut off wherever room is short."""
    return _CUT.sub(_ELSEWHERE, _PRINTED.sub("", words))


def together(words: str, names: Collection[str]) -> str:
    """Envoy's words with each reason said once, and behind which of the refused resources it stands."""
    if not words.startswith(_LISTENERS):
        return words
    known = frozenset(names)
    entries: list[tuple[str, str]] = []
    for line in words.removeprefix(_LISTENERS).splitlines():
        name, _, why = line.partition(": ")
        if name in known:
            entries.append((name, why))
        elif entries:
            entries[-1] = (entries[-1][0], f"{entries[-1][1]}\n{line}")
        else:
            return words
    refused: dict[str, list[str]] = {}
    for name, why in entries:
        refused.setdefault(why, []).append(name)
    return _LISTENERS + "\n".join(f"{_some(found)}: {why}" for why, found in refused.items())


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
