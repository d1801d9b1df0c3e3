"""`plait convert`: manifests of another time in today's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from plait.api.renewal import renewed
from plait.app.objects.validate import findings_of_text, validator
from plait.cli.main import main

#: Old forms of one field, and what is written today. A path leads into the spec.
FIELDS = {
    "percent of an abort": (
        "VirtualService",
        {"http": [{"fault": {"abort": {"httpStatus": 500, "percent": 100}}}]},
        {"http": [{"fault": {"abort": {"httpStatus": 500, "percentage": {"value": 100}}}}]},
        "spec.http[0].fault.abort.percent",
    ),
    "percent of a delay, beside the new field": (
        "VirtualService",
        {"http": [{"fault": {"delay": {"fixedDelay": "1s", "percent": 10, "percentage": {"value": 5}}}}]},
        {"http": [{"fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 5}}}}]},
        "spec.http[0].fault.delay.percent",
    ),
    "share of a mirror": (
        "VirtualService",
        {"http": [{}, {"mirrorPercent": 5}]},
        {"http": [{}, {"mirrorPercentage": {"value": 5}}]},
        "spec.http[1].mirrorPercent",
    ),
    "origins": (
        "VirtualService",
        {"http": [{"corsPolicy": {"allowOrigin": ["a.example", "*"]}}]},
        {"http": [{"corsPolicy": {"allowOrigins": [{"exact": "a.example"}, {"exact": "*"}]}}]},
        "spec.http[0].corsPolicy.allowOrigin",
    ),
    "a gateway by the name of a host": (
        "VirtualService",
        {"gateways": ["mesh", "edge", "a/edge", "edge.istio-system.svc.cluster.local"]},
        {"gateways": ["mesh", "edge", "a/edge", "istio-system/edge"]},
        "spec.gateways[3]",
    ),
    "a gateway of a match, short": (
        "VirtualService",
        {"tcp": [{"match": [{}, {"gateways": ["edge.shop"]}]}]},
        {"tcp": [{"match": [{}, {"gateways": ["shop/edge"]}]}]},
        "spec.tcp[0].match[1].gateways[0]",
    ),
    "errors in a row": (
        "DestinationRule",
        {"trafficPolicy": {"outlierDetection": {"consecutiveErrors": 7}}},
        {"trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 7}}},
        "spec.trafficPolicy.outlierDetection.consecutiveErrors",
    ),
    "a balancer's name in a subset's port": (
        "DestinationRule",
        {"subsets": [{"trafficPolicy": {"portLevelSettings": [{"loadBalancer": {"simple": "LEAST_CONN"}}]}}]},
        {"subsets": [{"trafficPolicy": {"portLevelSettings": [{"loadBalancer": {"simple": "LEAST_REQUEST"}}]}}]},
        "spec.subsets[0].trafficPolicy.portLevelSettings[0].loadBalancer.simple",
    ),
}


def convert(*arguments: str, given: str = "", code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["convert", *arguments], input=given)
    assert done.exit_code == code, done.output
    return done


def converted(text: str, *arguments: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(convert("-f", "-", *arguments, given=text).stdout))


@pytest.mark.parametrize(("kind", "old", "new", "path"), FIELDS.values(), ids=FIELDS)
def test_fields_of_istio_1_0(kind: str, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
    made, (note,) = renewed({"apiVersion": "networking.istio.io/v1alpha3", "kind": kind, "spec": old})
    assert made["spec"] == new
    assert note.path == path
    assert renewed(made) == (made, ())


@pytest.mark.parametrize(
    "spec", [None, [], {"http": 1}, {"http": [1]}, {"http": [{"fault": []}]}, {"subsets": {}}, {"gateways": [1]}]
)
def test_what_has_another_shape_is_left_to_validation(spec: Any) -> None:
    for kind in ("VirtualService", "DestinationRule"):
        obj = {"apiVersion": "networking.istio.io/v1", "kind": kind, "spec": spec}
        assert renewed(obj) == (obj, ())


def test_the_whole_demo_is_old_no_more(shared: Path) -> None:
    """Every file of it, and what is converted is as it is when it is converted again."""
    for file in sorted((shared / "sockshop-istio").rglob("*.yaml")):
        text = convert("-f", str(file), "-n", "sock-shop").stdout
        codes = {found.code for found in findings_of_text(validator(), text, file=file.name)}
        assert not codes & {"OldForm", "NoVersion", "UnknownKind", "UnknownField"}, file
        again = convert("-f", "-", given=text)
        assert again.stdout == text
        assert again.stderr == ""
        for obj in yaml.safe_load_all(text):
            assert obj["metadata"]["namespace"] == (
                "istio-system" if obj["kind"] == "PeerAuthentication" else "sock-shop"
            )
            if obj["kind"] == "Deployment":
                _is_a_deployment_of_today(obj)


def _is_a_deployment_of_today(obj: dict[str, Any]) -> None:
    assert obj["apiVersion"] == "apps/v1"
    assert "status" not in obj
    template = obj["spec"]["template"]
    assert obj["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert "istio-proxy" not in {container["name"] for container in template["spec"]["containers"]}
    assert "initContainers" not in template["spec"]
    assert {volume["name"] for volume in template["spec"].get("volumes", ())} <= {"tmp-volume"}
    assert "beta.kubernetes.io/os" not in (template["spec"].get("nodeSelector") or {})


def test_where_requests_go_is_not_changed(shared: Path) -> None:
    file = shared / "sockshop-istio/1-sock-shop-install/3-virtual-services-all.yaml"
    (orders,) = [
        obj
        for obj in yaml.safe_load_all(convert("-f", str(file)).stdout)
        if (obj["kind"], obj["metadata"]["name"]) == ("VirtualService", "orders")
    ]
    assert orders["spec"]["http"][0]["route"][0]["destination"] == {"host": "catalogue-db", "subset": "v1"}


def test_what_was_changed_is_told_by_file_and_line(shared: Path) -> None:
    file = str(shared / "sockshop-istio/2-inteligent-routing/2-front-end-deployment-v1-route.yaml")
    done = convert("-f", file)
    assert done.stderr.splitlines() == [
        f"{file}:17: DestinationRule front-end: apiVersion was missing: networking.istio.io/v1",
        (
            f"{file}:18: DestinationRule front-end: metadata.namespace was missing: sock-shop, as of "
            "VirtualService sock-shop/front-end"
        ),
    ]


def test_what_has_no_form_today_is_told_and_nothing_is_printed(tmp_path: Path) -> None:
    text = (
        "apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata: {name: web, namespace: shop}\n"
        "spec:\n  targets: [{name: web}]\n---\nkind: Nonsense\nmetadata: {name: a}\n"
    )
    done = convert("-f", "-", "-o", str(tmp_path / "new.yaml"), given=text, code=1)
    first, second, last = done.stderr.splitlines()
    assert first.startswith(
        "STDIN:5: Policy shop/web: spec.targets[0]: a policy for one service is not converted; a Peer"
    )
    assert second == "STDIN:7: Nonsense a: apiVersion is missing, and no kind Nonsense is known"
    assert last == "plait: nothing was written"
    assert not (tmp_path / "new.yaml").exists()


def test_objects_of_today_stay_as_they_are() -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80\n"
    assert convert("-f", "-", given=text).stdout == text
    (obj,) = converted(text, "-n", "shop")
    assert obj["metadata"] == {"name": "web", "namespace": "shop"}


def test_a_cron_job_loses_a_foreign_sidecar_too() -> None:
    container = "{name: istio-proxy, image: istio/proxyv2:1.0.0}"
    text = (
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec:\n  schedule: '* * * * *'\n"
        f"  jobTemplate: {{spec: {{template: {{spec: {{containers: [{{name: app, image: a}}, {container}]}}}}}}}}\n"
    )
    (obj,) = converted(text)
    template = obj["spec"]["jobTemplate"]["spec"]["template"]
    assert [each["name"] for each in template["spec"]["containers"]] == ["app"]
    assert template["metadata"]["labels"] == {"sidecar.istio.io/inject": "true"}
