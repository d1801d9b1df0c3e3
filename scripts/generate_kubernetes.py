"""Makes the API server's package data about built-in kinds: `builtin.json` (schemas) and `protobuf.json` (wire tables).

Run with the project's Python, with Go on the PATH (it fetches two modules, about 10 MB):

    .venv/bin/python scripts/generate_kubernetes.py

Sources: the OpenAPI definitions in the PyPI package kubernetes-validate, and `types.go` and `generated.proto` of the Go
modules k8s.io/api and k8s.io/apimachinery. Only types that a served kind needs are kept, and no descriptions. The
output depends on nothing but the versions below: a second run changes nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

from plait.machine.api.schema.builtin import BODIES, KINDS
from plait.machine.api.schema.builtin_more import METRICS_DEFINITIONS

SCHEMA_VERSION = "v1.32.0"
GO_VERSION = "v0.32.9"
DATA = Path(__file__).parents[1] / "src/plait/machine/api/schema/data"

REF = "#/components/schemas/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
APPS = "io.k8s.api.apps."
LEGACY = (APPS + "v1beta1", APPS + "v1beta2", "io.k8s.api.extensions.v1beta1")

#: Named by the OpenAPI documents: the answer to a DELETE, and the head of every list.
EXTRA_ROOTS = (META + "Status", META + "ListMeta")

SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}
"""Types that are not what their JSON Schema says; the names are recognised by `types.py`."""

GO_STRUCT = re.compile(r"^type (\w+) struct \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
GO_FIELD = re.compile(r'^\t(?:(\w+)\s+)?([\w.*\[\]]+)\s+`json:"([^"]*)"(?:\s+protobuf:"([^"]*)")?', re.MULTILINE)
GO_SLICE = re.compile(r"^type (\w+) \[\](\w+)$", re.MULTILINE)
PROTO_MESSAGE = re.compile(r"^message (\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
PROTO_FIELD = re.compile(
    r"^  (?:(optional|repeated|required) ([\w.]+)|map<string, ([\w.]+)>) (\w+) = (\d+)", re.MULTILINE
)
SCALARS = frozenset({"string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "double", "float"})
EMPTY_WHEN_ZERO = frozenset({"string", "bytes", "bool", "int32", "int64"})


def definitions() -> dict[str, dict[str, Any]]:
    """The OpenAPI definitions by name, in the form API servers publish, with old Deployments added."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"{SCHEMA_VERSION}-local"
    found = json.loads((folder / "_definitions.json").read_text())["$defs"]
    kept = {name: clean(schema) for name, schema in found.items()}
    kept.update(deepcopy(SPECIAL))
    for owner in ("io.k8s.api.core.v1.ContainerPort", "io.k8s.api.core.v1.ServicePort"):
        kept[owner]["properties"]["protocol"]["default"] = "TCP"
    kept.update(old_deployments(kept))
    return kept


