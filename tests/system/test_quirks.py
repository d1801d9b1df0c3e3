"""The Sock Shop demo's manifests, unchanged: what kubectl is told at each oddity, by row of the reference's table."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from .conftest import BIN, LESSONS, until

pytestmark = pytest.mark.system

INSTALL = "1-sock-shop-install/1-sock-shop-complete-demo-istio.yaml"
GATEWAY = "1-sock-shop-install/2-sockshop-gateway.yaml"
ROUTES = "1-sock-shop-install/3-virtual-services-all.yaml"
LESSON = "2-inteligent-routing"


def of_kind(path: Path, kind: str) -> str:
    """The documents of one kind in a file, to the letter."""
    documents = re.split(r"^---\s*$", path.read_text(), flags=re.MULTILINE)
    chosen = [document for document in documents if re.search(rf"^kind: {kind}\s*$", document, flags=re.MULTILINE)]
    assert chosen
    return "---".join(chosen)


@pytest.fixture(scope="module")
def demo(mesh, shared):
    """A mesh with the shop's Services and routes, and what was said when the routes came. No pods are needed."""
    folder = shared / "sockshop-istio"
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("create", "namespace", "sock-shop")
    mesh.kubectl("label", "namespace", "sock-shop", "istio-injection=enabled")
    services = mesh.kubectl("apply", "-n", "sock-shop", "-f", "-", given=of_kind(folder / INSTALL, "Service"))
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(folder / GATEWAY))
    # The rules first, then all of it: a route that comes before its subsets is told so, rightly.
    mesh.kubectl("apply", "-n", "sock-shop", "-f", "-", given=of_kind(folder / ROUTES, "DestinationRule"))
    routes = mesh.kubectl("apply", "-n", "sock-shop", "-f", str(folder / ROUTES))
    return mesh, folder, services, warnings(routes.stderr)


def warnings(text: str) -> list[str]:
    return [line.removeprefix("Warning: ") for line in text.splitlines() if line.startswith("Warning: ")]


def about(said: list[str], start: str) -> list[str]:
    return [line for line in said if line.startswith(start)]


def test_rows_1_and_2_old_deployments_with_foreign_sidecars_are_converted(demo) -> None:
    mesh, folder, _, _ = demo
    given = of_kind(folder / INSTALL, "Deployment")
    tried = mesh.kubectl("apply", "-n", "sock-shop", "--dry-run=server", "-o", "json", "-f", "-", given=given)
    made = {item["metadata"]["name"]: item for item in json.loads(tried.stdout)["items"]}
    assert len(made) == 13
    said = warnings(tried.stderr)
    for name, item in made.items():
        template = item["spec"]["template"]
        assert item["spec"]["selector"] == {"matchLabels": template["metadata"]["labels"]}
        assert "creationTimestamp" not in template["metadata"]
        told = [line for line in said if line.startswith(f'Deployment "{name}": ')]
        assert "extensions/v1beta1 is gone since Kubernetes 1.16, stored as apps/v1; write apiVersion" in told[0]
        assert "spec.selector is missing, taken from the template's labels" in told[1]
        assert any(
            "carries a sidecar (container istio-proxy, init container istio-init, volume" in line for line in told
        )


def test_converted_deployments_are_taken_without_a_word_about_their_age(demo) -> None:
    mesh, folder, _, _ = demo
    made = mesh.plait("convert", "-n", "sock-shop", "-f", str(folder / INSTALL)).stdout
    tried = mesh.kubectl("apply", "--dry-run=server", "-f", "-", given=made)
    assert tried.stdout.count("deployment.apps/") == 13
    assert [
        line
        for line in warnings(tried.stderr)
        if not any(word in line for word in ("mongo:4.4", "not enforced", "reserves nothing"))
    ] == [line for line in warnings(tried.stderr) if line.startswith("Service sock-shop/rabbitmq: ")]


def test_row_3_a_last_document_may_be_empty(demo) -> None:
    mesh, folder, _, _ = demo
    assert (folder / INSTALL).read_text().rstrip().endswith("---")
    tried = mesh.kubectl("apply", "-n", "sock-shop", "--dry-run=server", "-f", str(folder / INSTALL))
    assert len(tried.stdout.splitlines()) == (folder / INSTALL).read_text().count("\nkind: ")


