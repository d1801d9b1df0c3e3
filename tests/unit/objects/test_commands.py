"""apply, create, replace, delete, get and describe against a real API server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from plait.kube.client import Client
from plait.kube.errors import ApiError

VS, DR = "virtualservice.networking.istio.io/front-end", "destinationrule.networking.istio.io/front-end"
CARTS = """
{apiVersion: v1, kind: Service, metadata: {name: carts}, spec: {ports: [{name: http, port: 80}]}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: carts}
spec: {host: carts, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
"""


def test_apply_creates_changes_and_leaves_alone_in_kubectls_words(run, routes) -> None:
    file = run.file(routes("v1"))
    assert run("apply", "-n", run.namespace, "-f", file).stdout.splitlines() == [f"{DR} created", f"{VS} created"]
    assert run("apply", "-n", run.namespace, "-f", file).stdout.splitlines() == [f"{DR} unchanged", f"{VS} unchanged"]
    run.file(routes("v2"))
    done = run("apply", "-n", run.namespace, "-f", file)
    assert done.stdout.splitlines() == [f"{DR} configured", f"{VS} configured"]
    (subset,) = _spec(run, "dr")["subsets"]
    assert subset["name"] == "v2"


def test_apply_takes_away_what_a_replace_or_create_wrote_and_the_file_no_longer_has(run, routes) -> None:
    file = run.file(routes("v1"))
    run("create", "-n", run.namespace, "-f", file)
    run("replace", "-n", run.namespace, "-f", file)
    breaker = (
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: front-end}, spec: {host: x}}"
    )
    run("apply", "-n", run.namespace, "-f", "-", given=breaker)
    assert _spec(run, "dr") == {"host": "x"}
    assert run("apply", "-n", run.namespace, "-f", "-", given=breaker).stdout == f"{DR} unchanged\n"


def test_apply_goes_on_where_kubectl_apply_stopped(run, routes) -> None:
    _kubectl(run, "apply", "-n", run.namespace, "-f", run.file(routes("v1").replace("v1alpha3", "v1")))
    rule = "{kind: DestinationRule, metadata: {name: front-end}, spec: {host: x}}"
    done = run("apply", "-n", run.namespace, "-f", "-", given=rule)
    assert done.stdout == f"{DR} configured\n"
    assert "was set by" not in done.stderr
    assert _spec(run, "dr") == {"host": "x"}


def test_what_kubectl_applied_is_not_in_the_way_of_what_excludes_it(run) -> None:
    rule = "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r}, spec: {host: x, "
    policy = "trafficPolicy: {loadBalancer: {%s}}}}"
    _kubectl(run, "apply", "-n", run.namespace, "-f", run.file(rule + policy % "simple: RANDOM"))
    other = rule + policy % "consistentHash: {useSourceIp: true}"
    named = "destinationrule.networking.istio.io/r"
    rehearsed = run("apply", "--dry-run", "-n", run.namespace, "-f", "-", given=other)
    assert rehearsed.stdout == f"{named} configured (server dry run)\n"
    assert run("apply", "-n", run.namespace, "-f", "-", given=other).stdout == f"{named} configured\n"
    balancer = json.loads(run("get", "dr", "r", "-n", run.namespace, "-o", "json").stdout)["spec"]["trafficPolicy"]
    assert balancer == {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}


def test_what_cannot_be_read_is_told_alike_whoever_applied_before(run) -> None:
    head = "apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: r}"
    rule = "{" + head + ", spec: {hosts: [x], http: [%s]}}"
    _kubectl(run, "apply", "-n", run.namespace, "-f", run.file(rule % "{route: [{destination: {host: x}}]}"))
    wrong = rule % "{retries: {attempts: many}, route: [{destination: {host: x}}]}"
    for name in ("r", "s"):
        said = run("apply", "-n", run.namespace, "-f", "-", given=wrong.replace("name: r", f"name: {name}"), code=1)
        assert "spec.http[0].retries.attempts: must be a whole number" in said.stderr


def test_a_dry_run_knows_what_kubectl_applied_and_the_file_no_longer_has(run) -> None:
    rule = "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r}, spec: {host: x%s}}"
    _kubectl(run, "apply", "-n", run.namespace, "-f", run.file(rule % ", exportTo: ['*']"))
    named = "destinationrule.networking.istio.io/r"
    for given, word in ((rule % ", exportTo: ['*']", "unchanged"), (rule % "", "configured")):
        done = run("apply", "--dry-run", "-n", run.namespace, "-f", "-", given=given)
        assert done.stdout == f"{named} {word} (server dry run)\n"


def test_apply_keeps_what_others_wrote_and_says_so_when_it_takes_a_field_over(run) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '%s'}}"
    run("apply", "-n", run.namespace, "-f", "-", given=text % 1)
    other = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '2', b: '2'}}"
    _kubectl(run, "apply", "--server-side", "--force-conflicts", "-n", run.namespace, "-f", "-", given=other)
    done = run("apply", "-n", run.namespace, "-f", "-", given=text % 3)
    assert "configmap/c configured" in done.stdout
    assert f"Warning: ConfigMap {run.namespace}/c: data.a was set by" in done.stderr
    assert json.loads(run("get", "cm", "c", "-n", run.namespace, "-o", "json").stdout)["data"] == {"a": "3", "b": "2"}


def test_create_refuses_what_exists_and_changes_nothing(run, routes) -> None:
    file = run.file(routes("v1"))
    run("create", "-n", run.namespace, "-f", file)
    more = run.file("{apiVersion: v1, kind: ConfigMap, metadata: {name: new}}\n---\n" + routes("v2"), "more.yaml")
    done = run("create", "-n", run.namespace, "-f", more, code=1)
    said = f'Error from server (AlreadyExists): error when creating "{more}" (line 3): '
    assert f'{said}virtualservices.networking.istio.io "front-end" already exists' in done.stderr
    assert run("get", "cm", "new", "-n", run.namespace, code=1)


def test_replace_refuses_what_is_missing_and_knows_where_it_is(run, routes) -> None:
    only = "{kind: DestinationRule, metadata: {name: only-here}, spec: {host: %s}}"
    run("create", "-n", run.namespace, "-f", "-", given=only % "a")
    done = run("replace", "-f", "-", given=only % "b", code=1)
    assert 'Error from server (NotFound): error when replacing "STDIN" (line 1): destinationrules' in done.stderr
    assert f"there is one in another namespace: say -n {run.namespace}" in done.stderr
    assert "plait apply" in run("replace", "-n", run.namespace, "-f", run.file(routes("v1")), code=1).stderr
    done = run("replace", "-n", run.namespace, "-f", "-", given=only % "b")
    assert done.stdout == "destinationrule.networking.istio.io/only-here replaced\n"


def test_every_fault_is_told_with_file_line_and_advice_and_nothing_is_written(run) -> None:
    file = run.file(
        """\
apiVersion: v1
kind: ConfigMap
metadata: {name: fine}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - rout: []
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b}
spec:
  hosts: [b]
  http:
  - name: first
    route:
    - destination: {host: x}
      weight: "10"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: c}
