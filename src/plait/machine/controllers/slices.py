"""Endpoints of a Service as EndpointSlices, changed as little as possible. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from plait.machine.controllers.objects import controller_reference, is_deleting, labels_of
from plait.machine.controllers.pods import has_ended, is_ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Object = dict[str, Any]
Ports = list[Object]

#: The slice there is (None: to be made), its ports and its endpoints.
_Body = tuple[Object | None, Ports, list[Object]]

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
OURS = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
#: Endpoints in one slice at most, as in Kubernetes.
FULL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceChanges:
    """What to write; updates before creations, so that an endpoint that goes is gone first."""

    update: tuple[Object, ...] = ()
    create: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()


def wants_slices(service: Object) -> bool:
    """Whether the endpoints of a Service are ours to find: it has a selector and is not a mere alias."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def plan_slices(service: Object, pods: Iterable[Object], slices: Iterable[Object]) -> SliceChanges:
    """From the pods that its selector takes and the slices that are there."""
    groups = _wanted(service, pods)
    labels = _labels(service)
    free: list[Object] = []
    by_ports: dict[bytes, list[Object]] = defaultdict(list)
    for each in sorted(slices, key=lambda item: item["metadata"]["name"]):
        key = _key(each.get("ports") or [])
        if key in groups and each.get("addressType") == "IPv4":
            by_ports[key].append(each)
        else:
            free.append(each)
    bodies: list[_Body] = []
    for key, (ports, endpoints) in sorted(groups.items()):
        bodies += _fill(ports, endpoints, by_ports[key])
    return _settle(service, labels, bodies, free)


def endpoint_of(service: Object, pod: Object) -> Object:
    """One pod as an endpoint."""
    status, spec, meta = pod.get("status") or {}, pod.get("spec") or {}, pod["metadata"]
    serving, terminating = is_ready(pod), is_deleting(pod)
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Object = {
        "addresses": [status["podIP"]],
        "conditions": {
            "ready": always or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
    }
    if spec.get("nodeName"):
        endpoint["nodeName"] = spec["nodeName"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def ports_of(service: Object, pod: Object) -> Ports:
    """The Service's ports as numbers in this pod; a named target that the pod lacks is left out."""
    ports = []
    for port in service["spec"].get("ports") or ():
        number = _target(port, pod)
        if number is None:
            continue
        found = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol") or "TCP"}
        if port.get("appProtocol"):
            found["appProtocol"] = port["appProtocol"]
        ports.append(found)
    return ports


def _target(port: Object, pod: Object) -> int | None:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    protocol = port.get("protocol") or "TCP"
    spec = pod.get("spec") or {}
    # Sidecars are init containers that stay; their ports count as well.
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for each in container.get("ports") or ():
            if each.get("name") == target and (each.get("protocol") or "TCP") == protocol:
                return int(each["containerPort"])
    return None


def _wanted(service: Object, pods: Iterable[Object]) -> dict[bytes, tuple[Ports, list[Object]]]:
    """Endpoints by the ports they have in common."""
    groups: dict[bytes, tuple[Ports, list[Object]]] = {}
    for pod in pods:
        if has_ended(pod) or not (pod.get("status") or {}).get("podIP"):
            continue
        ports = ports_of(service, pod)
        if not ports and service["spec"].get("ports"):
            continue
        groups.setdefault(_key(ports), (ports, []))[1].append(endpoint_of(service, pod))
    return groups


def _labels(service: Object) -> dict[str, str]:
    labels = {key: value for key, value in labels_of(service).items() if key not in {SERVICE_NAME, MANAGED_BY}}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    else:
        labels.pop(HEADLESS, None)
    return labels | {SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: OURS}


def _fill(ports: Ports, endpoints: Sequence[Object], slices: Sequence[Object]) -> list[_Body]:
    """Every endpoint stays in the slice it is in; new ones fill up what has room, fullest first, then new slices.

    A slice that the others could hold as well is emptied into them: a creation whose answer was lost leaves one more
    than there should be.
    """
    wanted = {_identity(endpoint): endpoint for endpoint in endpoints}
    kept: list[_Body] = []
    for each in slices:
        stay: list[Object] = []
        for endpoint in each.get("endpoints") or ():
            now = wanted.pop(_identity(endpoint), None)
            if now is not None and len(stay) < FULL:
                stay.append(now)
            elif now is not None:
                wanted[_identity(now)] = now
        kept.append((each, ports, stay))
    new = sorted(wanted.values(), key=_identity)
    for _, _, stay in sorted(kept, key=lambda item: -len(item[2])):
        room = FULL - len(stay)
        stay.extend(new[:room])
        new = new[room:]
    _pack([stay for _, _, stay in kept if stay])
    return kept + [(None, ports, new[start : start + FULL]) for start in range(0, len(new), FULL)]


def _pack(filled: list[list[Object]]) -> None:
    """Empty the least filled lists into the others, as long as those have room for all of one."""
    filled.sort(key=len)
    while len(filled) > 1 and sum(FULL - len(each) for each in filled[1:]) >= len(filled[0]):
        moving = filled.pop(0)
        for each in reversed(filled):
            room = FULL - len(each)
            each.extend(moving[:room])
            del moving[:room]


def _settle(service: Object, labels: Mapping[str, str], bodies: Sequence[_Body], free: list[Object]) -> SliceChanges:
    """Writes; slices that became free serve again before any is made, and the last one of a Service stays, empty."""
    spare = [*free, *(each for each, _, endpoints in bodies if each is not None and not endpoints)]
    usable = [each for each in spare if each.get("addressType") == "IPv4"]
    stay: list[_Body] = []
    create: list[Object] = []
    for each, ports, endpoints in bodies:
        if not endpoints:
            continue
        taken = each if each is not None else (usable.pop(0) if usable else None)
        if taken is not None:
            stay.append((taken, ports, endpoints))
        else:
            create.append(_new(service, labels, ports, endpoints))
    if not stay and not create:
        if usable:
            stay.append((usable[0], usable[0].get("ports") or [], []))
        else:
            create.append(_new(service, labels, [], []))
    kept = {each["metadata"]["name"] for each, _, _ in stay if each is not None}
    updated = (_updated(each, labels, ports, endpoints) for each, ports, endpoints in stay if each is not None)
    return SliceChanges(
        update=tuple(each for each in updated if each is not None),
        create=tuple(create),
        delete=tuple(each for each in spare if each["metadata"]["name"] not in kept),
    )


def _new(service: Object, labels: Mapping[str, str], ports: Ports, endpoints: list[Object]) -> Object:
    meta = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta['name'][:57]}-",
            "namespace": meta["namespace"],
            "labels": dict(labels),
            "ownerReferences": [controller_reference(service)],
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": endpoints,
    }


def _updated(each: Object, labels: Mapping[str, str], ports: Ports, endpoints: list[Object]) -> Object | None:
    """The slice with new contents; None if nothing differs."""
    if (
        labels_of(each) == labels
        and (each.get("endpoints") or []) == endpoints
        and _key(each.get("ports") or []) == _key(ports)
    ):
        return None
    return each | {"metadata": each["metadata"] | {"labels": dict(labels)}, "ports": ports, "endpoints": endpoints}


def _identity(endpoint: Object) -> str:
    """The pod it stands for, else its address."""
    target = endpoint.get("targetRef") or {}
    return str(target.get("uid") or endpoint["addresses"][0])


def _key(ports: Ports) -> bytes:
    ranked = sorted(ports, key=lambda port: (port.get("name") or "", port.get("port") or 0))
    return msgspec.json.encode(ranked, order="sorted")