def test_row_4_http_rules_of_databases_are_not_used(demo) -> None:
    _, _, _, said = demo
    for name in ("carts-db", "orders-db", "user-db", "catalogue-db"):
        (line,) = about(said, f"VirtualService sock-shop/{name}: spec.hosts[0]: ")
        assert "its http rules are not used" in line


def test_row_5_orders_sends_http_into_a_database(demo) -> None:
    _, _, _, said = demo
    (line,) = about(said, "VirtualService sock-shop/orders: ")
    assert line == (
        "VirtualService sock-shop/orders: spec.http[0].route[0].destination.host: ERROR: HTTP for orders is sent to "
        "catalogue-db, whose port 3306 tcp-dbport speaks TCP; requests reach orders all the same, by accident: "
        "catalogue-db is headless, and for such a host a sidecar connects to the address that was called; host: orders "
        "[PLT0006]"
    )


def test_row_6_a_document_without_a_version_is_refused_by_kubectl_and_understood_by_plait(demo) -> None:
    mesh, folder, _, _ = demo
    file = str(folder / LESSON / "2-front-end-deployment-v1-route.yaml")
    refused = mesh.kubectl("apply", "-n", "sock-shop", "--dry-run=server", "-f", file, code=1)
    assert "apiVersion not set" in refused.stderr
    tried = mesh.plait("apply", "--dry-run", "-n", "sock-shop", "-f", file)
    (line,) = warnings(tried.stderr)
    assert line == (
        f"{file}:17: DestinationRule front-end has no apiVersion; taken as networking.istio.io/v1. "
        "Write apiVersion: networking.istio.io/v1"
    )
    assert "destinationrule.networking.istio.io/front-end" in tried.stdout


def test_row_7_a_rule_in_the_wrong_namespace_is_told_the_right_one(demo) -> None:
    mesh, folder, _, _ = demo
    tried = mesh.kubectl("apply", "--dry-run=server", "-f", str(folder / "2-canary.yaml"))
    (line,) = about(warnings(tried.stderr), "DestinationRule default/front-end: spec.host: ")
    assert "apply it with -n sock-shop" in line


def test_row_8_a_rule_that_drops_subsets_in_use_is_told(demo) -> None:
    mesh, folder, _, _ = demo
    tried = mesh.kubectl("apply", "--dry-run=server", "-f", str(folder / "3-circuit-breaker/3-circuit-breaker.yaml"))
    (line,) = about(warnings(tried.stderr), "DestinationRule sock-shop/front-end: ")
    assert "spec.subsets: subset 'v1' is not defined, but in use by VirtualService/sock-shop/front-end" in line
    assert "requests to it get 503" in line


def test_row_9_the_breaker_has_the_files_figures(demo) -> None:
    mesh, folder, _, _ = demo
    file = str(folder / "3-circuit-breaker/3-circuit-breaker.yaml")
    done = mesh.kubectl("apply", "--dry-run=server", "-o", "json", "-f", file)
    assert "connectionPool" not in done.stderr, "row 8 is told, and nothing of the figures"
    pool = json.loads(done.stdout)["spec"]["trafficPolicy"]["connectionPool"]
    assert pool == {
        "tcp": {"maxConnections": 2},
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1},
    }


def test_row_10_a_mesh_policy_becomes_a_peer_authentication_and_goes_with_it(demo) -> None:
    mesh, folder, _, _ = demo
    gone = ("delete", "meshpolicies.authentication.istio.io", "default")
    assert '"default" not found' in mesh.kubectl(*gone, code=1).stderr
    mesh.kubectl(*gone, "--ignore-not-found")
    file = str(folder / "4-security/4-global-mtls-mesh-policy.yaml")
    tried = mesh.kubectl("create", "--dry-run=server", "-f", file)
    (converted,) = warnings(tried.stderr)
    assert converted == (
        "MeshPolicy default: is of Istio 1.0, and PeerAuthentication istio-system/default is made of it; write "
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: "
        "istio-system}, spec: {mtls: {mode: STRICT}}}"
    )
    assert not mesh.get("peerauthentications", "-A")["items"]
    mesh.kubectl("apply", "-f", file)
    until("the policy of today", lambda: mode_of(mesh) == "STRICT")
    text = (folder / "4-security/4-global-mtls-mesh-policy.yaml").read_text()
    mesh.kubectl("apply", "-f", "-", given=text.replace("mtls: {}", "mtls: {mode: PERMISSIVE}"))
    until("its change", lambda: mode_of(mesh) == "PERMISSIVE")
    refused = mesh.kubectl("apply", "-f", "-", given=text.replace("mtls: {}", "jwt: {issuer: me}"), code=1)
    assert "spec.peers[0].jwt: Invalid value: tokens are not converted; a RequestAuthentication" in refused.stderr
    mesh.kubectl(*gone)
    until("its end", lambda: not mode_of(mesh))


