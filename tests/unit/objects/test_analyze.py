"""`plait analyze` and `istioctl analyze`: files, a mesh, and files laid over a mesh."""

from __future__ import annotations

import json

import pytest
import yaml

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: front-end, namespace: NAMESPACE}
spec:
  selector: {app: front-end}
  ports: [{name: http, port: 80}]
---
"""
BROKEN = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: front-end
  namespace: NAMESPACE
spec:
  hosts: [front-end]
  http:
  - route:
    - destination:
        host: gone
"""
SUBSET = "front-end\n        subset: v1"
RULE = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: NAMESPACE}
spec: {host: front-end, subsets: [{name: v1, labels: {version: v1}}]}
"""
GOOD = SERVICE + BROKEN.replace("gone", "front-end")


def test_a_finding_in_a_file_names_line_and_column(run) -> None:
    file = run.file(SERVICE + BROKEN)
    done = run("analyze", "--files-only", "-f", file, code=1)
    first, last = done.stdout.splitlines()
    assert last == "1 error"
    assert first == (
        f"Error [IST0101] (VirtualService {run.namespace}/front-end {file}:18:9) "
        f"spec.http[0].route[0].destination.host: there is no host gone.{run.namespace}.svc.cluster.local: requests "
        f"get 503; a Service of namespace {run.namespace}, or its full name"
    )


def test_files_alone_know_nothing_of_the_mesh_and_files_over_it_do(run) -> None:
    run("apply", "-f", run.file(SERVICE, "service.yaml"))
    file = run.file(BROKEN.replace("gone", "front-end"))
    assert "there is no host" in run("analyze", "--files-only", file, code=1).stdout
    assert "nothing found" in run("analyze", file).stdout


def test_of_files_over_the_mesh_only_what_they_bring_is_told(run) -> None:
    run("apply", "-f", run.file(SERVICE + BROKEN.replace("gone", SUBSET), "before.yaml"))
    before = run("analyze", "-n", run.namespace, code=1).stdout
    assert before.count("IST0101") == 1
    harmless = run.file(RULE.replace(", subsets: [{name: v1, labels: {version: v1}}]", ""))
    told = run("analyze", "-f", harmless).stdout
    # The rule is told that it lacks the subset; that the route leads nowhere was so before, and is not.
    assert "PLT0012" in told
    assert "IST0101" not in told


def test_what_a_file_breaks_elsewhere_is_told(run) -> None:
    run("apply", "-f", run.file(SERVICE + BROKEN.replace("gone", SUBSET) + RULE, "before.yaml"))
    changed = run.file(RULE.replace("v1, labels", "v2, labels"), "after.yaml")
    told = run("analyze", "-f", changed, code=1).stdout
    assert f"(VirtualService {run.namespace}/front-end)" in told
    assert "has no subset 'v1'" in told


def test_pods_that_the_files_will_bring_count(run) -> None:
    deployment = (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: NAMESPACE}, spec: {selector: "
        "{matchLabels: {app: front-end}}, template: {metadata: {labels: {app: front-end, version: v1}}, spec: "
        "{containers: [{name: front-end, image: front-end}]}}}}\n"
    )
    assert "IST0173" in run("analyze", "--files-only", run.file(SERVICE + RULE), code=1).stdout
    assert "nothing found" in run("analyze", "--files-only", run.file(SERVICE + RULE + "---\n" + deployment)).stdout


@pytest.mark.parametrize(("level", "code"), [("Error", 0), ("Warning", 1), ("Info", 1), ("warning", 1)])
def test_the_exit_status_follows_the_threshold(run, level: str, code: int) -> None:
    file = run.file(SERVICE.replace("name: http,", "name: tcp,") + BROKEN.replace("gone", "front-end"))
    assert "PLT0006" in run("analyze", "--files-only", "--failure-threshold", level, file, code=code).stdout


def test_levels_below_a_threshold_are_not_shown(run) -> None:
    file = run.file(SERVICE.replace("name: http,", "name: amq,"))
    assert "IST0118" in run("analyze", "--files-only", file).stdout
    assert "IST0118" not in run("analyze", "--files-only", "--output-threshold", "Warning", file).stdout


def test_a_file_that_is_not_there_is_not_ignored(run) -> None:
    file = run.file("openapi: 3", "other.yaml")
    assert "nothing found" in run("analyze", "--files-only", "--ignore-unknown", file).stdout
    done = run("analyze", "--files-only", "--ignore-unknown", file, f"{file}.gone", code=1)
    assert f"{file}.gone" in done.stderr


def test_what_is_not_shown_fails_all_the_same(run) -> None:
    file = run.file(SERVICE.replace("name: http,", "name: amq,"))
    thresholds = ("--output-threshold", "Error", "--failure-threshold", "Info")
    assert run("analyze", "--files-only", *thresholds, file, code=1).stdout == "1 below the output threshold\n"
    assert json.loads(run("analyze", "--files-only", "-o", "json", *thresholds, file, code=1).stdout) == []


def test_what_the_api_would_refuse_is_told_with_its_place(run) -> None:
    told = run("analyze", "--files-only", run.file(GOOD + "    timeoutt: 3s\n"), code=1).stdout
    assert "Error [IST0106]" in told
    assert ":19:5) spec.http[0].timeoutt: unknown field" in told
    misnamed = run.file(GOOD.replace("kind: VirtualService", "kind: VirtualServices"))
    assert "no kind 'VirtualServices'" in run("analyze", "--files-only", misnamed, code=1).stdout
    # What another cluster may know is not plait's to judge.
    foreign = run.file("{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: c}, spec: {}}\n")
    assert "nothing found" in run("analyze", "--files-only", foreign).stdout


def test_gateways_of_two_apis_do_not_stand_twice(run) -> None:
    theirs = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, namespace: NAMESPACE}}\n"
    ours = (
        "---\n{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: NAMESPACE}, spec: "
        "{selector: {istio: none}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}}\n"
    )
    file = run.file(theirs + ours)
    first, _ = run("analyze", "--files-only", file, code=1).stdout.splitlines()
    assert f"[IST0101] (Gateway {run.namespace}/g {file}:3:" in first


def test_a_namespace_that_is_not_there_is_no_success(run) -> None:
    assert "there is no namespace 'nowhere'" in run("analyze", "-n", "nowhere", code=1).stderr
    assert "there is no namespace 'nowhere'" in run.istioctl("analyze", "-n", "nowhere", code=1).stderr


def test_what_is_in_no_namespace_is_shown_with_one(run) -> None:
    file = run.file("{apiVersion: v1, kind: Namespace, metadata: {name: NAMESPACE}}\n" + "---\n" + SERVICE)
    assert "IST0102" in run("analyze", "--files-only", "-n", run.namespace, file).stdout
    assert "IST0102" not in run("analyze", "--files-only", "-n", "other", file).stdout


def test_settings_of_a_file_that_no_proxy_takes_are_refused(run) -> None:
    settings = run.file("accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: SOMETIMES}\n", "mesh.yaml")
    done = run("analyze", "--files-only", "--mesh-config", settings, run.file(GOOD), code=1)
    assert f"{settings}:2:" in done.stderr
    assert "ALLOW_ANY" in done.stderr


def test_an_object_that_stands_twice_is_told(run) -> None:
    run.file(GOOD, "folder/a.yaml")
    run.file(GOOD, "folder/b.yaml")
    told = run("analyze", "--files-only", "-f", str(run.folder / "folder")).stdout
    assert told.count("[PLT0015]") == 2
    assert f"is written at {run.folder}/folder/a.yaml:1 too" in told


def test_suppressions(run) -> None:
    file = run.file(SERVICE + BROKEN)
    chosen = f"IST0101=VirtualService {run.namespace}/front-end"
    assert "nothing found" in run("analyze", "--files-only", "-S", chosen, file).stdout
    dotted = f"IST0101=VirtualService front-end.{run.namespace}"
    assert "nothing found" in run("analyze", "--files-only", "-S", dotted, file).stdout
    assert "write for example" in run("analyze", "--files-only", "-S", "IST0101", file, code=2).stderr
    dropped = run("analyze", "--files-only", "-S", "IST0117=Pod x", "-S", chosen, file)
    assert "no effect: -S IST0117=Pod x: there is no message 'IST0117'" in dropped.stderr


def test_json_and_yaml_hold_everything(run) -> None:
    file = run.file(SERVICE + BROKEN)
    (found,) = json.loads(run("analyze", "--files-only", "-o", "json", file, code=1).stdout)
    assert (found["code"], found["level"], found["reference"]) == ("IST0101", "Error", f"{file}:18:9")
    assert found["origin"] == f"VirtualService {run.namespace}/front-end"
    assert found["documentationUrl"].endswith("/ist0101/")
    assert yaml.safe_load(run("analyze", "--files-only", "-o", "yaml", file, code=1).stdout) == [found]


def test_sarif_names_rules_places_and_objects(run) -> None:
    file = run.file(SERVICE + BROKEN, "a folder/objects.yaml")
    log = json.loads(run("analyze", "--files-only", "-o", "sarif", file, code=1).stdout)
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    (made,) = log["runs"]
    (result,) = made["results"]
    rule = made["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "IST0101"
    assert rule["shortDescription"]["text"].endswith(".")
    assert result["level"] == rule["defaultConfiguration"]["level"] == "error"
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == file.replace(" ", "%20")
    assert location["physicalLocation"]["region"] == {"startLine": 18, "startColumn": 9}
    (logical,) = location["logicalLocations"]
    assert logical["fullyQualifiedName"] == f"VirtualService {run.namespace}/front-end"
    assert json.loads(run("analyze", "--files-only", "-o", "sarif", run.file(GOOD)).stdout)["runs"][0]["results"] == []


def test_what_is_no_object_is_told_and_the_rest_is_analysed(run) -> None:
    run.file(BROKEN, "folder/a.yaml")
    run.file("openapi: 3", "folder/b.yaml")
    done = run("analyze", "--files-only", "-f", str(run.folder / "folder"), code=1)
    assert "left out: " in done.stderr
    assert "object without kind" in done.stderr
    assert "IST0101" in done.stdout
    (run.folder / "folder" / "a.yaml").write_text(GOOD.replace("NAMESPACE", run.namespace))
    run("analyze", "--files-only", "-f", str(run.folder / "folder"), code=1)
    assert not run("analyze", "--files-only", "--ignore-unknown", "-f", str(run.folder / "folder")).stderr


def test_standard_input_and_settings_of_the_mesh(run) -> None:
    telemetry = (
        "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: t, namespace: shop}, "
        "spec: {accessLogging: [{disabled: false}]}}"
    )
    assert "IST0157" in run("analyze", "--files-only", "-f", "-", given=telemetry).stdout
    settings = run.file("defaultProviders: {accessLogging: [envoy]}", "mesh.yaml")
    done = run("analyze", "--files-only", "--mesh-config", settings, "-f", "-", given=telemetry)
    assert "nothing found" in done.stdout


def test_usage_and_lists(run) -> None:
    assert "wants files" in run("analyze", "--files-only", code=2).stderr
    listed = run("analyze", "--list").stdout
    assert "IST0101  Error" in listed
    assert "PLT0001  Warning  DeadRoute" in listed
    assert "IST0142" not in listed
    assert "virtualservice.GatewayAnalyzer" in run.istioctl("analyze", "-L").stdout


def test_istioctl_has_its_own_flags_and_namespace(run) -> None:
    file = run.file(SERVICE + BROKEN)
    assert "IST0101" in run.istioctl("analyze", "--use-kube=false", file, code=1).stdout
    run("apply", "-f", file)
    # As in Istio's tool: the context's namespace, unless another is named.
    assert "IST0101" not in run.istioctl("analyze").stdout
    assert "IST0101" in run.istioctl("analyze", "-n", run.namespace, code=1).stdout
    found, label = json.loads(run.istioctl("analyze", "-n", run.namespace, "-o", "json", code=1).stdout)
    assert (label["code"], label["origin"]) == ("IST0102", f"Namespace {run.namespace}")
    assert "reference" not in found
