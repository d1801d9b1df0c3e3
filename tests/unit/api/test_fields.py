"""No field is ignored in silence: each field and enum value of a kind has an example in a golden, or a row that warns.

The fields are those of the schemas that the API serves. The examples are the inputs of the goldens; that the generated
configuration is right, and that Envoy takes it, is the goldens' business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
import yaml

from plait.api import inert as istio
from plait.api.decode import decode, problems_of
from plait.api.mesh_inert import PROXY_ROWS, ROWS, without_effect
from plait.api.mesh_settings import MeshSettings
from plait.api.problem import Level
from plait.machine.api import inert as machine

ROOT = Path(__file__).parents[2]
EXAMPLES = (ROOT / "envoy/xds/testdata", ROOT / "unit/inject/testdata")
DATA = files("plait.machine.api.schema") / "data"
NETWORKING = "networking.istio.io"

#: A kind whose examples are complete loses its mark.
INCOMPLETE = pytest.mark.xfail(strict=True, reason="examples are still missing")
KINDS = [
    (NETWORKING, "VirtualService"),
    (NETWORKING, "Gateway"),
    (NETWORKING, "Sidecar"),
    (NETWORKING, "ProxyConfig"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    (NETWORKING, "DestinationRule"),
    (NETWORKING, "ServiceEntry"),
    (NETWORKING, "WorkloadEntry"),
    (NETWORKING, "WorkloadGroup"),
    (NETWORKING, "EnvoyFilter"),
]

HTTPS = {"number": 9443, "name": "https", "protocol": "HTTPS"}


def rule(**http: Any) -> dict[str, Any]:
    return {"hosts": ["a.b"], "http": [{"route": [{"destination": {"host": "a"}}], **http}]}


def ingress(**tls: Any) -> dict[str, Any]:
    return {"ingress": [{"port": HTTPS, "tls": tls}]}


#: Fields that Istio has and refuses, with a spec for each: an object with one never gets in.
REFUSED: dict[str, dict[str, dict[str, Any]]] = {
    "EnvoyFilter": {
        "spec.configPatches[].applyTo=INVALID": {"configPatches": [{"applyTo": "INVALID"}]},
        "spec.configPatches[].patch.operation=INVALID": {
            "configPatches": [{"applyTo": "CLUSTER", "patch": {"operation": "INVALID"}}]
        },
    },
    "Gateway": {
        "spec.servers[].port.targetPort": {"servers": [{"port": {**HTTPS, "targetPort": 1}, "hosts": ["*"]}]},
    },
    "Sidecar": {
        "spec.egress[].port.targetPort": {"egress": [{"port": {**HTTPS, "targetPort": 1}, "hosts": ["*/*"]}]},
        "spec.ingress[].port.targetPort": {"ingress": [{"port": {**HTTPS, "targetPort": 1}}]},
        "spec.ingress[].tls.caCertCredentialName": ingress(caCertCredentialName="x"),
        "spec.ingress[].tls.credentialName": ingress(credentialName="x"),
        "spec.ingress[].tls.credentialNames[]": ingress(credentialNames=["x"]),
        "spec.ingress[].tls.httpsRedirect": ingress(httpsRedirect=True),
        "spec.ingress[].tls.mode=AUTO_PASSTHROUGH": ingress(mode="AUTO_PASSTHROUGH"),
        "spec.ingress[].tls.mode=ISTIO_MUTUAL": ingress(mode="ISTIO_MUTUAL"),
        "spec.ingress[].tls.subjectAltNames[]": ingress(subjectAltNames=["x"]),
        **{
            f"spec.ingress[].tls.tlsCertificates[].{name}": ingress(tlsCertificates=[{name: "x"}])
            for name in ("caCertificates", "privateKey", "serverCertificate")
        },
    },
    "VirtualService": {
        "spec.http[].fault.abort.http2Error": rule(fault={"abort": {"http2Error": "REFUSED_STREAM"}}),
        "spec.http[].fault.delay.exponentialDelay": rule(fault={"delay": {"exponentialDelay": "1s"}}),
    },
}


def schema_of(kind: tuple[str, str]) -> dict[str, Any]:
    """The schema of a kind's spec."""
    group, name = kind
    if group.endswith(".istio.io"):
        data = json.loads((DATA / "istio.json").read_text())
        served = next(item for item in data["kinds"] if (item["group"], item["kind"]) == kind)
        assert len({version["schema"] for version in served["versions"]}) == 1, "the versions differ"
        return data["schemas"][served["versions"][0]["schema"]]["properties"]["spec"]
    definitions = json.loads((DATA / "builtin.json").read_text())["definitions"]
    found = next(
        schema
        for schema in definitions.values()
        if {"group": group, "kind": name, "version": "v1"} in schema.get("x-kubernetes-group-version-kind", ())
    )
    return resolved(found["properties"]["spec"], definitions)


