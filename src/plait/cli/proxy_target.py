"""Which pod a command means, and how its ports are reached."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec
import yaml

from plait.cli.context import mesh, stop
from plait.kube.client import Client
from plait.kube.errors import NotFound
from plait.kube.kinds import DEPLOYMENT, POD, REPLICASET
from plait.kube.portforward import port_forward
from plait.proxy.admin import Admin, AdminError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from plait.app.what_if import Mesh
    from plait.kube.access import Access

ADMIN_PORT, MONITORING_PORT = 15000, 15014
SYSTEM = "istio-system"
PROXY = "istio-proxy"
_WORKLOADS = {
    "deploy": DEPLOYMENT,
    "deployment": DEPLOYMENT,
    "deployments": DEPLOYMENT,
    "rs": REPLICASET,
    "replicaset": REPLICASET,
    "replicasets": REPLICASET,
}


class Pod(NamedTuple):
    """A pod by name."""

    namespace: str
    name: str

    @property
    def id(self) -> str:
        """As Istio's tools write it."""
        return f"{self.name}.{self.namespace}"


def access_from(ctx: click.Context) -> Access:
    """How to reach the API of the mesh the command line names."""
    return mesh(ctx).access()


@asynccontextmanager
async def client_from(ctx: click.Context) -> AsyncIterator[Client]:
    """A client of that API."""
    async with Client(access_from(ctx), user_agent="plait-cli") as client:
        yield client


async def find_pod(client: Client, target: str, namespace: str | None) -> Pod:
    """`POD[.NAMESPACE]`, `pod/POD` or `deploy/NAME[.NAMESPACE]`; ends the command when there is none."""
    word, slash, rest = target.partition("/")
    name = rest if slash else word
    if namespace is None:
        # Pods' names may hold dots, namespaces never do.
        before, dot, after = name.rpartition(".")
        name, namespace = (before, after) if dot else (name, client.access.namespace)
    try:
        if slash and word not in {"pod", "pods", "po"}:
            return await _of_workload(client, word, name, namespace)
        await client.get(POD, name, namespace)
    except NotFound:
        stop(f"no {word if slash else 'pod'} {name!r} in namespace {namespace!r}; see: kubectl get pods -A")
    return Pod(namespace, name)


async def _of_workload(client: Client, word: str, name: str, namespace: str) -> Pod:
    kind = _WORKLOADS.get(word.lower())
    if kind is None:
        known = ", ".join(sorted({"pod", *_WORKLOADS}))
        raise click.BadParameter(f"{word}/{name}: say POD[.NAMESPACE] or KIND/NAME with KIND one of {known}")
    spec = (await client.get(kind, name, namespace)).get("spec") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    pods = await running_pods(client, namespace, labels)
    if not pods:
        stop(f"{word}/{name} in namespace {namespace!r} has no running pod")
    return pods[0]


async def running_pods(client: Client, namespace: str, labels: dict[str, str]) -> list[Pod]:
    """Pods that run and are not being deleted, by name."""
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    listing = await client.list(POD, namespace, labels=selector)
    names = sorted(
        item["metadata"]["name"]
        for item in listing.items
        if (item.get("status") or {}).get("phase") == "Running" and not item["metadata"].get("deletionTimestamp")
    )
    return [Pod(namespace, name) for name in names]


async def has_proxy(client: Client, pod: Pod) -> bool:
    """Whether the pod has a sidecar, or is a gateway."""
    spec = (await client.get(POD, pod.name, pod.namespace)).get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return any(container.get("name") == PROXY for container in containers)


def admin(client: Client, pod: Pod) -> Admin:
    """The admin interface of a pod's Envoy."""
    return Admin(lambda: port_forward(client, pod.namespace, pod.name, ADMIN_PORT), name=f"pod {pod.id}")


async def istiods(client: Client) -> list[Pod]:
    """The control plane's pods; ends the command when there is none."""
    pods = await running_pods(client, SYSTEM, {"app": "istiod"})
    if not pods:
        stop(f"no running pod with label app=istiod in namespace {SYSTEM}; see: kubectl get pods -n {SYSTEM}")
    return pods


async def give_keys(client: Client, world: Mesh) -> None:
    """Tell a mesh which keys of tokens istiod has fetched, if it wants any: from here they may be out of reach."""
    if not world.engine.keys_wanted:
        return
    for istiod in await istiods(client):
        try:
            found = msgspec.json.decode(await monitoring(client, istiod).get("/debug/jwksz"))
        except (AdminError, msgspec.MsgspecError) as error:
            click.echo(f"istiod {istiod.id} does not say which keys of tokens it has: {error}", err=True)
            continue
        for each in found:
            if each.get("keys"):
                world.keys_came(each["url"], each["keys"], discovery=bool(each["discovery"]))


def monitoring(client: Client, pod: Pod) -> Admin:
    """The debug port of a control plane pod; it answers HTTP as an admin interface does."""
    return Admin(lambda: port_forward(client, pod.namespace, pod.name, MONITORING_PORT), name=f"pod {pod.id}")


def print_data(value: Any, output: str) -> None:
    """As json or yaml."""
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=4).decode())
    else:
        click.echo(yaml.safe_dump(value, sort_keys=False, default_flow_style=False), nl=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, never cut: output is for grep as much as for eyes."""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "".join(f"{cell:<{width + 5}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
