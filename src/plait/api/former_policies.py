"""Policies of Istio 1.0 (authentication.istio.io) as the PeerAuthentications that say the same today.

By Istio 1.0's own reading (`GetMutualTLS`): the first mTLS method of `peers` decides, one without a mode is STRICT, and
a policy without peers wants plain text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from plait.api.legacy import validate_legacy
from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem
from plait.api.validate.findings import Findings

Json = Mapping[str, Any]
GROUP: Final = "authentication.istio.io"
MESH_POLICY: Final = "MeshPolicy"
POLICY: Final = "Policy"
#: Name of the one policy of the mesh, or of a namespace, then and now.
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The PeerAuthentication that a policy means: where it belongs, and its mode (STRICT, PERMISSIVE, DISABLE)."""

    namespace: str
    mode: str

    @property
    def spec(self) -> dict[str, Any]:
        """Of the PeerAuthentication."""
        return {"mtls": {"mode": self.mode}}

    @property
    def yaml(self) -> str:
        """The whole of it in one line."""
        return (
            "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, "
            f"metadata: {{name: {DEFAULT}, namespace: {self.namespace}}}, spec: {{mtls: {{mode: {self.mode}}}}}}}"
        )


def peers_of(obj: Json, *, root: str) -> tuple[Peers | None, tuple[Problem, ...]]:
    """What a Policy or MeshPolicy means; None, with the reasons, if it cannot be said in one PeerAuthentication.

    `root` is the mesh's root namespace.
    """
    problems = [each for each in validate_legacy(dict(obj)) if each.level is Level.ERROR]
    spec, metadata = _map(obj.get("spec")), _map(obj.get("metadata"))
    kind, namespace = str(obj.get("kind") or ""), str(metadata.get("namespace") or "")
    findings = Findings(ObjectKey(kind, namespace, str(metadata.get("name") or "")))
    _untranslatable(spec, findings)
    told = {each.path for each in problems}
    problems += [each for each in findings.problems if each.path not in told]
    if problems:
        return None, tuple(problems)
    return Peers(namespace=root if kind == MESH_POLICY else namespace, mode=_mode(spec)), ()


def _mode(spec: Json) -> str:
    for method in _list(spec, "peers"):
        if "mtls" in method:
            return str(_map(method["mtls"]).get("mode") or "STRICT")
    return "DISABLE"


def _untranslatable(spec: Json, findings: Findings) -> None:
    """What Istio 1.0 could say and a PeerAuthentication cannot, with the kinds that say it today."""
    for index, target in enumerate(_list(spec, "targets")):
        ports = ", and portLevelMtls" if target.get("ports") else ""
        findings.error(
            f"spec.targets[{index}]",
            "a policy for one service is not converted",
            fix=f"a PeerAuthentication with selector.matchLabels of the pods of {target.get('name')!r}{ports}",
        )
    for index, method in enumerate(_list(spec, "peers")):
        path = f"spec.peers[{index}]"
        if "jwt" in method:
            findings.error(f"{path}.jwt", "tokens are not converted", fix="a RequestAuthentication")
        elif "mtls" not in method:
            findings.error(path, "no method", fix="mtls: {}")
        elif _map(method["mtls"]).get("allowTls"):
            findings.error(
                f"{path}.mtls.allowTls", "TLS without a client's certificate is gone", fix="mode: PERMISSIVE"
            )
    if spec.get("peerIsOptional"):
        findings.error("spec.peerIsOptional", "is gone", fix="peers: [{mtls: {mode: PERMISSIVE}}]")
    for name in ("origins", "originIsOptional"):
        if spec.get(name):
            fix = "a RequestAuthentication, with an AuthorizationPolicy where a token is required"
            findings.error(f"spec.{name}", "tokens are not converted", fix=fix)
    if spec.get("principalBinding") not in {None, "", "USE_PEER"}:
        findings.error("spec.principalBinding", "is gone", fix="source.requestPrincipals of an AuthorizationPolicy")


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(spec: Json, name: str) -> Iterator[dict[str, Any]]:
    found = spec.get(name)
    for item in found if isinstance(found, list) else ():
        yield _map(item)
