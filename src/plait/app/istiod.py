"""istiod: `python -m plait.app.istiod` is the builder and its HTTP port; it runs delivery as a child (`… delivery`).

The builder follows the Kubernetes API and makes configuration; delivery serves proxies. Either may die: delivery is
started again and told everything anew; a builder that dies takes delivery along and the container is restarted.
Proxies keep what they have, reconnect with the versions they hold, and are sent only what differs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from plait import __version__
from plait.app.processes import run
from plait.delivery.auth import TokenReviewer
from plait.kube.access import SERVICE_ACCOUNT, Access
from plait.kube.client import Client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.delivery.analyst import Analyst
    from plait.delivery.builder import Builder
    from plait.delivery.health import Health
    from plait.delivery.joining import Registrar
    from plait.delivery.objects import Objects
    from plait.delivery.settled.settling import Settling
    from plait.rpc.stream import Transport
    from plait.sources.addresses import AddressWriter

XDS_PORT, MONITORING_PORT = 15010, 15014
#: Kinds of programs that are in no pod.
_OF_WORKLOADS = frozenset({"WorkloadEntry", "WorkloadGroup"})


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="istiod", description="plait's control plane")
    parser.add_argument("role", nargs="?", choices=("builder", "delivery"), default="builder")
    parser.add_argument("--xds", default=f"0.0.0.0:{XDS_PORT}", help="address of xDS")
    parser.add_argument("--transport", choices=("http2", "grpc"), default="http2", help="server of xDS")
    parser.add_argument("--monitoring", default=f"0.0.0.0:{MONITORING_PORT}", help="address of /debug and /metrics")
    parser.add_argument("--service-account", type=Path, default=SERVICE_ACCOUNT, help="folder with token and ca.crt")
    parser.add_argument("--channel", type=int, help="delivery only: inherited socket to the builder")
    # What Istio's Deployments pass to their istiod means nothing here, and must not stop it.
    known, ignored = parser.parse_known_args([part for part in given if part != "discovery"])
    if ignored:
        sys.stderr.write(f"istiod: ignoring arguments: {' '.join(ignored)}\n")
    return known


def access(environment: Mapping[str, str], account: Path) -> Access:
    """The API server of the cluster this pod runs in; raises ValueError or AccessError."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ValueError("KUBERNETES_SERVICE_HOST is not set: istiod runs in a pod")
    return Access.in_cluster(account, host=host, port=port)


def transport(kind: str, address: str) -> Transport:
    """Plait's own HTTP/2 server, or gRPC's."""
    if kind == "grpc":
        from plait.delivery.grpc_transport import GrpcTransport  # noqa: PLC0415 -- costs 20 MB

        return GrpcTransport(address)
    from plait.rpc import Http2Transport  # noqa: PLC0415

    return Http2Transport(address)


async def run_delivery_process(channel: int, carrier: Transport, api: Access) -> None:
    """The child: ends when the builder does."""
    # Imported here: the builder has no use for gRPC, delivery none for the core.
    from plait.delivery.child import run_delivery  # noqa: PLC0415
    from plait.delivery.frames import Channel, Down  # noqa: PLC0415

    async with (
        await Channel.over(socket.socket(fileno=channel), Down) as builder,
        Client(api, user_agent=f"plait-istiod/{__version__}") as client,
    ):
        await run_delivery(builder, carrier, TokenReviewer(client))