def resolved(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [resolved(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: resolved(value, definitions) for key, value in schema.items()}


def leaves(schema: dict[str, Any], path: str = "spec") -> Iterator[str]:
    """`spec.http[].match[].headers{}.exact` for a field, `….mode=SIMPLE` for each value of an enum."""
    if schema.get("properties"):
        for name, below in schema["properties"].items():
            yield from leaves(below, f"{path}.{name}")
    elif schema.get("type") == "array":
        yield from leaves(schema["items"], f"{path}[]")
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from leaves(schema["additionalProperties"], f"{path}{{}}")
    elif "enum" in schema:
        yield from (f"{path}={value}" for value in schema["enum"])
    else:
        yield path


def used(value: Any, path: str) -> Iterator[str]:
    """The leaves that a value has, in each spelling that a schema may have of them."""
    yield path
    if isinstance(value, dict):
        for name, below in value.items():
            yield from used(below, f"{path}.{name}")
            yield from used(below, f"{path}{{}}")
    elif isinstance(value, list):
        for item in value:
            yield from used(item, f"{path}[]")
    else:
        yield f"{path}={value}"


@pytest.fixture(scope="module")
def examples() -> dict[tuple[str, str], set[str]]:
    """The leaves that the goldens' inputs use, by kind."""
    found: dict[tuple[str, str], set[str]] = {}
    for folder in EXAMPLES:
        for path in folder.glob("*.in.yaml"):
            for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
                if document and "kind" in document and not refused(document):
                    kind = (document["apiVersion"].rpartition("/")[0], document["kind"])
                    found.setdefault(kind, set()).update(used(document.get("spec"), "spec"))
    return found


def refused(obj: dict[str, Any]) -> bool:
    return any(problem.level is Level.ERROR for problem in problems_of(obj))


def covered(leaf: str, row: istio.Inert) -> bool:
    path, _, value = leaf.partition("=")
    if row.only:
        return path == row.path and value in {str(each) for each in row.only}
    return path == row.path or path.startswith((f"{row.path}.", f"{row.path}[", f"{row.path}{{"))


def rows(kind: tuple[str, str]) -> tuple[istio.Inert, ...]:
    """What is warned of: by validation for Istio's kinds, by the machine for the others."""
    return istio.TABLE.get(kind, ()) + machine.TABLE.get(kind, ())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[1])
def test_every_field_acts_in_an_example_or_warns(
    kind: tuple[str, str], examples: dict[tuple[str, str], set[str]]
) -> None:
    known = rows(kind)
    missing = [
        leaf
        for leaf in leaves(schema_of(kind))
        if leaf not in examples.get(kind, set())
        and leaf not in REFUSED.get(kind[1], {})
        and not any(covered(leaf, row) for row in known)
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind in REFUSED for field in REFUSED[kind]])
def test_what_is_said_to_be_refused_is_refused(kind: str, field: str) -> None:
    spec = REFUSED[kind][field]
    assert field in set(used(spec, "spec"))
    meta = {"name": "x", "namespace": "x"}
    found = problems_of({"apiVersion": f"{NETWORKING}/v1", "kind": kind, "metadata": meta, "spec": spec})
    names = {part.removesuffix("[]") for part in field.partition("=")[0].split(".")[-2:]}
    at = [problem.path.rpartition(".")[2] for problem in found if problem.level is Level.ERROR]
    assert names.intersection(at), found


def test_every_version_of_a_kind_means_the_same() -> None:
    data = json.loads((DATA / "istio.json").read_text())
    versions = {(item["group"], item["kind"]): [each["name"] for each in item["versions"]] for item in data["kinds"]}
    compared = 0
    for path in (ROOT / "envoy/xds/testdata").glob("*.in.yaml"):
        for obj in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            group = obj["apiVersion"].rpartition("/")[0] if obj and "kind" in obj else ""
            for version in versions.get((group, (obj or {}).get("kind", "")), ()):
                assert decode({**obj, "apiVersion": f"{group}/{version}"}) == decode(obj)
                compared += 1
    assert compared > 100


@pytest.mark.parametrize("kind", istio.TABLE, ids=lambda kind: kind[1])
def test_every_row_is_about_fields_that_exist(kind: tuple[str, str]) -> None:
    there = list(leaves(schema_of(kind)))
    for row in istio.TABLE[kind]:
        assert any(covered(leaf, row) for leaf in there), row.path


