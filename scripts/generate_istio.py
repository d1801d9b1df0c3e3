"""Makes the API server's package data about Istio's kinds, `istio.json`, from Istio's own CRDs.

    .venv/bin/python scripts/generate_istio.py PATH/TO/crd-all.gen.yaml

The file is `manifests/charts/base/files/crd-all.gen.yaml` of the istio repository (Apache-2.0). Kept are names,
versions, printer columns and structural schemas with their validation rules (CEL text); descriptions are not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

#: Fields of Istio 1.0 that today's CRDs leave out, although manifests of the time have them and plait reads them.
OLD_FIELDS = {
    "VirtualService": [(("spec", "http", "fault", "abort", "percent"), {"format": "int32", "type": "integer"})],
}

#: What plait's messages in a status have beyond Istio's: without them it would say that something is wrong, not what.
MESSAGES = ("status", "validationMessages")
MESSAGE_FIELDS = ("message", "path")

DATA = Path(__file__).parents[1] / "src/plait/machine/api/schema/data"


def clean(schema: Any, *, names: bool = False) -> Any:
    """A schema without descriptions. `names` says that the keys of this object are names of properties."""
    if isinstance(schema, list):
        return [clean(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: clean(value, names=key == "properties" and not names)
        for key, value in sorted(schema.items())
        if names or key != "description"
    }


def add_field(schema: dict[str, Any], path: tuple[str, ...], field: dict[str, Any]) -> None:
    """Declare the property at `path`, through objects and lists of them."""
    for name in path[:-1]:
        schema = schema["properties"][name]
        schema = schema.get("items", schema)
    properties = schema["properties"]
    properties[path[-1]] = field
    schema["properties"] = dict(sorted(properties.items()))


def kind_of(crd: dict[str, Any], schemas: list[Any]) -> dict[str, Any]:
    """What the API server needs of one CRD; equal schemas are kept once, in `schemas`."""
    spec, names = crd["spec"], crd["spec"]["names"]
    versions = []
    for version in spec["versions"]:
        if not version["served"]:
            continue
        schema = clean(version["schema"]["openAPIV3Schema"])
        for path, field in OLD_FIELDS.get(names["kind"], []):
            add_field(schema, path, field)
        if MESSAGES[1] in schema["properties"].get(MESSAGES[0], {}).get("properties", {}):
            for field in MESSAGE_FIELDS:
                add_field(schema, (*MESSAGES, field), {"type": "string"})
        if schema not in schemas:
            schemas.append(schema)
        columns = [
            {key: value for key, value in column.items() if key != "description"}
            for column in version.get("additionalPrinterColumns", [])
        ]
        versions.append(
            {
                "name": version["name"],
                "schema": schemas.index(schema),
                "status": "status" in version.get("subresources", {}),
                "columns": columns,
            }
        )
    return {
        "group": spec["group"],
        "kind": names["kind"],
        "plural": names["plural"],
        "singular": names["singular"],
        "shortNames": names.get("shortNames", []),
        "categories": names.get("categories", []),
        "namespaced": spec["scope"] == "Namespaced",
        "versions": versions,
    }


def main() -> None:
    """Write the file."""
    documents = [item for item in yaml.safe_load_all(Path(sys.argv[1]).read_text()) if item]
    schemas: list[Any] = []
    kinds = sorted((kind_of(item, schemas) for item in documents), key=lambda item: (item["group"], item["kind"]))
    path = DATA / "istio.json"
    path.write_text(json.dumps({"kinds": kinds, "schemas": schemas}, separators=(",", ":"), ensure_ascii=True) + "\n")
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(kinds)} kinds", file=sys.stderr)


if __name__ == "__main__":
    main()
