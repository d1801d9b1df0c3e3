"""Which Secrets reach which sidecars."""

from __future__ import annotations

import base64
import datetime as dt
from types import SimpleNamespace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from plait.xds.engine import Engine, Upsert
from plait.xds.resource import SDS


def authority() -> str:
    """A certificate, as a Secret holds it."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=1)).sign(key, None)
    return base64.b64encode(made.public_bytes(Encoding.PEM)).decode()


def test_a_sidecar_gets_the_secrets_that_a_rule_which_selects_it_names(k8s: SimpleNamespace) -> None:
    engine = Engine()
    tls = {"mode": "SIMPLE", "credentialName": "trusted"}
    policy = {"portLevelSettings": [{"port": {"number": 80}, "tls": tls}]}
    chosen = {"matchLabels": {"app": "caller"}}
    rule = k8s.destination_rule("tls", host="a", trafficPolicy=policy, workloadSelector=chosen)
    engine.apply([Upsert(k8s.service("a")), Upsert(rule)])
    views = {name: engine.attach(k8s.sidecar("shop", app=name)) for name in ("caller", "other")}
    engine.take()
    (status,) = engine.credentials()
    assert status.object.name == "tls"
    assert status.path == "spec.trafficPolicy.portLevelSettings[0].tls"
    assert status.secrets == (("shop", "trusted-cacert"), ("shop", "trusted"))
    assert "there is no Secret 'trusted' in namespace shop" in status.problem
    metadata = {"name": "trusted", "namespace": "shop"}
    engine.apply(
        [Upsert({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"ca.crt": authority()}})]
    )
    engine.take()
    assert engine.credentials()[0].problem == ""
    found = {name: [item.name for view in views[name] for item in engine.resources(view, SDS)] for name in views}
    assert found == {"caller": ["kubernetes://trusted-cacert"], "other": []}
