"""Rules for the containers of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from plait.machine.api.schema.validation import names
from plait.machine.api.schema.validation.values import (
    PROTOCOLS,
    amount,
    at_least,
    one_of,
    own_label,
    port_number,
    port_or_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_LIFECYCLE_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_MOUNTED_FIELDS = ("metadata.labels", "metadata.annotations")
_NOT_EPHEMERAL = (
    "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy",
    "restartPolicy",
)  # fmt: skip
_PLAIN_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def validate_containers(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    """All containers of a pod: each by itself, then names and host ports across them."""
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    host_ports: set[tuple[Any, Any, Any]] = set()
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            where = f"{path}.{group}[{index}]"
            yield from own_label(container.get("name", ""), seen, f"{where}.name")
            init = group == "initContainers"
            yield from _container(container, volumes, where, init=init)
            for at, port in enumerate(container.get("ports") or ()):
                taken = (port.get("protocol"), port.get("hostIP", ""), port.get("hostPort"))
                if port.get("hostPort") and taken in host_ports and not init:
                    yield duplicate(f"{where}.ports[{at}].hostPort", port["hostPort"])
                host_ports.add(taken)
                if spec.get("hostNetwork") and port.get("hostPort", 0) != port.get("containerPort"):
                    detail = "must match `containerPort` when `hostNetwork` is true"
                    yield invalid(f"{where}.ports[{at}].hostPort", port.get("hostPort", 0), detail)


def _container(container: dict[str, Any], volumes: dict[Any, Any], path: str, *, init: bool) -> Iterator[FieldError]:
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from one_of(container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never"), f"{path}.imagePullPolicy")
    policies = ("FallbackToLogsOnError", "File")
    yield from one_of(container.get("terminationMessagePolicy"), policies, f"{path}.terminationMessagePolicy")
    restart = container.get("restartPolicy")
    if restart is not None and not init:
        yield forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")
    elif restart is not None:
        yield from one_of(restart, ("Always",), f"{path}.restartPolicy")
    yield from _ports(container.get("ports") or (), path)
    yield from _environment(container, path)
    yield from _mounts(container.get("volumeMounts") or (), volumes, path)
    yield from _resources(container.get("resources") or {}, f"{path}.resources")
    yield from _probes(container, path, allowed=not init or restart == "Always")
    for name in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(name)
        if handler is not None:
            yield from _handler(handler, _LIFECYCLE_HANDLERS, f"{path}.lifecycle.{name}")
    yield from _security(container.get("securityContext") or {}, f"{path}.securityContext")


def validate_ephemeral(spec: dict[str, Any], old: dict[str, Any], path: str) -> Iterator[FieldError]:
    """Containers added to a pod that is there already: they have names of their own, and never change or go."""
    now = {container.get("name"): container for container in spec.get("ephemeralContainers") or ()}
    for name, container in _by_name(old.get("ephemeralContainers")).items():
        if name not in now:
            yield forbidden(f"{path}.ephemeralContainers", f'existing ephemeral containers "{name}" may not be removed')
        elif now[name] != container:
            yield forbidden(f"{path}.ephemeralContainers", f'existing ephemeral containers "{name}" may not be changed')
    volumes = _by_name(spec.get("volumes"))
    targets = _by_name(spec.get("containers"))
    seen = {*targets, *_by_name(spec.get("initContainers"))}
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        where = f"{path}.ephemeralContainers[{index}]"
        yield from own_label(container.get("name", ""), seen, f"{where}.name")
        target = container.get("targetContainerName")
        if target and target not in targets:
            yield FieldError(
                path=f"{where}.targetContainerName", message=f'Not found: "{target}"', reason="FieldValueNotFound"
            )
        yield from _container({**container, **dict.fromkeys(_NOT_EPHEMERAL)}, volumes, where, init=False)
        for field in _NOT_EPHEMERAL:
            if container.get(field):
                yield forbidden(f"{where}.{field}", "field not allowed for Ephemeral Containers")
        for at, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    yield forbidden(f"{where}.volumeMounts[{at}].{field}", "cannot be set for an Ephemeral Container")


def _by_name(items: list[dict[str, Any]] | None) -> dict[Any, dict[str, Any]]:
    return {item.get("name"): item for item in items or ()}


def _security(context: dict[str, Any], path: str) -> Iterator[FieldError]:
    for name in ("runAsUser", "runAsGroup"):
        value = context.get(name)
        if value is not None and not 0 <= value <= 2**31 - 1:
            yield invalid(f"{path}.{name}", value, f"must be between 0 and {2**31 - 1}, inclusive")
    if context.get("privileged") and context.get("allowPrivilegeEscalation") is False:
        detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        yield invalid(path, context, detail)


def _ports(ports: list[dict[str, Any]] | tuple[()], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}.ports[{index}]"
        if name := port.get("name"):
            if fault := names.port_name(name):
                yield invalid(f"{where}.name", name, fault)
            elif name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            yield required(f"{where}.containerPort")
        else:
            yield from port_number(number, f"{where}.containerPort")
        if port.get("hostPort"):
            yield from port_number(port["hostPort"], f"{where}.hostPort")
        yield from one_of(port.get("protocol"), PROTOCOLS, f"{where}.protocol")


def _environment(container: dict[str, Any], path: str) -> Iterator[FieldError]:
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        name = variable.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif fault := names.environment_name(name):
            yield invalid(f"{where}.name", name, fault)
        source = variable.get("valueFrom")
        if source is None:
            continue
        given = [field for field in _ENV_SOURCES if source.get(field)]
        if not given:
            yield invalid(f"{where}.valueFrom", "", f"must specify one of: {', '.join(f'`{s}`' for s in _ENV_SOURCES)}")
        elif variable.get("value"):
            yield invalid(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
        elif len(given) > 1:
            yield invalid(f"{where}.valueFrom", "", "may not have more than one field specified at a time")
        yield from _env_source(source, f"{where}.valueFrom")
    for index, source in enumerate(container.get("envFrom") or ()):
        where = f"{path}.envFrom[{index}]"
        given = [field for field in ("configMapRef", "secretRef") if source.get(field) is not None]
        if not given:
            yield invalid(where, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield invalid(where, "", "may not have more than one field specified at a time")
        for field in given:
            if not source[field].get("name"):
                yield required(f"{where}.{field}.name")


def _env_source(source: dict[str, Any], path: str) -> Iterator[FieldError]:
    reference = source.get("fieldRef")
    if reference:
        field = reference.get("fieldPath", "")
        if not field:
            yield required(f"{path}.fieldRef.fieldPath")
        elif field.partition("[")[0] in _MOUNTED_FIELDS and field.endswith("']"):
            pass
        elif field not in _ENV_FIELDS:
            yield not_supported(f"{path}.fieldRef.fieldPath", field, _ENV_FIELDS)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if reference := source.get(name):
            if not reference.get("name"):
                yield required(f"{path}.{name}.name")
            if not reference.get("key"):
                yield required(f"{path}.{name}.key")
            elif fault := names.config_key(reference["key"]):
                yield invalid(f"{path}.{name}.key", reference["key"], fault)
    if (reference := source.get("resourceFieldRef")) and not reference.get("resource"):
        yield required(f"{path}.resourceFieldRef.resource")


def _mounts(mounts: list[dict[str, Any]] | tuple[()], volumes: dict[Any, Any], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        where = f"{path}.volumeMounts[{index}]"
        name = mount.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif name not in volumes:
            yield FieldError(
                path=f"{where}.name", message=f'Not found: "{name}"', reason="FieldValueNotFound", value=name
            )
        target = mount.get("mountPath", "")
        if not target:
            yield required(f"{where}.mountPath")
        elif target in seen:
            yield invalid(f"{where}.mountPath", target, "must be unique")
        seen.add(target)
        if mount.get("subPath") and (fault := names.relative_path(mount["subPath"])):
            yield invalid(f"{where}.subPath", mount["subPath"], fault)
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid(
                f"{where}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )


def _resources(resources: dict[str, Any], path: str) -> Iterator[FieldError]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, values in (("limits", limits), ("requests", requests)):
        for name, quantity in values.items():
            where = f"{path}.{field}[{name}]"
            if fault := names.qualified_name(name):
                yield invalid(where, name, fault)
            elif "/" not in name and name not in _PLAIN_RESOURCES and not name.startswith("hugepages-"):
                yield invalid(where, name, "must be a standard resource for containers, or have a domain before a '/'")
            if amount(quantity) < 0:
                yield invalid(where, str(quantity), "must be greater than or equal to 0")
    for name, quantity in requests.items():
        if name in limits and amount(quantity) > amount(limits[name]):
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", str(quantity), detail)


def _probes(container: dict[str, Any], path: str, *, allowed: bool) -> Iterator[FieldError]:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        where = f"{path}.{name}"
        if not allowed:
            yield forbidden(where, "may not be set for init containers without restartPolicy=Always")
            continue
        yield from _handler(probe, _HANDLERS, where)
        for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
            yield from at_least(probe.get(field), 0, f"{where}.{field}")
        if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            yield invalid(f"{where}.successThreshold", probe["successThreshold"], "must be 1")
        grace = probe.get("terminationGracePeriodSeconds")
        if grace is not None and name == "readinessProbe":
            yield invalid(f"{where}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
        elif grace is not None and grace <= 0:
            yield invalid(f"{where}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def _handler(handler: dict[str, Any], kinds: tuple[str, ...], path: str) -> Iterator[FieldError]:
    given = [name for name in kinds if handler.get(name) is not None]
    if not given:
        yield required(path, "must specify a handler type")
    for name in given[1:]:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
    for name in given[:1]:
        action = handler[name]
        where = f"{path}.{name}"
        if name == "exec" and not action.get("command"):
            yield required(f"{where}.command")
        elif name == "httpGet":
            if not action.get("path"):
                yield required(f"{where}.path")
            yield from port_or_name(action.get("port"), f"{where}.port")
            yield from one_of(action.get("scheme"), ("HTTP", "HTTPS"), f"{where}.scheme")
            for index, header in enumerate(action.get("httpHeaders") or ()):
                if not header.get("name"):
                    yield required(f"{where}.httpHeaders[{index}].name")
        elif name == "tcpSocket":
            yield from port_or_name(action.get("port"), f"{where}.port")
        elif name == "grpc":
            yield from port_number(action.get("port", 0), f"{where}.port")
