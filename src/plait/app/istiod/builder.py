"""The builder process: everything is made here and bound together."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from plait import __version__
from plait.app.istiod.citadel import Citadel
from plait.app.istiod.intake import Sinks, intake
from plait.app.istiod.options import access, pod
from plait.app.istiod.token_keys import TokenKeys
from plait.delivery.analyst import Analyst
from plait.delivery.auth import TokenReviewer
from plait.delivery.builder import Builder
from plait.delivery.credentials import CredentialFindings, CredentialReports
from plait.delivery.debug import DebugServer
from plait.delivery.health import Health
from plait.delivery.joining import Registrar
from plait.delivery.objects import Objects
from plait.delivery.refusals import tell
from plait.delivery.settled.settling import Settling
from plait.delivery.settled.writer import StatusWriter
from plait.delivery.supervisor import CHANNEL_FD, Supervisor
from plait.delivery.token_keys import KeyFindings
from plait.kit.aio.calm import collect_in_calm
from plait.kube.client import Client
from plait.kube.recorder import Recorder
from plait.sources.addresses import AddressWriter
from plait.sources.secrets import SecretSource
from plait.xds.engine import Engine

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine, Mapping
    from typing import Any


async def run_istiod(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """The builder and all that belongs to it, until cancelled."""
    account = options.service_account
    async with Client(access(environment, account), user_agent=f"plait-istiod/{__version__}") as client:
        istiod = Istiod(client, *pod(environment), environment)
        command = [sys.executable, "-m", "plait.app.istiod", "delivery", "--channel", CHANNEL_FD]
        command += ["--xds", options.xds, "--secure", options.secure, "--transport", options.transport]
        command += ["--service-account", str(account)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_http(istiod.debug.application(), options.monitoring), name="http")
            tasks.create_task(Supervisor(istiod.builder, command).run(), name="delivery")
            for name, work in istiod.work().items():
                tasks.create_task(work, name=name)


class Istiod:
    """The parts, bound together; `work` is what they do."""

    def __init__(self, client: Client, name: str, namespace: str, environment: Mapping[str, str]) -> None:
        self._client = client
        self._objects = Objects()
        self._recorder = Recorder(client, "istiod", host=name)
        self._engine = Engine()
        self._analyst = Analyst(snapshot=self._engine.entry, problems=self._engine.problems_of)
        self._engine.listen(self._analyst.moved)
        self._secrets = SecretSource(client, lambda changes: self.builder.apply(changes, endpoints_only=False))
        self._reports = CredentialReports(self._objects, self._recorder)
        self._lacking = CredentialFindings()
        self._keyless = KeyFindings(self._objects, self._recorder)
        self._health = Health(self._objects)
        self._registrar = Registrar(
            client, self._objects, self._recorder, istiod=name, namespace=namespace, reports=self._health.report
        )
        self._writer = StatusWriter(
            client,
            self._objects,
            findings=self._analyst.findings,
            unserved=lambda key: (*self._lacking.of(key), *self._keyless.of(key)),
            health=self._health.condition,
        )
        self._settling = Settling(self._engine, self._objects, self._writer)
        for part in (self._analyst, self._lacking, self._keyless, self._health):
            part.bind(self._settling.refresh)
        self.builder = Builder(
            self._engine,
            refused=lambda refusal: tell(refusal, self._objects, self._recorder),
            published=self._published,
            follower=self._settling,
            registers=self._registrar,
            secure=True,
        )
        self._addresses = AddressWriter(client)
        self._citadel = Citadel(client, self.builder, self._recorder, namespace)
        self._tokens = TokenKeys(
            self._engine, self.builder, self._keyless, environment=environment, roots=lambda: self._citadel.roots
        )
        self.debug = DebugServer(
            builder=self.builder,
            objects=self._objects,
            settling=self._settling,
            analyst=self._analyst,
            authenticator=TokenReviewer(client),
            istiod=name,
            version=__version__,
            namespace=namespace,
            unready=lambda: self._citadel.problem,
            more_metrics=self._citadel.expose,
            keys=self._tokens.shown,
        )

    def work(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs until istiod ends, by name."""
        sinks = Sinks(
            builder=self.builder,
            objects=self._objects,
            addresses=self._addresses,
            settling=self._settling,
            analyst=self._analyst,
            citadel=self._citadel,
            tokens=self._tokens,
            workloads=(self._registrar, self._health),
        )
        return {
            "events": self._recorder.run(),
            "secrets": self._secrets.run(),
            "publish": self.builder.publishing(),
            "settling": self._settling.run(),
            "status": self._writer.run(),
            "analysis": self._analyst.run(),
            "collect": collect_in_calm(self.builder.work),
            "registration": self._registrar.run(),
            "health": self._health.run(),
            "addresses": self._addresses.run(),
            "citadel": self._citadel.run(),
            "keys": self._tokens.run(),
            "intake": intake(self._client, sinks),
        }

    def _published(self) -> None:
        statuses = self._engine.credentials()
        self._secrets.want(secret for status in statuses for secret in status.secrets)
        looked = [status for status in statuses if all(map(self._secrets.known, status.secrets))]
        self._reports.tell(looked)
        self._lacking.take(looked)
        # An object that has waited for its keys wants those of its state before no more.
        self._tokens.look()


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
