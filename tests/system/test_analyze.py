"""Analysis of a running mesh, with real kubectl: warnings as objects are applied, and the same from `plait analyze`."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.system

WORLD = """\
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
 spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
"""
SECOND = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web-too
  namespace: shop
spec:
  hosts: [web]
  http:
  - route:
    - destination: {host: web, subset: v2}
"""


@pytest.fixture(scope="module")
def shop(mesh):
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("apply", "-f", "-", given=WORLD)
    return mesh


def found(mesh, *arguments: str, code: int | None = 0) -> list[tuple[str, str]]:
    told = json.loads(mesh.plait("analyze", "-n", "shop", "-o", "json", *arguments, code=code).stdout)
    return [(one["code"], one["origin"]) for one in told]


def test_kubectl_and_analyze_tell_the_same_of_a_file(shop, tmp_path) -> None:
    file = tmp_path / "second.yaml"
    file.write_text(SECOND)
    assert found(shop) == []
    tried = shop.kubectl("apply", "--dry-run=server", "-f", str(file)).stderr
    own = [code for code, origin in found(shop, "-f", str(file), code=1) if origin.endswith("shop/web-too")]
    assert own == ["IST0101", "IST0109"]
    assert all(f"[{code}]" in tried for code in own)
    (line,) = [line for line in shop.plait("analyze", "-f", str(file), code=1).stdout.splitlines() if "IST0101" in line]
    assert f"{file}:10:32)" in line
    # Nothing was applied.
    assert found(shop) == []


def test_what_was_applied_is_found_until_it_is_mended_or_suppressed(shop) -> None:
    shop.kubectl("apply", "-f", "-", given=SECOND)
    assert ("IST0109", "VirtualService shop/web") in found(shop, code=1)
    shop.kubectl("annotate", "-n", "shop", "vs", "web", "galley.istio.io/analyze-suppress=IST0109")
    assert ("IST0109", "VirtualService shop/web") not in found(shop, code=1)
    shop.kubectl("delete", "-n", "shop", "vs", "web-too")
    assert found(shop) == []


def test_the_mesh_that_plait_brings_up_is_without_fault(shop) -> None:
    told = json.loads(shop.plait("analyze", "-n", "istio-system", "-o", "json").stdout)
    assert told == []
