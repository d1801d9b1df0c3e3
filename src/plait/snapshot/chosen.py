"""Which workloads a policy is for, as it says itself: by labels, or by what they belong to."""

from __future__ import annotations

from typing import Final, NamedTuple

from plait.api.selection import LabelSelector, TargetReference
from plait.snapshot.contribution import sorted_labels
from plait.snapshot.keys import Labels

#: The label of proxies of a Gateway of the Gateway API, which is its name.
GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
_GATEWAY: Final = ("gateway.networking.k8s.io", "Gateway")


class Chosen(NamedTuple):
    """`targets` are (group, kind, name); with none it is for workloads with all labels of `selector`."""

    selector: Labels = ()
    targets: tuple[tuple[str, str, str], ...] = ()

    @property
    def everybody(self) -> bool:
        """Whether it is for all workloads of its namespace; of the root namespace: of the mesh."""
        return not self.selector and not self.targets

    def chooses(self, labels: Labels, *, at_home: bool) -> bool:
        """Whether it is for a workload with these labels; `at_home`: one in the policy's own namespace.

        Istio: a target is looked for in the policy's own namespace. A Gateway stands for its proxies, which carry its
        name; Services and ServiceEntries for their waypoints, of which there are none here.
        """
        if self.targets:
            name = dict(labels).get(GATEWAY_NAME)
            return at_home and name is not None and (*_GATEWAY, name) in self.targets
        return set(self.selector).issubset(labels)


def chosen_of(
    selector: LabelSelector | None, target: TargetReference | None, targets: tuple[TargetReference, ...]
) -> Chosen:
    """Of a policy's `selector`, `targetRef` and `targetRefs`."""
    refs = targets or ((target,) if target is not None else ())
    found = tuple(sorted((each.group if each.group != "core" else "", each.kind, each.name) for each in refs))
    return Chosen(sorted_labels(selector.match_labels) if selector is not None else (), found)
