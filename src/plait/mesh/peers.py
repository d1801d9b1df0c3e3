"""Whether mutual TLS is demanded of those who call a workload: PeerAuthentications, by Istio's rules.

The oldest that selects the workload (in its own namespace, which is not the root namespace), the oldest of its
namespace without a selector, and that of the root namespace each take the place of the next where they leave the mode
open; PERMISSIVE is what is left. A port has a mode of its own only by the one that selects the workload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from plait.api.security import MTLSMode
from plait.mesh.endpoints import behind
from plait.mesh.origin import Origin
from plait.snapshot.keys import SERVICE, Labels, ServiceHost
from plait.snapshot.peers import PeerEntry
from plait.snapshot.reader import Reader

TLS_MODE_LABEL: Final = "security.istio.io/tlsMode"
"""The label of workloads whose sidecar takes part in mutual TLS, which injection sets."""
MUTUAL: Final = "istio"
"""Its value."""
#: Annotations of Services: service accounts of their namespace, and identities in full, of programs that are no pods.
_ACCOUNTS: Final = "alpha.istio.io/kubernetes-serviceaccounts"
_IDENTITIES: Final = "alpha.istio.io/canonical-serviceaccounts"


class PeerMode(NamedTuple):
    """What is demanded (never UNSET), and by which object; without one it is what Istio does by itself."""

    mode: MTLSMode = "PERMISSIVE"
    origin: Origin | None = None


DEFAULT: Final = PeerMode()


@dataclass(frozen=True, slots=True)
class WorkloadPeers:
    """What one workload demands: `whole` of all ports but those in `ports`."""

    whole: PeerMode = DEFAULT
    ports: tuple[tuple[int, PeerMode], ...] = ()

    def at(self, port: int) -> PeerMode:
        """What one port demands, by the number that the workload listens on."""
        return next((mode for number, mode in self.ports if number == port), self.whole)


@dataclass(frozen=True, slots=True)
class PeerPolicies:
    """What decides in one namespace: `whole` of workloads that none of `narrow` selects, which are the oldest first."""

    whole: PeerMode = DEFAULT
    narrow: tuple[PeerEntry, ...] = ()

    def of(self, labels: Labels) -> WorkloadPeers:
        """For the workload with these labels."""
        entry = next((each for each in self.narrow if set(each.selector).issubset(labels)), None)
        if entry is None:
            return WorkloadPeers(self.whole)
        whole = PeerMode(entry.mode, Origin(entry.key, "spec.mtls")) if entry.mode != "UNSET" else self.whole
        ports = tuple(
            (number, PeerMode(mode, Origin(entry.key, f"spec.portLevelMtls[{number}]")) if mode != "UNSET" else whole)
            for number, mode in entry.ports
        )
        return WorkloadPeers(whole, ports)

    @property
    def closes(self) -> bool:
        """Whether any workload may be one that does not speak mutual TLS."""
        modes = [self.whole.mode, *(entry.mode for entry in self.narrow)]
        return "DISABLE" in modes or any(mode == "DISABLE" for entry in self.narrow for _, mode in entry.ports)


def peer_policies(reader: Reader, namespace: str, root_namespace: str) -> PeerPolicies:
    """Those that workloads of `namespace` look at."""
    mesh = reader.peer_authentications(root_namespace)
    own = reader.peer_authentications(namespace) if namespace != root_namespace else ()
    whole = DEFAULT
    for entries in (mesh, own):
        wide = next((entry for entry in entries if not entry.selector), None)
        if wide is not None and wide.mode != "UNSET":
            whole = PeerMode(wide.mode, Origin(wide.key, "spec.mtls"))
    return PeerPolicies(whole, tuple(entry for entry in own if entry.selector))


def takes_part(labels: Labels) -> bool:
    """Whether the workload with these labels has a sidecar that takes part in mutual TLS."""
    return (TLS_MODE_LABEL, MUTUAL) in labels


@dataclass(frozen=True, slots=True)
class Servers:
    """Who is behind a port of a host, ready or not: (namespace, service account) of each, sorted.

    `names` are those that ServiceEntries have for them. `mutual`: some of them take part in mutual TLS; `whole`: all,
    of which there are some.
    """

    accounts: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    mutual: bool = False
    whole: bool = False


NOBODY: Final = Servers()

Speaks: TypeAlias = Callable[[Labels, str, int], bool]
"""Whether callers may speak mutual TLS to a workload, by its labels, its namespace and the port it listens on."""


def nobody(_labels: Labels, _namespace: str, _port: int) -> bool:
    """The same of a mesh without mutual TLS."""
    return False


def speaks(policies: Callable[[str], PeerPolicies | None]) -> Speaks:
    """By its label and what is demanded there; `policies` are those of a namespace, None where nothing is closed."""

    def answer(labels: Labels, namespace: str, port: int) -> bool:
        if not takes_part(labels):
            return False
        found = policies(namespace)
        return found is None or found.of(labels).at(port).mode != "DISABLE"

    return answer


def servers(reader: Reader, host: str, port: int, owner: str, speaking: Speaks) -> Servers:
    """Who is behind a port of a host. That one gets ready or ceases to be changes nothing of it."""
    accounts: set[tuple[str, str]] = set()
    mutual, whole = False, True
    for pod, namespace, number in behind(reader, host, port, owner):
        taking = pod is not None and speaking(pod.labels, namespace, number)
        mutual, whole = mutual or taking, whole and taking
        if pod is not None:
            accounts.add((namespace, pod.service_account or "default"))
    service = reader.host(host, owner)
    names: dict[str, None] = {}
    if service is not None:
        annotations = _annotations(reader, service)
        accounts.update((service.namespace, name) for name in _listed(annotations.get(_ACCOUNTS, "")))
        entries = (reader.service_entry(service.namespace, name) for name in service.entries)
        names = dict.fromkeys(name for entry in entries if entry is not None for name in entry.spec.subject_alt_names)
        names |= dict.fromkeys(_listed(annotations.get(_IDENTITIES, "")))
    return Servers(tuple(sorted(accounts)), tuple(names), mutual, mutual and whole)


def _annotations(reader: Reader, service: ServiceHost) -> Mapping[str, str]:
    """Those of a Service. Istio: it may name who serves it beside its pods."""
    found = reader.service(service.namespace, service.service) if service.kind == SERVICE else None
    return found.metadata.annotations if found is not None else {}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