def mode_of(mesh) -> str:
    """The mode of the mesh's PeerAuthentication; empty if there is none."""
    found = ("get", "peerauthentication", "default", "-n", "istio-system", "-o", "jsonpath={.spec.mtls.mode}")
    return mesh.kubectl(*found, "--ignore-not-found").stdout


def test_rows_11_and_12_rules_that_ask_for_mutual_tls_are_taken_without_a_word(demo) -> None:
    mesh, folder, _, _ = demo
    file = str(folder / "4-security/4-virtual-services-all-mtls.yaml")
    said = warnings(mesh.kubectl("apply", "-n", "sock-shop", "--dry-run=server", "-f", file).stderr)
    assert not [line for line in said if "MUTUAL" in line]


def test_row_13_percent_is_accepted_and_the_new_form_named(demo) -> None:
    mesh, folder, _, _ = demo
    file = str(folder / "5-timeouts/5-fault-injection-abort-catalogue.yaml")
    applied = mesh.kubectl("apply", "-n", "sock-shop", "-f", file)
    (line,) = about(warnings(applied.stderr), "VirtualService sock-shop/catalogue: ")
    assert line.endswith("spec.http[0].fault.abort.percent: is the form of Istio 1.0; percentage: {value: 100}")
    stored = mesh.get("virtualservice", "catalogue", "-n", "sock-shop")
    assert stored["spec"]["http"][0]["fault"]["abort"]["percent"] == 100


def test_row_14_old_versions_are_the_same_objects(demo) -> None:
    mesh, _, _, _ = demo
    old = mesh.get("virtualservices.v1alpha3.networking.istio.io", "orders", "-n", "sock-shop")
    new = mesh.get("virtualservices.v1.networking.istio.io", "orders", "-n", "sock-shop")
    assert old["spec"] == new["spec"]


def test_row_15_a_star_is_every_host(demo) -> None:
    mesh, _, _, _ = demo
    # The route is found, and nobody is behind it: 503. Without a route it would be 404.
    for host in ("shop.example", "shop.example:1234", "10.0.0.1"):
        until(f"a route for {host}", lambda given=host: mesh.code("/", "-H", f"Host: {given}") == 503)


def test_rows_16_and_17_ports_that_say_nothing_and_ports_not_chosen(demo) -> None:
    _, _, services, said = demo
    told = about(warnings(services.stderr), "Service sock-shop/rabbitmq: ")
    assert ["'amq' does not say what port 5672 speaks" in line for line in told] == [True, False]
    port, hosts = about(said, "VirtualService sock-shop/rabbitmq: ")
    assert "no port of 'rabbitmq' is declared as HTTP" in hosts
    assert "the port that was called is used" in port


def test_row_18_subsets_may_be_told_by_more_labels_than_one(demo) -> None:
    mesh, _, _, _ = demo
    rule = mesh.get("destinationrule", "catalogue", "-n", "sock-shop")
    assert set(rule["spec"]["subsets"][0]["labels"]) == {"version", "name"}


def test_row_19_the_file_that_the_demo_lacks_is_among_the_lessons(demo) -> None:
    mesh, folder, _, _ = demo
    assert not list(folder.glob("5-timeouts/*delay*"))
    file = str(LESSONS / "catalogue-delay.yaml")
    delay = json.loads(mesh.kubectl("apply", "--dry-run=server", "-o", "json", "-f", file).stdout)
    assert delay["spec"]["hosts"] == ["catalogue"]
    assert delay["spec"]["http"][0]["fault"] == {"delay": {"fixedDelay": "30s", "percentage": {"value": 100}}}