#: Istio's MeshConfig, field by field (istio/api of 2026-07-21).
MESH_CONFIG = [
    "proxyListenPort", "proxyInboundListenPort", "proxyHttpPort", "connectTimeout", "hboneIdleTimeout",
    "protocolDetectionTimeout", "tcpKeepalive", "ingressClass", "ingressService", "ingressControllerMode",
    "ingressSelector", "enableTracing", "accessLogFile", "accessLogFormat", "accessLogEncoding",
    "enableEnvoyAccessLogService", "disableEnvoyListenerLog", "defaultConfig", "outboundTrafficPolicy",
    "inboundTrafficPolicy", "configSources", "enableAutoMtls", "trustDomain", "trustDomainAliases",
    "caCertificates", "defaultServiceExportTo", "defaultVirtualServiceExportTo",
    "defaultDestinationRuleExportTo", "rootNamespace", "localityLbSetting", "zoneAwareLbSetting",
    "dnsRefreshRate", "h2UpgradePolicy", "inboundClusterStatName", "outboundClusterStatName", "certificates",
    "serviceSettings", "serviceScopeConfigs", "enablePrometheusMerge", "verifyCertificateAtClient", "ca",
    "extensionProviders", "defaultProviders", "discoverySelectors", "pathNormalization",
    "defaultHttpRetryPolicy", "meshMTLS", "tlsDefaults", "defaultTrafficPolicy", "serviceEntryVisibility",
]  # fmt: skip
#: Its `defaultConfig`.
PROXY_DEFAULTS = [
    "configPath", "binaryPath", "serviceCluster", "drainDuration", "discoveryAddress", "discoveryRefreshDelay",
    "zipkinAddress", "statsdUdpAddress", "envoyMetricsServiceAddress", "proxyAdminPort", "availabilityZone",
    "controlPlaneAuthPolicy", "customConfigFile", "statNameLength", "concurrency", "proxyBootstrapTemplatePath",
    "interceptionMode", "tracing", "sds", "envoyAccessLogService", "envoyMetricsService", "proxyMetadata",
    "runtimeValues", "statusPort", "extraStatTags", "gatewayTopology", "terminationDrainDuration", "meshId",
    "readinessProbe", "proxyStatsMatcher", "holdApplicationUntilProxyStarts", "caCertificatesPem", "image",
    "privateKeyProvider", "proxyHeaders", "fileFlushInterval", "fileFlushMinSizeKb", "statsCompression",
    "connectionSettings",
]  # fmt: skip
#: Of its `extensionProviders`.
PROVIDERS = [
    "name", "envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "lightstep", "datadog", "stackdriver", "opencensus",
    "skywalking", "opentelemetry", "prometheus", "envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls",
    "sds",
]  # fmt: skip
#: Its `defaultTrafficPolicy`.
POLICY = [
    "connectionPool", "loadBalancer", "outlierDetection", "portLevelSettings", "proxyProtocol", "retryBudget", "tls",
    "tunnel",
]  # fmt: skip
#: Given when a mesh is made (validation says that it stays as it is), or parts of what certificates say.
NOT_IN_EXAMPLES = {"rootNamespace", "trustDomain", "trustDomainAliases[]"}


def settings_leaves(kind: Any, path: str) -> Iterator[str]:
    """As `leaves`, of a struct."""
    arguments = [each for each in get_args(kind) if each is not type(None)]
    if isinstance(kind, type) and not arguments and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        for field in msgspec.structs.fields(kind):
            yield from settings_leaves(hints[field.name], f"{path}.{field.encode_name}" if path else field.encode_name)
    elif get_origin(kind) is tuple:
        yield from settings_leaves(arguments[0], f"{path}[]")
    elif get_origin(kind) is dict:
        yield from settings_leaves(arguments[1], f"{path}{{}}")
    elif get_origin(kind) is Literal:
        yield from (f"{path}={value}" for value in arguments)
    elif arguments:
        yield from settings_leaves(arguments[0], path)
    else:
        yield path


def test_every_mesh_setting_acts_in_an_example_or_warns() -> None:
    told = {each.path for each in (*ROWS, *PROXY_ROWS)}
    given = {
        **dict.fromkeys(MESH_CONFIG, "x"),
        "tlsDefaults": {"minProtocolVersion": "x"},
        "defaultTrafficPolicy": dict.fromkeys(POLICY, "x"),
        "defaultConfig": dict.fromkeys(PROXY_DEFAULTS, "x"),
        "extensionProviders": [dict.fromkeys(PROVIDERS, "x")],
    }
    assert {path.replace("[0]", "[]") for path, _ in without_effect(given, MeshSettings)} == told
    found: set[str] = set()
    for folder in EXAMPLES:
        for path in folder.glob("*.in.yaml"):
            for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
                if document and document.get("kind") == "ConfigMap" and not refused(document):
                    text = yaml.load(document["data"].get("mesh", ""), Loader=yaml.CSafeLoader) or {}
                    found |= {leaf.removeprefix("mesh.") for leaf in used(text, "mesh")}
    missing = [leaf for leaf in settings_leaves(MeshSettings, "") if leaf not in found | NOT_IN_EXAMPLES]
    assert not missing, "\n".join(missing)
