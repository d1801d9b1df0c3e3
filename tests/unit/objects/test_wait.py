"""`plait apply --wait`: until objects say that they are in effect."""

from __future__ import annotations

import asyncio
from typing import Any

from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.kinds import VIRTUALSERVICE


def say(run: Any, reason: str, status: str, message: str, generation: int = 1) -> None:
    """What a control plane would write."""

    async def work() -> None:
        condition = {"type": "Settled", "reason": reason, "status": status, "message": message}
        body = {"status": {"conditions": [{**condition, "observedGeneration": generation}]}}
        async with Client(Access.from_kubeconfig(run.kubeconfig)) as client:
            await client.patch(VIRTUALSERVICE, "web", run.namespace, body, subresource="status")

    asyncio.run(work())


RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: NAMESPACE}
spec:
  hosts: [web.example]
  http:
  - route: [{destination: {host: web.example}}]
"""


def test_waiting_ends_with_the_words_of_the_mesh(run):
    file = run.file(RULE)
    service = f"{RULE}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, namespace: NAMESPACE}}\n"
    late = run("apply", "--wait", "--timeout", "0.2", "-f", run.file(service, "two.yaml"), code=5)
    assert f"VirtualService {run.namespace}/web: not in effect after 0.2 s: written; the control plane" in late.stderr
    say(run, "Settled", "True", "in effect in all 3 proxies concerned")
    done = run("apply", "--wait", "-f", file)
    assert "virtualservice.networking.istio.io/web unchanged" in done.stdout
    assert "in effect in all 3 proxies concerned" in done.stderr
    say(run, "Rejected", "False", "refused by 1 of 3 proxies (a.b), the version before stays in use: spec.http[0]: no")
    refused = run("apply", "--wait", "-f", file, code=1)
    assert f"{file}:7: VirtualService {run.namespace}/web: refused by 1 of 3 proxies" in refused.stderr
    say(run, "Settled", "True", "of another generation", generation=0)
    run("apply", "--wait", "--timeout", "0.2", "-f", file, code=5)
    assert "not in effect" not in run("apply", "-f", file).stderr
