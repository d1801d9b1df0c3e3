"""Where in an object what a proxy refused comes from, as far as it can be told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

from plait.api.meta import ObjectKey
from plait.kit.memo import Key
from plait.xds.authorization.filters import AUTHORIZATION_POLICY, rules_named
from plait.xds.patch.fragments import changing_places


def path_in(encoded: bytes, key: ObjectKey) -> str:
    """The path of the one field of `key` that a resource says it comes from, or what the paths have in common."""
    if key.kind == AUTHORIZATION_POLICY:
        # RBAC has names for rules instead, which say the same.
        return common_path({f"spec.rules[{number}]" for number in rules_named(encoded, key)})
    pattern = re.escape(f"{key} ").encode() + rb"(spec(?:\.[a-zA-Z]+(?:\[\d+\])?)*)"
    return common_path({found.decode() for found in re.findall(pattern, encoded)})


def common_path(paths: Iterable[str]) -> str:
    """`spec.http` of `spec.http[0]` and `spec.http[1].route`; empty for none."""
    known = sorted(set(paths))
    if len(known) < 2:
        return known[0] if known else ""
    # Of sorted paths the first and the last differ soonest.
    steps = zip(*(re.findall(r"[a-zA-Z]+|\[\d+\]", path) for path in (known[0], known[-1])), strict=False)
    same = [first for first, _ in takewhile(lambda pair: pair[0] == pair[1], steps)]
    return ".".join(same).replace(".[", "[")


def patch_path(get: Callable[[Key], Any], fragment: Key, rule: ObjectKey) -> str:
    """The patch, or the patches, of an EnvoyFilter that made a resource another."""
    return common_path(f"spec.configPatches[{place}]" for place in changing_places(get, fragment, rule))