def clean(schema: Any, *, names: bool = False) -> Any:
    """A schema without descriptions and without the null types and enums that kubernetes-validate adds.

    `names` says that the keys of this object are names of properties, not keywords.
    """
    if isinstance(schema, list):
        return [clean(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {name: clean(value) for name, value in sorted(schema.items())}
    out: dict[str, Any] = {}
    for key, value in sorted(schema.items()):
        if key == "description":
            continue
        if key == "properties":
            out[key] = clean(value, names=True)
        elif key == "type" and isinstance(value, list):
            out[key] = next(item for item in value if item != "null")
        elif key != "enum":
            out[key] = clean(value)
    target = out.pop("$ref", None)
    if target is None:
        return out
    reference = {"$ref": REF + target.removeprefix("#/$defs/")}
    return {"allOf": [reference], **out} if out else reference


def old_deployments(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Deployment as its old groups took it: the apps/v1 shape, a selector that may be left out, and rollbackTo."""
    made: dict[str, dict[str, Any]] = {}
    for package in LEGACY:
        version = package.rsplit(".", 1)[-1]
        group = "extensions" if "extensions" in package else "apps"
        deployment = deepcopy(known[APPS + "v1.Deployment"])
        spec = deepcopy(known[APPS + "v1.DeploymentSpec"])
        if version == "v1beta1":
            spec["required"] = ["template"]
            spec["properties"]["rollbackTo"] = {"$ref": f"{REF}{package}.RollbackConfig"}
            made[f"{package}.RollbackConfig"] = {
                "properties": {"revision": {"format": "int64", "type": "integer"}},
                "type": "object",
            }
        deployment["properties"]["spec"] = {"$ref": f"{REF}{package}.DeploymentSpec"}
        deployment["x-kubernetes-group-version-kind"] = [{"group": group, "kind": "Deployment", "version": version}]
        made[f"{package}.Deployment"] = deployment
        made[f"{package}.DeploymentSpec"] = spec
    return made


def references(schema: Any) -> set[str]:
    """Names of the definitions a schema refers to."""
    if isinstance(schema, list):
        return set().union(*(references(item) for item in schema))
    if not isinstance(schema, dict):
        return set()
    found = set().union(*(references(value) for value in schema.values()))
    if isinstance(schema.get("$ref"), str):
        found.add(schema["$ref"].removeprefix(REF))
    return found


def closure(known: dict[str, dict[str, Any]], roots: list[str]) -> dict[str, dict[str, Any]]:
    """The definitions that the roots need."""
    wanted: dict[str, dict[str, Any]] = {}
    queue = list(roots)
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted[name] = known[name]
            queue.extend(references(known[name]))
    return dict(sorted(wanted.items()))


def module(path: str) -> Path:
    """Folder of a Go module, downloaded if need be."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{path}@{GO_VERSION}"], check=True, capture_output=True, text=True
    )
    return Path(json.loads(done.stdout)["Dir"])


class GoTypes:
    """What the Go structs say that OpenAPI does not: which fields an encoder leaves out, which are inlined."""

    def __init__(self) -> None:
        self.fields: dict[str, dict[str, tuple[str, bool]]] = {}
        self.inlined: dict[str, dict[str, str]] = {}
        self.lists: dict[str, str] = {}

    def read(self, package: str, text: str) -> None:
        """Add a package; names are those of protobuf (`k8s.io.api.core.v1.Pod`)."""
        for name, item in GO_SLICE.findall(text):
            self.lists[f"{package}.{name}"] = item
        for name, body in GO_STRUCT.findall(text):
            fields = self.fields.setdefault(f"{package}.{name}", {})
            inlined = self.inlined.setdefault(f"{package}.{name}", {})
            for _, go_type, json_tag, proto_tag in GO_FIELD.findall(body):
                json_name, *options = json_tag.split(",")
                if "inline" in options and proto_tag:
                    proto_name = next((part[5:] for part in proto_tag.split(",") if part.startswith("name=")), "")
                    inlined[proto_name or go_type[0].lower() + go_type[1:]] = go_type
                elif json_name:
                    fields[json_name] = (go_type, "omitempty" in options)

    def embedded(self, message: str) -> list[str]:
        """The structs inlined in one, by name."""
        package = message.rsplit(".", 1)[0]
        return [f"{package}.{go_type}" for go_type in self.inlined.get(message, {}).values()]

    def droppable(self, message: str) -> set[str]:
        """Fields that are not pointers and are left out when zero, with those of inlined structs."""
        found = {
            name
            for name, (go_type, omitted) in self.fields.get(message, {}).items()
            if omitted and not go_type.startswith("*")
        }
        return found.union(*(self.droppable(inner) for inner in self.embedded(message)))

    def values(self, message: str) -> set[str]:
        """Fields held by value (not by pointer), whatever their tag says."""
        found = {name for name, (go_type, _) in self.fields.get(message, {}).items() if not go_type.startswith("*")}
        return found.union(*(self.values(inner) for inner in self.embedded(message)))


def read_modules() -> tuple[GoTypes, dict[str, dict[str, list[Any]]]]:
    """Go types and protobuf messages of every package of both modules."""
    go, messages = GoTypes(), {}
    for path in ("k8s.io/api", "k8s.io/apimachinery"):
        root = module(path)
        for proto in sorted(root.rglob("generated.proto")):
            package = path.replace("/", ".") + "." + ".".join(proto.parent.relative_to(root).parts)
            for source in sorted(proto.parent.glob("*.go")):
                if not source.name.endswith("_test.go"):
                    go.read(package, source.read_text())
            for name, body in PROTO_MESSAGE.findall(proto.read_text()):
                messages[f"{package}.{name}"] = proto_fields(package, body)
    return go, messages


def proto_fields(package: str, body: str) -> dict[str, list[Any]]:
    """Fields of one message: number -> [JSON name, type, label]; label is one, many or map."""
    fields: dict[str, list[Any]] = {}
    for label, single, mapped, name, number in PROTO_FIELD.findall(body):
        kind = single or mapped
        if kind not in SCALARS:
            kind = kind.lstrip(".") if kind.startswith(".") else f"{package}.{kind}"
        fields[number] = [name, kind, "map" if mapped else "many" if label == "repeated" else "one"]
    return fields


def protobuf_table(go: GoTypes, messages: dict[str, dict[str, list[Any]]], roots: list[str]) -> dict[str, Any]:
    """Messages reachable from the roots, with a mark on fields to flatten and on fields whose zero is left out."""
    table: dict[str, Any] = {}
    queue = list(roots)
    while queue:
        name = queue.pop()
        if name in table:
            continue
        inlined, droppable = go.inlined.get(name, {}), go.droppable(name)
        rows: dict[str, list[Any]] = {}
        for number, (field, kind, label) in sorted(messages[name].items(), key=lambda item: int(item[0])):
            how = label
            if field in inlined:
                how = "inline"
            elif label == "one" and field in droppable and kind in EMPTY_WHEN_ZERO:
                how = "nonzero"
            rows[number] = [field, kind, how]
            if kind not in SCALARS:
                queue.append(kind)
        table[name] = {"list": rows["1"]} if name in go.lists else rows
    return dict(sorted(table.items()))


def omissions(go: GoTypes, kept: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Per definition the fields that are left out when zero or, for structs held by value, when empty."""
    result: dict[str, list[str]] = {}
    for name, schema in kept.items():
        message = "k8s.io." + name.removeprefix("io.k8s.")
        message = message if message in go.fields else re.sub(r"(apps|extensions)\.v1beta\d", "apps.v1", message)
        structs = {
            field
            for field, value in schema.get("properties", {}).items()
            if any(
                "properties" in kept[inner] for inner in references({k: v for k, v in value.items() if k != "items"})
            )
        }
        fields = (go.droppable(message) - structs) | (go.values(message) & structs)
        if fields := fields & set(schema.get("properties", {})):
            result[name] = sorted(fields)
    return result


def write(name: str, value: Any) -> None:
    """Compact JSON with a newline at the end."""
    path = DATA / name
    path.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=True) + "\n")
    print(f"{path.name}: {path.stat().st_size:,} bytes", file=sys.stderr)


def main() -> None:
    """Write both files."""
    DATA.mkdir(exist_ok=True)
    kinds = (*KINDS, *BODIES)
    # The package has no metrics: those schemas stand in the code.
    roots = [name for kind in kinds for name in kind.definitions.values() if name not in METRICS_DEFINITIONS]
    kept = closure(definitions(), [*roots, *EXTRA_ROOTS])
    go, messages = read_modules()
    write("builtin.json", {"definitions": kept, "omit": omissions(go, kept)})
    names = ["k8s.io." + name.removeprefix("io.k8s.") for name in roots]
    write("protobuf.json", protobuf_table(go, messages, [name for name in names if name in messages]))


if __name__ == "__main__":
    main()