spec:
  hosts: [c]
  http:
  - match:
    - uri: {regex: "a(b"}
    route: [{destination: {host: x}}]
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  ports:
  - port: eighty
"""
    )
    done = run("apply", "-n", run.namespace, "-f", file, code=1)
    lines = done.stderr.splitlines()
    at, space = f"{file}:", run.namespace
    assert lines[0] == f"{at}11: VirtualService {space}/a: spec.http[0].rout: unknown field; did you mean 'route'?"
    assert lines[1].startswith(f"{at}22: VirtualService {space}/b: spec.http[0].route[0].weight: ")
    assert lines[1].endswith('"10": must be an integer, not a string; write it without quotes: 10')
    assert lines[2].startswith(f"{at}31: VirtualService {space}/c: spec.http[0].match[0].uri.regex: ")
    assert "a(b" in lines[2]
    assert lines[3].startswith(f"{at}39: Service {space}/s: spec.ports[0].port: ")
    assert lines[-1] == "plait: nothing was changed"
    run("get", "cm", "fine", "-n", run.namespace, code=1)


def test_a_field_that_nobody_knows_hides_no_other_fault(run) -> None:
    spec = "{hosts: web, http: [{timeout: 1, rout: [], redirect: {uri: /x, redirectCode: 99}}]}"
    text = f"{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: r}}, spec: {spec}}}"
    lines = run("apply", "-n", run.namespace, "-f", "-", given=text, code=1).stderr.splitlines()
    title = f"STDIN:1: VirtualService {run.namespace}/r: "
    assert [line.removeprefix(title).partition(": ")[0] for line in lines[:-1]] == [
        "spec.http[0].rout",
        "spec.hosts",
        "spec.http[0].timeout",
        "spec.http[0].redirect.redirectCode",
    ]


def test_yaml_that_cannot_be_read_says_where(run) -> None:
    file = run.file("a: 1\n---\nkind: X\n\tmetadata: {}\n")
    done = run("apply", "-f", file, code=1)
    assert f"{file}:4:" in done.stderr
    assert "nothing was changed" in done.stderr


def test_missing_api_version_is_inferred_with_a_warning(run) -> None:
    file = run.file("kind: DestinationRule\nmetadata: {name: d}\nspec: {host: d}\n")
    done = run("apply", "-n", run.namespace, "-f", file)
    assert f"Warning: {file}:1: DestinationRule d has no apiVersion; taken as networking.istio.io/v1." in done.stderr
    assert "destinationrule.networking.istio.io/d created" in done.stdout


def test_a_forgotten_namespace_beside_a_named_one_is_warned_about(run, routes) -> None:
    text = routes("v1").replace("metadata:\n", "metadata:\n  namespace: NAMESPACE\n", 1)
    done = run("apply", "--dry-run", "-f", run.file(text))
    assert 'DestinationRule front-end names no namespace and goes to "default"' in done.stderr
    assert f"say -n {run.namespace}" in done.stderr
    done = run("apply", "-n", run.namespace, "-f", run.file(text))
    assert "names no namespace" not in done.stderr
    done = run("apply", "-n", "elsewhere", "-f", run.file(text), code=1)
    assert f"You must pass '--namespace={run.namespace}'" in done.stderr


def test_dry_run_says_the_same_and_writes_nothing(run, routes) -> None:
    file = run.file(routes("v1"))
    assert run("apply", "--dry-run", "-n", run.namespace, "-f", file).stdout.splitlines() == [
        f"{DR} created (server dry run)",
        f"{VS} created (server dry run)",
    ]
    assert "No resources found" in run("get", "vs", "-n", run.namespace).stderr
    run("apply", "-n", run.namespace, "-f", file)
    assert f"{VS} unchanged (server dry run)" in run("apply", "--dry-run", "-n", run.namespace, "-f", file).stdout
    run.file(routes("v2"))
    assert f"{VS} configured (server dry run)" in run("apply", "--dry-run", "-n", run.namespace, "-f", file).stdout
    assert _spec(run, "dr")["subsets"][0]["name"] == "v1"


def test_a_namespace_of_the_same_file_may_stand_anywhere_in_it(run) -> None:
    space = f"{run.namespace}-b"
    text = f"""\
