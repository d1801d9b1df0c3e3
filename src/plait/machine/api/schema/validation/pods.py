"""Rules for pods and pod templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plait.machine.api.schema.fields import FieldError, forbidden, invalid, not_supported, required
from plait.machine.api.schema.normal import copied
from plait.machine.api.schema.validation import names
from plait.machine.api.schema.validation.containers import validate_containers, validate_ephemeral
from plait.machine.api.schema.validation.metadata import validate_labels
from plait.machine.api.schema.validation.values import one_of, own_label

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NEVER_CHANGES = (
    "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, "
    "`spec.activeDeadlineSeconds`, `spec.tolerations` (only additions), `spec.terminationGracePeriodSeconds` (if it "
    "was negative)"
)
_TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def validate_pod(pod: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """A pod, and what may change in it once it exists."""
    spec = pod.get("spec") or {}
    yield from validate_pod_spec(spec, "spec")
    if old is not None:
        yield from _update(spec, old.get("spec") or {})
        yield from validate_ephemeral(spec, old.get("spec") or {}, "spec")
    elif spec.get("ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "cannot be set on create")


def validate_template(template: dict[str, Any], path: str) -> Iterator[FieldError]:
    """The pod template of a workload whose pods never end."""
    spec = template.get("spec") or {}
    yield from validate_labels((template.get("metadata") or {}).get("labels") or {}, f"{path}.metadata.labels")
    yield from validate_pod_spec(spec, f"{path}.spec")
    if spec.get("restartPolicy", "Always") in _RESTART[1:]:
        yield not_supported(f"{path}.spec.restartPolicy", spec["restartPolicy"], ("Always",))
    if spec.get("ephemeralContainers"):
        yield forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
    if spec.get("activeDeadlineSeconds") is not None:
        yield forbidden(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")


def validate_pod_spec(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    """What pods and templates share."""
    yield from _volumes(spec.get("volumes") or (), f"{path}.volumes")
    yield from validate_containers(spec, path)
    yield from one_of(spec.get("restartPolicy"), _RESTART, f"{path}.restartPolicy")
    yield from one_of(spec.get("dnsPolicy"), _DNS, f"{path}.dnsPolicy")
    if spec.get("dnsPolicy") == "None" and not spec.get("dnsConfig"):
        yield required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
    elif spec.get("dnsPolicy") == "None" and not spec["dnsConfig"].get("nameservers"):
        yield required(
            f"{path}.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"
        )
    yield from validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 2**31:
        yield invalid(f"{path}.activeDeadlineSeconds", deadline, f"must be between 1 and {2**31 - 1}, inclusive")
    for field, rule in (
        ("serviceAccountName", names.dns_subdomain),
        ("nodeName", names.dns_subdomain),
        ("hostname", names.dns_label),
        ("subdomain", names.dns_label),
        ("priorityClassName", names.dns_subdomain),
    ):
        if spec.get(field) and (fault := rule(spec[field])):
            yield invalid(f"{path}.{field}", spec[field], fault)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        if fault := names.ip(alias.get("ip", "")):
            yield invalid(f"{path}.hostAliases[{index}].ip", alias.get("ip", ""), fault)
        for at, host in enumerate(alias.get("hostnames") or ()):
            if fault := names.dns_subdomain(host):
                yield invalid(f"{path}.hostAliases[{index}].hostnames[{at}]", host, fault)
    yield from _tolerations(spec.get("tolerations") or (), f"{path}.tolerations")


def _tolerations(tolerations: list[dict[str, Any]] | tuple[()], path: str) -> Iterator[FieldError]:
    for index, one in enumerate(tolerations):
        where = f"{path}[{index}]"
        operator = one.get("operator") or "Equal"
        if one.get("key") and (fault := names.qualified_name(one["key"])):
            yield invalid(f"{where}.key", one["key"], fault)
        if not one.get("key") and operator != "Exists":
            yield invalid(f"{where}.operator", operator, "must be Exists when `key` is empty: it matches all taints")
        if operator not in {"Equal", "Exists"}:
            yield not_supported(f"{where}.operator", operator, ("Equal", "Exists"))
        elif operator == "Exists" and one.get("value"):
            yield invalid(f"{where}.operator", one, "value must be empty when `operator` is 'Exists'")
        if one.get("effect"):
            yield from one_of(one["effect"], _TAINT_EFFECTS, f"{where}.effect")
        if one.get("tolerationSeconds") is not None and one.get("effect") != "NoExecute":
            yield invalid(
                f"{where}.effect", one.get("effect", ""), "must be 'NoExecute' when `tolerationSeconds` is set"
            )


def _volumes(volumes: list[dict[str, Any]] | tuple[()], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        yield from own_label(volume.get("name", ""), seen, f"{where}.name")
        sources = [field for field, value in volume.items() if field != "name" and value is not None]
        if not sources:
            yield required(where, "must specify a volume type")
        for extra in sources[1:]:
            yield forbidden(f"{where}.{extra}", "may not specify more than 1 volume type")
        for source in sources[:1]:
            yield from _volume_source(source, volume[source], f"{where}.{source}")


#: The node refuses it too, as whatever holds the state of the mesh.
_WHOLE_MACHINE: Final = (
    "no pod may see the whole of this machine, where the mesh's own state is too: name the folder that is needed. "
    "`kubectl debug node/NAME` always asks for all of it, and cannot be had here; `kubectl debug POD` can"
)


def _volume_source(kind: str, source: dict[str, Any], path: str) -> Iterator[FieldError]:
    needed = {"configMap": "name", "secret": "secretName", "hostPath": "path", "persistentVolumeClaim": "claimName"}
    if kind in needed and not source.get(needed[kind]):
        yield required(f"{path}.{needed[kind]}")
    if kind == "hostPath" and ".." in source.get("path", "").split("/"):
        yield invalid(f"{path}.path", source["path"], "must not contain '..'")
    if kind == "hostPath" and source.get("path", "") and not source["path"].strip("/."):
        yield forbidden(f"{path}.path", _WHOLE_MACHINE)
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(f"{path}.defaultMode", mode, "must be a number between 0 and 0777 (octal), both inclusive")
    if kind in {"configMap", "secret"}:
        yield from _items(source.get("items") or (), f"{path}.items")


def _items(items: list[dict[str, Any]] | tuple[()], path: str) -> Iterator[FieldError]:
    for index, entry in enumerate(items):
        where = f"{path}[{index}]"
        if not entry.get("key"):
            yield required(f"{where}.key")
        if not entry.get("path"):
            yield required(f"{where}.path")
        elif fault := names.relative_path(entry["path"]):
            yield invalid(f"{where}.path", entry["path"], fault)


def _update(new: dict[str, Any], old: dict[str, Any]) -> Iterator[FieldError]:
    """Most of a pod is fixed. The node name may be set once: here the node takes a pod by writing it."""
    for group in ("containers", "initContainers"):
        if len(new.get(group) or ()) != len(old.get(group) or ()):
            yield forbidden(f"spec.{group}", f"pod updates may not add or remove {group}")
            return
    yield from _deadline_update(new, old)
    kept = copied(new)
    for group in ("containers", "initContainers"):
        for container, before in zip(kept.get(group) or (), old.get(group) or (), strict=True):
            container["image"] = before.get("image")
    for field in ("activeDeadlineSeconds", "ephemeralContainers"):
        _restore(kept, old, field)
    if not old.get("nodeName"):
        kept.pop("nodeName", None)
    before_tolerations = old.get("tolerations") or []
    if all(one in (new.get("tolerations") or []) for one in before_tolerations):
        _restore(kept, old, "tolerations")
    if old.get("terminationGracePeriodSeconds", 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        _restore(kept, old, "terminationGracePeriodSeconds")
    changed = [name for name in sorted({*kept, *old}) if kept.get(name) != old.get(name)]
    if changed:
        yield forbidden("spec", f"{_NEVER_CHANGES}; changed: {', '.join(f'spec.{name}' for name in changed)}")


def _deadline_update(new: dict[str, Any], old: dict[str, Any]) -> Iterator[FieldError]:
    before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    if before is not None and (after is None or after > before):
        yield invalid("spec.activeDeadlineSeconds", after, "must be less than or equal to previous value")


def _restore(target: dict[str, Any], old: dict[str, Any], field: str) -> None:
    if field in old:
        target[field] = old[field]
    else:
        target.pop(field, None)
