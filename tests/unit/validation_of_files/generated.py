"""Objects of every kind that Istio has: mostly of the right shape, with values that people and fuzzers write."""

from __future__ import annotations

import random
from typing import Any

from plait.machine.api.schema import Schemas, ServedKind

TEXTS = (
    "", " ", "a", "v1", "*", "*.", "*.a.b", "a.b", "a..b", "a.b.", "-a", "a" * 64, "a" * 300, ".", "~", "*/*", "./*",
    "~/*", "ns/a.b", "/", "//", "a/b/c", "1.1.1.1", "1.1.1.1/8", "10.0.0.0/33", "::1", "2001:db8::/32", "[::1]:80",
    "unix:///a", "unix://@a", "unix://a/", "0s", "1s", "1ms", "5us", "1.5s", "-1s", "1d", "soon", "9999999999h",
    "1e3s", "80", "0", "65536", "-1", "on", "null", "true", "%", "%%", "%REQ(a)%", "%START_TIME%", "(", "[a-",
    "a{2,1}", "(?=x)", "\\C", "(a+)+$", "x" * 5000, "\x00", "\n", "\r\n", "é", "😀", "http://a", "http://a:x",
    "https://a/b", "oci://a", ":path", "a b", "5xx,reset", "999", "SameSite", "request.headers[a]", "request.headers[",
    "source.ip", "response.code >= 400", "{*}", "/a/{**}/b", '{"keys":[]}', "{", "TLSV1_0", "ISTIO_MUTUAL", "mesh",
    "default",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 80, 100, 101, 200, 599, 600, 1337, 15001, 65535, 65536, 2**31, 2**32, 2**63, 2**64, -(2**63))
FLOATS = (0.0, 0.5, -0.5, 100.0, 100.1, 1e308, float("inf"), float("nan"))
_DEEPEST = 9


class Generator:
    """Values after a schema; one seed, one sequence."""

    def __init__(self, schemas: Schemas, seed: int) -> None:
        self._chance = random.Random(seed)
        self._schemas = schemas
        self._kinds = [kind for kind in schemas.kinds if kind.custom]

    def object(self) -> dict[str, Any]:
        """An object of one of the kinds."""
        kind: ServedKind = self._chance.choice(self._kinds)
        version = self._chance.choice(kind.served_versions)
        made: dict[str, Any] = {"apiVersion": f"{kind.group}/{version}", "kind": kind.kind}
        schema = self._schemas.type_of(kind, made).schema or {}
        made["metadata"] = {"name": self._chance.choice(("a", "b", "default")), "namespace": "shop"}
        if self._chance.random() < 0.1:
            made["metadata"]["annotations"] = {"istio.io/dry-run": self._text()}
        made["spec"] = self._value(schema.get("properties", {}).get("spec", {}), 0)
        return made

    def _value(self, schema: dict[str, Any], depth: int) -> Any:
        if self._chance.random() < 0.01 or depth > _DEEPEST:
            return self._anything()
        if "enum" in schema and self._chance.random() < 0.9:
            return self._chance.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                return [
                    self._value(schema.get("items", {}), depth + 1) for _ in range(self._chance.choice((0, 1, 1, 2)))
                ]
            case "string":
                return self._text()
            case "integer":
                return self._chance.choice(NUMBERS)
            case "number":
                return self._chance.choice((*NUMBERS, *FLOATS))
            case "boolean":
                return self._chance.random() < 0.5
        return self._anything()

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        required = schema.get("required", ())
        for name, inner in schema.get("properties", {}).items():
            if self._chance.random() < (0.9 if name in required else 0.35 if depth < 2 else 0.2):
                made[name] = self._value(inner, depth + 1)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for _ in range(self._chance.choice((0, 1, 2))):
                made[self._text()] = self._value(extra, depth + 1)
        if self._chance.random() < 0.01:
            made[self._text()] = self._anything()
        return made

    def _text(self) -> str:
        if self._chance.random() < 0.001:
            return "\ud800"
        return self._chance.choice(TEXTS)

    def _anything(self) -> Any:
        plain = (None, True, 0, -1, 1.5, "", "a", [], {}, [None], {"a": None}, [[]], {"": {"": []}})
        return self._chance.choice(plain)