def test_row_20_istios_old_commands_are_there(demo) -> None:
    mesh, folder, _, _ = demo

    def istioctl(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        run = [str(BIN / "istioctl"), "--name", mesh.name, *arguments]
        done = subprocess.run(run, env=mesh.environment, capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode == code, done.stderr
        return done

    file = str(folder / GATEWAY)
    there = istioctl("create", "-n", "sock-shop", "-f", file, code=1).stderr
    assert 'gateways.networking.istio.io "sockshop-gateway" already exists; to change it: plait apply' in there
    done = istioctl("replace", "-n", "sock-shop", "-f", file)
    assert done.stdout == "gateway.networking.istio.io/sockshop-gateway replaced\n"
    absent = istioctl("create", "-f", "5-global-mtls-mesh-policy.yaml", code=1).stderr
    assert 'the path "5-global-mtls-mesh-policy.yaml" cannot be read' in absent
    host = "carts.sock-shop.svc.cluster.local"
    checked = istioctl("authn", "tls-check", host, "-n", "sock-shop").stdout.splitlines()
    assert checked[0].split("  ")[0] == "HOST:PORT"
    assert checked[1].split() == [f"{host}:80", "OK", "HTTP", "HTTP", "-", "carts/sock-shop"]


def test_row_21_the_older_copy_is_told_what_its_ports_do_not_say(demo) -> None:
    mesh, folder, _, _ = demo
    older = folder / "sock-shop-complete-demo-istio-1.yaml"
    said = warnings(mesh.kubectl("apply", "-n", "sock-shop", "--dry-run=server", "-f", str(older)).stderr)
    (line,) = about(said, "Service sock-shop/front-end: ")
    assert "does not say what port 80 speaks, so the first bytes decide" in line


def test_rows_23_to_26_old_images_and_labels(demo) -> None:
    mesh, folder, _, _ = demo
    given = of_kind(folder / INSTALL, "Deployment")
    tried = mesh.kubectl("apply", "-n", "sock-shop", "--dry-run=server", "-o", "json", "-f", "-", given=given)
    said = warnings(tried.stderr)
    assert any("image: mongo without a version" in line and "write mongo:4.4" in line for line in said)
    assert any("beta.kubernetes.io/os is an old name" in line for line in said)
    made = {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in json.loads(tried.stdout)["items"]}
    assert made["catalogue"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert any("zipkin" in value["value"] for spec in made.values() for value in spec["containers"][0].get("env", ()))
    fortio = folder / "3-circuit-breaker/3-fortio.yaml"
    said = warnings(mesh.kubectl("apply", "-n", "sock-shop", "--dry-run=server", "-f", str(fortio)).stderr)
    assert any("istio/fortio:latest_release is not published any more" in line for line in said)


def test_row_27_a_namespace_that_nobody_made_is_named(demo) -> None:
    mesh, folder, _, _ = demo
    # The demo says to make the namespace first: what one reads who did not.
    given = of_kind(folder / INSTALL, "Service").replace("namespace: sock-shop", "namespace: nobody-made-it")
    refused = mesh.kubectl("apply", "-f", "-", given=given, code=1)
    assert 'namespaces "nobody-made-it" not found' in refused.stderr


def test_nothing_else_is_told_of_the_routes(demo) -> None:
    _, _, _, said = demo
    names = {line.split(":")[0].rpartition("/")[2] for line in said}
    assert names == {"carts-db", "orders-db", "user-db", "catalogue-db", "rabbitmq", "orders"}


def test_settings_of_the_mesh_reach_the_proxies(demo) -> None:
    mesh, _, _, _ = demo
    text = "accessLogFile: /dev/stdout\n"
    mesh.kubectl("create", "configmap", "istio", "-n", "istio-system", f"--from-literal=mesh={text}")

    def line() -> str | None:
        mesh.code("/nothing-here")
        found = mesh.kubectl("logs", "-n", "istio-system", "-l", "istio=ingressgateway", "--tail=50").stdout
        return next((entry for entry in found.splitlines() if '"GET /nothing-here HTTP/1.1"' in entry), None)

    assert "VirtualService/sock-shop/front-end spec.http[0]" in until("a line of the access log", line)
    wrong = "accessLogFile: /dev/stdout\naccessLogFormat: '%NO_SUCH%'\n"
    given = mesh.kubectl(
        "create",
        "configmap",
        "istio",
        "-n",
        "istio-system",
        f"--from-literal=mesh={wrong}",
        "--dry-run=client",
        "-o",
        "yaml",
    ).stdout
    refused = mesh.kubectl("replace", "-f", "-", given=given, code=1)
    assert "data.mesh.accessLogFormat" in refused.stderr
