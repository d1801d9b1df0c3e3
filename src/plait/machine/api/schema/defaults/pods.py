"""Defaults of pods and pod templates."""

from __future__ import annotations

from typing import Any

from plait.machine.api.schema.defaults.setting import entries, part, put, put_number, section

_FILE_MODE = 0o644
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")

#: How long a pod stays on a node that is gone, as the admission plug-in of every cluster sets it.
_TOLERATIONS = tuple(
    {"effect": "NoExecute", "key": f"node.kubernetes.io/{key}", "operator": "Exists", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
)


def default_pod(pod: dict[str, Any]) -> None:
    """A pod: its spec as in a template, and what only real pods get."""
    spec = section(pod, "spec")
    put(spec, serviceAccountName=spec.get("serviceAccount") or "default", preemptionPolicy="PreemptLowerPriority")
    for name in _CONTAINER_LISTS[:2]:
        for container in entries(spec, name):
            _requests_from_limits(container)
            if spec.get("hostNetwork") is True:
                for port in entries(container, "ports"):
                    put_number(port, hostPort=port.get("containerPort", 0))
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("priority") is None:
        spec["priority"] = 0
    _default_tolerations(spec)
    default_pod_spec(spec)
    status = section(pod, "status")
    put(status, phase="Pending")


def default_template(template: dict[str, Any]) -> None:
    """A pod template."""
    default_pod_spec(section(template, "spec"))


def default_pod_spec(spec: dict[str, Any]) -> None:
    """What pods and templates share."""
    put(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    section(spec, "securityContext")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:  # the old name of the field always shows the same value
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in entries(spec, "volumes"):
        _default_volume(volume)
    for name in _CONTAINER_LISTS:
        for container in entries(spec, name):
            _default_container(container)


def _default_tolerations(spec: dict[str, Any]) -> None:
    """Two tolerations for a lost node, unless the pod has its own for the same taint."""
    if not isinstance(spec.get("tolerations", []), list):
        return
    own = entries(spec, "tolerations")
    for wanted in _TOLERATIONS:
        effects = ("", None, "NoExecute")
        if not any(one.get("key") in ("", None, wanted["key"]) and one.get("effect") in effects for one in own):
            spec.setdefault("tolerations", []).append(dict(wanted))


def _requests_from_limits(container: dict[str, Any]) -> None:
    limits = part(container, "resources", "limits")
    if limits:
        requests = section(container["resources"], "requests")
        for name, value in limits.items():
            requests.setdefault(name, value)


def _default_container(container: dict[str, Any]) -> None:
    image = container.get("image")
    put(
        container,
        imagePullPolicy="Always" if isinstance(image, str) and _tag(image) == "latest" else "IfNotPresent",
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    section(container, "resources")
    for port in entries(container, "ports"):
        put(port, protocol="TCP")
    for variable in entries(container, "env"):
        _default_field_ref(part(variable, "valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            _default_handler(probe)
            put_number(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    for name in ("postStart", "preStop"):
        _default_handler(part(container, "lifecycle", name))


def _default_handler(handler: dict[str, Any]) -> None:
    get = handler.get("httpGet")
    if isinstance(get, dict):
        put(get, path="/", scheme="HTTP")
    grpc = handler.get("grpc")
    if isinstance(grpc, dict):
        put(grpc, service="")


def _default_field_ref(source: dict[str, Any]) -> None:
    reference = source.get("fieldRef")
    if isinstance(reference, dict):
        put(reference, apiVersion="v1")


def _tag(image: str) -> str:
    """The tag of an image reference: `latest` if it has neither tag nor digest."""
    name, _, digest = image.partition("@")
    _, separator, tag = name.rpartition("/")[2].partition(":")
    if separator:
        return tag
    return "" if digest else "latest"


def _default_volume(volume: dict[str, Any]) -> None:
    sources = [name for name in volume if name != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = volume.get(name)
        if isinstance(source, dict) and source.get("defaultMode") is None:
            source["defaultMode"] = _FILE_MODE
    host_path = volume.get("hostPath")
    if isinstance(host_path, dict):
        put(host_path, type="")
    for entry in entries(volume.get("downwardAPI"), "items"):
        _default_field_ref(entry)
    for source in entries(volume.get("projected"), "sources"):
        for entry in entries(source.get("downwardAPI"), "items"):
            _default_field_ref(entry)
        token = source.get("serviceAccountToken")
        if isinstance(token, dict) and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = 3600
    claim = part(volume, "ephemeral", "volumeClaimTemplate", "spec")
    if claim:
        put(claim, volumeMode="Filesystem")
