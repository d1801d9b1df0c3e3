"""The builder's part of the certificate authority: its key, its root everywhere, and delivery told of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plait.api.mesh_settings import KEY, NAME, MeshSettings, read_settings
from plait.api.spiffe import DEFAULT_TRUST_DOMAIN
from plait.citadel.keeper import Keeper, Kept
from plait.citadel.roots import RootPublisher
from plait.delivery.frames import Certify
from plait.kube.kinds import CONFIGMAP
from plait.xds.engine import Upsert

if TYPE_CHECKING:
    from plait.delivery.builder import Builder
    from plait.delivery.metrics import Exposition
    from plait.kube.client import Client
    from plait.kube.recorder import Recorder
    from plait.sources.kubernetes import Step

#: Istio's names of what is counted, by the fields of `citadel.desk.Counts`.
_METRICS = {
    "asked": ("citadel_server_csr_count", "Signing requests received."),
    "unauthenticated": ("citadel_server_authentication_failure_count", "Of these, callers that proved nothing."),
    "unreadable": ("citadel_server_csr_parsing_err_count", "Of these, requests that could not be read."),
    "refused": ("citadel_server_csr_sign_err_count", "Of these, requests that were not signed for another reason."),
    "issued": ("citadel_server_success_cert_issuance_count", "Certificates issued."),
}


class Citadel:
    """See the module; `run` keeps all of it until cancelled."""

    def __init__(self, client: Client, builder: Builder, recorder: Recorder, namespace: str) -> None:
        self._builder = builder
        self._recorder = recorder
        self._namespace = namespace
        self._roots = RootPublisher(client)
        self._keeper = Keeper(client, namespace, took=self._took, faulty=self._faulty)
        self._kept: Kept | None = None
        self._domains: tuple[str, ...] = (DEFAULT_TRUST_DOMAIN,)

    @property
    def problem(self) -> str:
        """Why there is no authority yet; empty once there is one."""
        return self._keeper.problem if self._kept is None else ""

    @property
    def roots(self) -> str:
        """The certificates of those whom the mesh trusts, as PEM; empty before there is an authority."""
        return self._kept.authority.roots_pem if self._kept is not None else ""

    async def run(self) -> None:
        """See the class."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run(), name="authority")
            tasks.create_task(self._roots.run(), name="roots")

    def take(self, step: Step) -> None:
        """Note the trust domains among the mesh's settings. No authority is made before these are known."""
        if step.kind == CONFIGMAP:
            for change in step.changes:
                if isinstance(change, Upsert):
                    if change.obj["metadata"].get("namespace") == self._namespace:
                        self._read(change.obj)
                elif (change.namespace, change.name) == (self._namespace, NAME):
                    self._trust(MeshSettings())
        if step.complete:
            self._keeper.begin(self._domains[0])

    def expose(self, out: Exposition) -> None:
        """Metrics under Istio's names."""
        requests = self._builder.totals.requests
        for field, (name, meaning) in _METRICS.items():
            out.add(name, "counter", meaning, requests[field])
        if self._kept is not None:
            authority = self._kept.authority
            for name, meaning, ends in (
                ("citadel_server_root_cert_expiry_timestamp", "When the first root ends.", authority.root_ends),
                ("citadel_server_cert_chain_expiry_timestamp", "When the signing certificate ends.", authority.ends),
            ):
                out.add(name, "gauge", f"{meaning[:-1]}, in seconds since the epoch.", ends.timestamp())

    def _read(self, obj: dict[str, Any]) -> None:
        found = read_settings(str((obj.get("data") or {}).get(KEY) or ""))
        # Of settings that cannot be used the ones before stay.
        if not found.faults:
            self._trust(found.settings)

    def _trust(self, settings: MeshSettings) -> None:
        domains = (settings.trust_domain or DEFAULT_TRUST_DOMAIN, *(settings.trust_domain_aliases or ()))
        if domains != self._domains:
            self._domains = domains
            self._tell()

    def _took(self, kept: Kept) -> None:
        self._kept = kept
        self._roots.want(kept.authority.roots_pem)
        self._tell()

    def _tell(self) -> None:
        if self._kept is None:
            return
        pems = self._kept.pems
        self._builder.certify(
            Certify(
                certificate=pems.certificate, key=pems.key, chain=pems.chain, roots=pems.roots, domains=self._domains
            )
        )

    def _faulty(self, obj: dict[str, Any], why: str) -> None:
        self._recorder.record(obj, reason="AuthorityUnusable", message=why, type="Warning")
