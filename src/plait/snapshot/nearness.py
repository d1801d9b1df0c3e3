"""Where traffic to a host stays, as its Service or ServiceEntry says, or the namespace for all that say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ANNOTATION: Final = "networking.istio.io/traffic-distribution"
NODE: Final = "PreferSameNode"
DISTRIBUTIONS: Final = ("PreferClose", "PreferSameZone", NODE)


def said(annotations: Mapping[str, str]) -> str:
    """What the annotation says, in any case of letters; empty: nothing that anybody knows."""
    word = annotations.get(ANNOTATION, "").lower()
    return next((each for each in DISTRIBUTIONS if each.lower() == word), "")
