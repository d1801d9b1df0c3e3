"""The check of EnvoyFilters against Envoy's schema, for processes that seldom need it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.api.problem import Problem


def patch_faults(obj: Any) -> tuple[Problem, ...]:
    """What Envoy could not read in the patches of an EnvoyFilter; nothing for other kinds.

    Envoy's message classes are imported with the first EnvoyFilter: they are 30 MB and a third of a second.
    """
    if not isinstance(obj, dict) or obj.get("kind") != "EnvoyFilter":
        return ()
    found: tuple[Problem, ...] = importlib.import_module("plait.xds.patch.problems").problems_of_patches(obj)
    return found
