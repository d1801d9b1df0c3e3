"""The rules at the API's door."""

from typing import Any

import pytest

from plait.app.admission import Rules
from plait.machine.api.admission import AdmissionRequest, User

FOREIGN = {"name": "istio-proxy", "image": "istio/proxyv2:1.0.0"}
APP = {"name": "c", "image": "x"}


def deployment(*containers: dict[str, str], replicas: int = 1) -> dict[str, Any]:
    spec = {"replicas": replicas, "template": {"spec": {"containers": list(containers)}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def warnings(obj: dict[str, Any], old: dict[str, Any] | None = None) -> tuple[str, ...]:
    request = AdmissionRequest(
        operation="UPDATE" if old else "CREATE",
        group="apps",
        version="v1",
        kind="Deployment",
        namespace="shop",
        name="web",
        obj=obj,
        old=old,
        namespace_object={"metadata": {"name": "shop"}},
        dry_run=False,
        user=User(name="admin"),
    )
    result = Rules().admit(request)
    assert result.obj == obj
    assert not result.errors
    return result.warnings


def test_a_workload_with_a_sidecar_of_another_make_is_warned_of_in_every_version() -> None:
    [said] = warnings(deployment(APP, FOREIGN))
    assert said.startswith('Deployment "web": spec.template carries a sidecar (container istio-proxy')
    assert warnings(deployment(APP)) == ()


@pytest.mark.parametrize(("replicas", "count"), [(1, 0), (2, 1)])
def test_it_is_said_again_only_when_the_workload_changes(replicas: int, count: int) -> None:
    assert len(warnings(deployment(APP, FOREIGN, replicas=replicas), old=deployment(APP, FOREIGN))) == count


@pytest.mark.parametrize(("settled", "annotation", "refused"), [(False, "", 1), (True, "", 0), (True, "istio.io/x", 1)])
def test_a_stored_rule_with_a_fault_may_get_other_metadata(*, settled: bool, annotation: str, refused: int) -> None:
    def rule(annotations: dict[str, str]) -> dict[str, Any]:
        metadata = {"name": "web", "namespace": "shop", "annotations": annotations}
        version = "networking.istio.io/v1"
        return {"apiVersion": version, "kind": "VirtualService", "metadata": metadata, "spec": {"hosts": ["web"]}}

    request = AdmissionRequest(
        operation="UPDATE",
        group="networking.istio.io",
        version="v1",
        kind="VirtualService",
        namespace="shop",
        name="web",
        obj=rule({"example.com/note": "b", **({annotation: ""} if annotation else {})}),
        old=rule({"example.com/note": "a"}),
        namespace_object=None,
        dry_run=False,
        user=User(name="admin"),
        settled=settled,
    )
    assert len(Rules().admit(request).errors) == refused