async def run_istiod(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """The builder and all that belongs to it, until cancelled."""
    from plait.delivery.analyst import Analyst  # noqa: PLC0415
    from plait.delivery.builder import Builder  # noqa: PLC0415
    from plait.delivery.credentials import CredentialFindings, CredentialReports  # noqa: PLC0415
    from plait.delivery.debug import DebugServer  # noqa: PLC0415
    from plait.delivery.health import Health  # noqa: PLC0415
    from plait.delivery.joining import Registrar  # noqa: PLC0415
    from plait.delivery.objects import Objects  # noqa: PLC0415
    from plait.delivery.refusals import tell  # noqa: PLC0415
    from plait.delivery.settled.settling import Settling  # noqa: PLC0415
    from plait.delivery.settled.writer import StatusWriter  # noqa: PLC0415
    from plait.delivery.supervisor import CHANNEL_FD, Supervisor  # noqa: PLC0415
    from plait.kit.aio.calm import collect_in_calm  # noqa: PLC0415
    from plait.kube.recorder import Recorder  # noqa: PLC0415
    from plait.sources.addresses import AddressWriter  # noqa: PLC0415
    from plait.sources.secrets import SecretSource  # noqa: PLC0415
    from plait.xds.engine import Engine  # noqa: PLC0415

    pod, namespace = environment.get("POD_NAME", "istiod"), environment.get("POD_NAMESPACE", "istio-system")
    account = options.service_account
    command = [sys.executable, "-m", "plait.app.istiod", "delivery", "--channel", CHANNEL_FD]
    command += ["--xds", options.xds, "--transport", options.transport, "--service-account", str(account)]
    async with Client(access(environment, account), user_agent=f"plait-istiod/{__version__}") as client:
        objects = Objects()
        recorder = Recorder(client, "istiod", host=pod)
        engine = Engine()
        analyst = Analyst(snapshot=engine.entry, problems=engine.problems_of)
        engine.listen(analyst.moved)
        secrets = SecretSource(client, lambda changes: builder.apply(changes, endpoints_only=False))
        reports = CredentialReports(objects, recorder)

        def published() -> None:
            statuses = engine.credentials()
            secrets.want(secret for status in statuses for secret in status.secrets)
            looked = [status for status in statuses if all(map(secrets.known, status.secrets))]
            reports.tell(looked)
            lacking.take(looked)

        lacking = CredentialFindings()
        health = Health(objects)
        registrar = Registrar(client, objects, recorder, istiod=pod, namespace=namespace, reports=health.report)
        writer = StatusWriter(client, objects, findings=analyst.findings, unserved=lacking.of, health=health.condition)
        settling = Settling(engine, objects, writer)
        analyst.bind(settling.refresh)
        lacking.bind(settling.refresh)
        health.bind(settling.refresh)
        builder = Builder(
            engine,
            refused=lambda refusal: tell(refusal, objects, recorder),
            published=published,
            follower=settling,
            registers=registrar,
        )
        debug = DebugServer(
            builder=builder,
            objects=objects,
            settling=settling,
            analyst=analyst,
            authenticator=TokenReviewer(client),
            istiod=pod,
            version=__version__,
            namespace=namespace,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_http(debug.application(), options.monitoring), name="http")
            tasks.create_task(recorder.run(), name="events")
            tasks.create_task(secrets.run(), name="secrets")
            tasks.create_task(Supervisor(builder, command).run(), name="delivery")
            tasks.create_task(builder.publishing(), name="publish")
            tasks.create_task(settling.run(), name="settling")
            tasks.create_task(writer.run(), name="status")
            tasks.create_task(analyst.run(), name="analysis")
            tasks.create_task(collect_in_calm(builder.work), name="collect")
            tasks.create_task(registrar.run(), name="registration")
            tasks.create_task(health.run(), name="health")
            addresses = AddressWriter(client)
            tasks.create_task(addresses.run(), name="addresses")
            sinks = Sinks(
                builder=builder,
                objects=objects,
                addresses=addresses,
                settling=settling,
                analyst=analyst,
                workloads=(registrar, health),
            )
            tasks.create_task(intake(client, sinks), name="intake")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """Where objects go that come from the API."""

    builder: Builder
    objects: Objects
    addresses: AddressWriter
    settling: Settling
    analyst: Analyst
    workloads: tuple[Registrar, Health]


async def intake(client: Client, to: Sinks) -> None:
    """Objects from the API into the builder, until cancelled. What istiod itself wrote into them changes nothing."""
    from plait.api.decode import knows  # noqa: PLC0415
    from plait.api.meta import ObjectKey  # noqa: PLC0415
    from plait.sources.kubernetes import follow  # noqa: PLC0415
    from plait.xds.engine import Upsert  # noqa: PLC0415

    synced = False
    async with aclosing(follow(client)) as steps:  # type: ignore[type-var]
        async for step in steps:
            changes = []
            for change in step.changes:
                if isinstance(change, Upsert):
                    if not to.objects.put(change.obj):
                        continue
                else:
                    to.objects.remove(change.kind, change.namespace, change.name)
                    to.settling.removed(ObjectKey(change.kind, change.namespace, change.name))
                changes.append(change)
            if step.kind.kind in _OF_WORKLOADS:
                for change in changes:
                    meta = change.obj["metadata"] if isinstance(change, Upsert) else asdict(change)
                    for each in to.workloads:
                        each.take(step.kind.kind, str(meta["namespace"]), str(meta["name"]))
            if changes and knows(step.kind.group, step.kind.kind):
                to.builder.apply(changes, endpoints_only=step.endpoints_only)
            to.analyst.take(changes)
            to.addresses.take(step)
            if step.complete and not synced:
                synced = True
                to.builder.synced()
                to.analyst.begin()


async def serve_http(app: web.Application, address: str) -> None:
    """Serve until cancelled; raises OSError when the address is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    host, _, port = address.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run one of the two processes until SIGTERM."""
    options = arguments(sys.argv[1:])
    if options.role == "delivery":
        api = access(os.environ, options.service_account)
        run("delivery", run_delivery_process(options.channel, transport(options.transport, options.xds), api))
    else:
        run("istiod", run_istiod(options, os.environ))


if __name__ == "__main__":
    main()
