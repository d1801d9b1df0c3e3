"""What must exist before the first request: namespaces with what belongs in them, and the Service `kubernetes`.

Runs at every start, so that a start that was interrupted is completed by the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.admission import User
from plait.machine.api.hooks.namespaces import SYSTEM_NAMESPACES, furnish
from plait.machine.api.hooks.permanent import ROOT_CERTIFICATE
from plait.machine.api.objects import copy_json, metadata
from plait.machine.api.query import WriteOptions
from plait.machine.api.shaping import Write
from plait.machine.api.store import Key

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from plait.machine.api.hooks.contract import World
    from plait.machine.api.writing import Writer

Json = dict[str, Any]

#: Whoever the API server itself is, when it writes.
SERVER = User(name="system:apiserver", groups=("system:masters",))


def server_write() -> Write:
    """How the API server itself writes."""
    options = WriteOptions(dry_run=False, validation="Strict", manager="plait-api", manager_given=True, force=True)
    return Write(user=SERVER, options=options)


def ensure(world: World, writer: Writer, group: str, plural: str, obj: Json) -> None:
    """Create an object unless one of that name exists."""
    kind = world.registry.stored(group, plural)
    resource = world.registry.find(kind.group, kind.version, kind.plural)
    assert resource is not None  # noqa: S101 - every stored kind is served in its stored version
    meta = metadata(obj)
    key = Key(meta.get("namespace", ""), meta["name"])
    if world.store.get(resource.collection, key) is None:
        writer.create(resource, key.namespace, obj, server_write())


def furnish_cluster(world: World, writer: Writer, *, address: tuple[IPv4Address, int]) -> None:
    """Make what is missing; bring the certificate in every namespace up to date."""
    for name in SYSTEM_NAMESPACES:
        ensure(world, writer, "", "namespaces", {"metadata": {"name": name}})
    for entry in list(world.store.entries(("", "namespaces"))):
        if not metadata(entry.obj).get("deletionTimestamp"):
            furnish(world, entry.key.name)
            _renew_root(world, entry.key.name)
    _kubernetes(world, writer, address)


def _renew_root(world: World, namespace: str) -> None:
    entry = world.store.get(("", "configmaps"), Key(namespace, ROOT_CERTIFICATE))
    if entry is not None and entry.obj.get("data") != {"ca.crt": world.ca}:
        obj = copy_json(entry.obj)
        obj["data"] = {"ca.crt": world.ca}
        world.store.put(("", "configmaps"), obj)


def _kubernetes(world: World, writer: Writer, address: tuple[IPv4Address, int]) -> None:
    """Pods reach the API as `kubernetes.default.svc`, on 443 like everywhere."""
    ip, port = address
    labels = {"component": "apiserver", "provider": "kubernetes"}
    meta = {"name": "kubernetes", "namespace": "default"}
    wanted = {
        "metadata": {**meta, "labels": labels},
        "spec": {
            "clusterIP": str(world.api_vip),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    }
    service = world.store.get(("", "services"), Key("default", "kubernetes"))
    if service is not None and service.obj["spec"].get("clusterIP") != str(world.api_vip):
        world.store.delete(("", "services"), service.key)  # another network range than at the last start
    ensure(world, writer, "", "services", wanted)
    endpoints = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [str(ip)], "conditions": {"ready": True}}],
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    collection = ("discovery.k8s.io", "endpointslices")
    there = world.store.get(collection, Key("default", "kubernetes"))
    if there is not None and (
        there.obj.get("endpoints") != endpoints["endpoints"] or there.obj.get("ports") != endpoints["ports"]
    ):
        world.store.delete(collection, there.key)
    ensure(world, writer, *collection, endpoints)