apiVersion: v1
kind: List
items:
- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: {space}}}}}
- {{apiVersion: v1, kind: Namespace, metadata: {{name: {space}}}}}
"""
    done = run("apply", "-f", run.file(text))
    assert done.stdout.splitlines() == [f"namespace/{space} created", "configmap/c created"]


def test_what_goes_to_a_namespace_of_the_same_file_is_checked_too(run) -> None:
    space = f"{run.namespace}-c"
    text = f"""\
{{apiVersion: v1, kind: Namespace, metadata: {{name: {space}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a, namespace: {space}}}
spec: {{hosts: [a], http: [{{match: [{{uri: {{regex: "("}}}}], route: [{{destination: {{host: a}}}}]}}]}}
"""
    assert "uri.regex" in run("apply", "-f", run.file(text), code=1).stderr
    run("get", "namespace", space, code=1)


def test_a_definition_and_an_object_of_its_kind_in_one_file(run) -> None:
    text = """\
apiVersion: example.org/v1
kind: Tea
metadata: {name: green}
spec: {leaves: 3}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: teas.example.org}
spec:
  group: example.org
  names: {kind: Tea, plural: teas, singular: tea, listKind: TeaList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
    done = run("apply", "-n", run.namespace, "-f", run.file(text))
    assert done.stdout.splitlines() == [
        "customresourcedefinition.apiextensions.k8s.io/teas.example.org created",
        "tea.example.org/green created",
    ]
    assert "green" in run("get", "teas", "-n", run.namespace).stdout


def test_a_missing_namespace_says_how_to_make_it(run) -> None:
    file = run.file("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}")
    done = run("apply", "-n", "nowhere", "-f", file, code=1)
    assert "kubectl create namespace nowhere" in done.stderr


def test_folders_are_read_in_the_order_of_names(run) -> None:
    run.file("{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}", "all/2.yaml")
    run.file('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}', "all/1.json")
    run.file("not read", "all/readme.txt")
    run.file("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}", "all/deep/3.yml")
    folder = str(run.folder / "all")
    assert run("apply", "-n", run.namespace, "-f", folder).stdout.split() == [
        "configmap/a", "created", "configmap/b", "created",
    ]  # fmt: skip
    assert "configmap/c created" in run("apply", "-R", "-n", run.namespace, "-f", folder).stdout


def test_delete_by_file_and_by_name(run, routes) -> None:
    file = run.file(routes("v1"))
    run("apply", "-n", run.namespace, "-f", file)
    done = run("delete", "vs/front-end", "-n", run.namespace)
    assert done.stdout == (f'virtualservice.networking.istio.io "front-end" deleted from {run.namespace} namespace\n')
    done = run("delete", "-n", run.namespace, "-f", file, code=1)
    assert 'virtualservices.networking.istio.io "front-end" not found' in done.stderr
    assert 'destinationrule.networking.istio.io "front-end" deleted' in done.stdout
    run("delete", "-n", run.namespace, "-f", file, "--ignore-not-found")


def test_get_prints_the_apis_table_and_whole_objects(run, routes) -> None:
    run("apply", "-n", run.namespace, "-f", run.file(routes("v1")))
    lines = run("get", "virtualservices", "-n", run.namespace).stdout.splitlines()
    assert lines[0].split() == ["NAME", "GATEWAYS", "HOSTS", "AGE"]
    assert lines[1].split()[0] == "front-end"
    assert run("get", "vs", "-A").stdout.startswith("NAMESPACE")
    assert run("get", "vs,dr", "front-end", "-n", run.namespace, "-o", "name").stdout.splitlines() == [VS, DR]
    obj = yaml.safe_load(run("get", "vs", "front-end", "-n", run.namespace, "-o", "yaml").stdout)
    assert obj["spec"]["hosts"] == ["front-end"]
    assert "managedFields" not in obj["metadata"]


def test_words_nobody_knows(run) -> None:
    assert "did you mean VirtualService?" in run("get", "virtualservic", code=1).stderr
    done = run(
        "apply",
        "-f",
        "-",
        given="{apiVersion: networking.istio.io/v1, kind: Virtualservice, metadata: {name: x}}",
        code=1,
    )
    assert "STDIN:1: Virtualservice x: no kind Virtualservice" in done.stderr
    assert "did you mean VirtualService?" in done.stderr
    done = run(
        "apply", "-f", "-", given="{apiVersion: networking.istio.io/v9/x, kind: Gateway, metadata: {name: x}}", code=1
    )
    assert "write apiVersion: networking.istio.io/v1" in done.stderr


def test_describe_shows_the_object_its_problems_and_events(run) -> None:
    run("apply", "-n", run.namespace, "-f", "-", given="{kind: DestinationRule, metadata: {name: d}, spec: {host: d}}")
    text = run("describe", "dr", "d", "-n", run.namespace).stdout
    assert "host: d" in text
    assert "Events: <none>" in text


def test_istioctl_is_the_same_under_istios_names(run, routes) -> None:
    file = run.file(routes("v1"))
    assert "created" in run.istioctl("create", "-n", run.namespace, "-f", file).stdout
    assert "replaced" in run.istioctl("replace", "-n", run.namespace, "-f", file).stdout
    assert "front-end" in run.istioctl("get", "virtualservices", "-n", run.namespace).stdout
    assert "deleted" in run.istioctl("delete", "-n", run.namespace, "-f", file).stdout
    assert "no Service has the host 'carts'" in run.istioctl("authn", "tls-check", "carts", "-n", "x", code=1).stderr
    for short in ("ps", "pc"):
        assert "Usage: istioctl" in run.istioctl(short, "--help").stdout


def test_tls_check_is_a_table_of_what_is_spoken_and_who_asks_for_more(run) -> None:
    run("apply", "-n", run.namespace, "-f", run.file(CARTS))
    host = f"carts.{run.namespace}.svc.cluster.local"
    done = run.istioctl("authn", "tls-check", host, "-n", run.namespace)
    head, row = done.stdout.splitlines()
    assert head.split("  ")[0] == "HOST:PORT"
    # There is no pod, so nobody takes part in the mesh's TLS.
    assert row.split() == [f"{host}:80", "CONFLICT", "HTTP", "mTLS", "-", f"carts/{run.namespace}"]
    assert not done.stderr


def test_usage(run) -> None:
    run("apply", code=2)
    run("get", code=2)
    run("delete", "vs", code=2)
    assert "curl" in run("apply", "-f", "https://example.org/x.yaml", code=1).stderr
    assert "cannot be read" in run("apply", "-f", str(run.folder / "nothing.yaml"), code=1).stderr


def _spec(run, kind: str) -> dict:
    return json.loads(run("get", kind, "front-end", "-n", run.namespace, "-o", "json").stdout)["spec"]


def _kubectl(run, *arguments: str, given: str = "") -> str:
    """What it says on standard error."""
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [kubectl, "--kubeconfig", run.kubeconfig, *arguments], input=given, text=True, check=True, capture_output=True
    )
    return done.stderr


def _configmaps(count: int, text: str = "x") -> str:
    return "---\n".join(
        f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c{number}}}, data: {{text: {text}}}}}\n"
        for number in range(count)
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Method and whether it was a dry run of every request about objects."""
    found: list[tuple[str, bool]] = []
    real = Client._open

    def watched(self: Client, method: str, path: str, **options: Any) -> Any:
        if "/namespaces/" in path:
            found.append((method, "dryRun" in (options.get("params") or {})))
        return real(self, method, path, **options)

    monkeypatch.setattr(Client, "_open", watched)
    return found


def test_what_is_as_the_file_says_is_not_written(run, asked) -> None:
    file = run.file(_configmaps(20))
    assert run("apply", "-n", run.namespace, "-f", file).stdout.count(" created\n") == 20
    asked.clear()
    assert run("apply", "-n", run.namespace, "-f", file).stdout.count(" unchanged\n") == 20
    assert Counter(asked) == {("GET", False): 1, ("PATCH", True): 20}
    run.file(_configmaps(20).replace("c7}, data: {text: x}", "c7}, data: {text: z}"))
    asked.clear()
    done = run("apply", "-n", run.namespace, "-f", file)
    assert [line for line in done.stdout.splitlines() if not line.endswith(" unchanged")] == ["configmap/c7 configured"]
    assert Counter(asked)["PATCH", False] == 1


def test_who_may_not_list_is_answered_all_the_same(run, asked, monkeypatch) -> None:
    file = run.file(_configmaps(10))
    run("apply", "-n", run.namespace, "-f", file)

    async def refused(*_: Any, **__: Any) -> None:
        raise ApiError.of({"code": 403, "reason": "Forbidden", "message": "no"})

    monkeypatch.setattr(Client, "list", refused)
    asked.clear()
    assert run("apply", "-n", run.namespace, "-f", file).stdout.count(" unchanged\n") == 10
    assert Counter(asked) == {("GET", False): 10, ("PATCH", True): 10}


def test_an_object_that_stands_twice_ends_as_the_last_says(run) -> None:
    run("apply", "-n", run.namespace, "-f", run.file(_configmaps(1, "b")))
    done = run("apply", "-n", run.namespace, "-f", run.file(_configmaps(1, "a") + "---\n" + _configmaps(1, "b")))
    assert done.stdout.splitlines() == ["configmap/c0 configured", "configmap/c0 configured"]
    shown = run("get", "configmap", "c0", "-n", run.namespace, "-o", "yaml").stdout
    assert yaml.safe_load(shown)["data"] == {"text": "b"}


LATER = """
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{name: http, port: 80}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root}
spec: {hosts: [web], http: [{match: [{uri: {prefix: /a}}], delegate: {name: rest}}, {delegate: {name: gone}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rest}
spec: {http: [{route: [{destination: {host: web}}]}]}
"""


@pytest.mark.parametrize("verb", ["create", "replace", "apply"])
def test_what_comes_later_in_the_files_is_not_missing(run, verb) -> None:
    if verb == "replace":
        run("create", "-n", run.namespace, "-f", "-", given=LATER)
    done = run(verb, "-n", run.namespace, "-f", "-", given=LATER)
    (said,) = [line for line in done.stderr.splitlines() if "PLT0010" in line]
    assert said == (
        f"Warning: VirtualService {run.namespace}/root: spec.http[1].delegate: there is no VirtualService "
        f"{run.namespace}/gone to delegate to: the rule has no routes; its name and namespace [PLT0010]"
    )


def test_a_file_that_is_applied_again_is_told_the_same(run) -> None:
    first = run("apply", "-n", run.namespace, "-f", "-", given=LATER).stderr
    again = run("apply", "-n", run.namespace, "-f", "-", given=LATER)
    assert again.stdout.count("unchanged") == 3
    assert again.stderr == first


def test_kubectl_notes_once_what_it_applied_to_an_object_that_was_applied_by_others(run) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '1'}}"
    note = "is missing the kubectl.kubernetes.io/last-applied-configuration annotation"
    run("apply", "-n", run.namespace, "-f", "-", given=text)
    assert note not in _kubectl(run, "apply", "--server-side", "-n", run.namespace, "-f", "-", given=text)
    assert note in _kubectl(run, "apply", "-n", run.namespace, "-f", "-", given=text)
    assert note not in _kubectl(run, "apply", "-n", run.namespace, "-f", "-", given=text)
    assert run("apply", "-n", run.namespace, "-f", "-", given=text).stderr == ""
