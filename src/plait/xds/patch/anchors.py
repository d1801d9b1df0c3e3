"""Whether a patch speaks of a filter that decides over requests.

Users anchor on Istio's names of these filters: they insert before and after them, merge into them, replace and remove
them, and have settings of routes under their names. Where they do, the filters have to stand in the listener by these
names; everywhere else slots stand for them (`plait.xds.slots`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from plait.api.envoyfilter import ConfigPatch
from plait.xds.slots import FILTER_NAMES, FILTER_TYPES

_WORDS = FILTER_NAMES | FILTER_TYPES


def anchors(patch: ConfigPatch) -> bool:
    """Whether a name or type of such a filter stands anywhere in a patch, as a whole text or as a key."""
    return any(text in _WORDS for part in (patch.match, patch.patch) for text in _texts(msgspec.to_builtins(part)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
