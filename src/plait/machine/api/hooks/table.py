"""Which hook belongs to which kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.machine.api.hooks.contract import Hook
from plait.machine.api.hooks.definitions import COLLECTION as DEFINITIONS
from plait.machine.api.hooks.definitions import DefinitionHook
from plait.machine.api.hooks.jobs import JobHook
from plait.machine.api.hooks.namespaces import NamespaceHook
from plait.machine.api.hooks.pods import PodHook
from plait.machine.api.hooks.services import ServiceHook

if TYPE_CHECKING:
    from plait.machine.api.registry import Collection


class PlainHook(Hook):
    """Kinds that do not count generations: they have no spec, or nobody acts on it."""

    generation = False


def hooks() -> dict[Collection, Hook]:
    """Hooks by collection; a kind that is missing here gets a plain `Hook`."""
    plain = PlainHook()
    return {
        ("", "namespaces"): NamespaceHook(),
        ("", "pods"): PodHook(),
        ("", "services"): ServiceHook(),
        ("batch", "jobs"): JobHook(),
        DEFINITIONS: DefinitionHook(),
        ("", "configmaps"): plain,
        ("", "secrets"): plain,
        ("", "serviceaccounts"): plain,
        ("", "events"): plain,
        ("", "nodes"): plain,
        ("coordination.k8s.io", "leases"): plain,
    }
