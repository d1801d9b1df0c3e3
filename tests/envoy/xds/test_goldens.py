"""Objects in, Envoy resources out: one feature for each file, reviewed like code, and loaded by a real Envoy.

`testdata/NAME.in.yaml` begins with a document {proxy, show}: who asks, and which resources (by glob on their names) the
file is about. `testdata/NAME.out.yaml` is what they must be. `--update-goldens` writes the outputs anew.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from plait.api.problem import Level

TESTDATA = Path(__file__).parent / "testdata"
CASES = sorted(path.name.removesuffix(".in.yaml") for path in TESTDATA.glob("*.in.yaml"))


RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
#: As each slot has to be: of its own type or nothing, from the proxy's one stream, waited for without a limit.
SLOTTED = {
    name: {
        "name": name,
        "configDiscovery": {
            "configSource": {"ads": {}, "initialFetchTimeout": "0s", "resourceApiVersion": "V3"},
            "typeUrls": types,
        },
    }
    for name, types in {
        "envoy.filters.http.rbac.custom": [RBAC],
        "envoy.filters.http.ext_authz.custom": [
            "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", RBAC,
        ],
        "envoy.filters.http.jwt_authn.tokens": [
            "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", RBAC,
        ],
        "envoy.filters.http.rbac.audit": [RBAC],
        "envoy.filters.http.rbac.deny": [RBAC],
        "envoy.filters.http.rbac.allow": [RBAC],
    }.items()
}  # fmt: skip
#: Fields that are maps: protobuf gives them no order.
MAPS = {
    "filterMetadata", "jsonFormat", "policies", "providers", "typedExtensionProtocolOptions", "typedPerFilterConfig",
}  # fmt: skip


def plain(value: Any, *, ordered: bool = True) -> Any:
    """Ordered dicts as dicts, for YAML; what is a map, by key."""
    if isinstance(value, dict):
        items = value.items() if ordered else sorted(value.items())
        # The policies of load balancers are a list.
        maps = {key for key, item in items if key in MAPS and isinstance(item, dict)}
        return {key: plain(item, ordered=ordered and key not in maps) for key, item in items}
    return [plain(item, ordered=ordered) for item in value] if isinstance(value, list) else value


def slotted(value: Any) -> Any:
    """Slots of connection managers, of which there are many and all are alike, by their names alone."""
    if isinstance(value, dict):
        if value.get("name") in SLOTTED and value == SLOTTED[value["name"]]:
            return {"slot": value["name"]}
        return {key: slotted(item) for key, item in value.items()}
    return [slotted(item) for item in value] if isinstance(value, list) else value


def shown(mesh: SimpleNamespace, proxy: Any, globs: list[str]) -> str:
    result = {}
    for url, resources in proxy.messages.items():
        kind = url.rpartition(".")[2]
        for name in sorted(resources):
            if any(fnmatchcase(f"{kind}/{name}", glob) for glob in globs):
                result.setdefault(kind, []).append(slotted(plain(mesh.dict(resources[name]))))
    problems = [
        f"{problem.level.value}: {problem}"
        for found in proxy.engine.problems().values()
        for problem in found
        if problem.level is not Level.INFO
    ]
    if problems:
        result["problems"] = sorted(problems)
    return yaml.safe_dump(result, sort_keys=False, width=110)


@pytest.mark.envoy
@pytest.mark.parametrize("case", CASES)
def test_generated_resources_are_as_reviewed_and_envoy_takes_them(
    case: str,
    mesh: SimpleNamespace,
    accepted_by_envoy: Callable[[dict[str, Any]], None],
    request: pytest.FixtureRequest,
) -> None:
    header, *objects = (doc for doc in yaml.safe_load_all((TESTDATA / f"{case}.in.yaml").read_text()) if doc)
    asking = header["proxy"]
    node = mesh.node(
        kind=asking.get("kind", "sidecar"),
        ip="10.42.0.2",
        pod="caller",
        namespace=asking["namespace"],
        labels=tuple(sorted(asking.get("labels", {}).items())),
        certificates=asking.get("certificates", False),
    )
    proxy = mesh.proxy(objects, node, mesh.config(**header.get("mesh", {})))
    text = shown(mesh, proxy, header["show"])
    expected = TESTDATA / f"{case}.out.yaml"
    if request.config.getoption("--update-goldens", default=False):
        expected.write_text(text)
    accepted_by_envoy(proxy.bootstrap())
    assert text == expected.read_text()
