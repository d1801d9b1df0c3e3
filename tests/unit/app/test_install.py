"""What `plait up` puts into a cluster."""

from __future__ import annotations

import json
from typing import Any

from plait.app.install import add_missing, bring_up_to_date
from plait.kube.errors import ApiError


class Api:
    """Objects by kind, namespace and name. `late`: what others make between our look and our write."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = {self._key(obj): obj for obj in objects}
        self.late: list[dict[str, Any]] = []

    @staticmethod
    def _key(obj: dict[str, Any]) -> tuple[str, str | None, str]:
        return obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]

    async def create(self, _kind: Any, obj: dict[str, Any]) -> None:
        self.objects |= {self._key(other): other for other in self.late}
        if self._key(obj) in self.objects:
            raise ApiError.of({"code": 409, "reason": "AlreadyExists", "message": "there"})
        self.objects[self._key(obj)] = obj

    async def patch(self, kind: Any, name: str, namespace: str | None, body: Any, *, type: str) -> None:  # noqa: A002
        assert type == "merge"
        if (kind.kind, namespace, name) not in self.objects:
            raise ApiError.of({"code": 404, "reason": "NotFound", "message": "not there"})
        self.objects[kind.kind, namespace, name] = {**self.objects[kind.kind, namespace, name], **body}


def config(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_what_is_there_already_is_the_users_and_stays() -> None:
    api = Api(config("a", mine="yes"))
    assert await add_missing(api, [config("a", theirs="yes"), config("b")]) == ["ConfigMap shop/b"]
    assert api.objects["ConfigMap", "shop", "a"]["data"] == {"mine": "yes"}
    annotations = api.objects["ConfigMap", "shop", "b"]["metadata"]["annotations"]
    assert json.loads(annotations["kubectl.kubernetes.io/last-applied-configuration"]) == config("b")
    assert await add_missing(api, [config("b")]) == []


async def test_what_is_plaits_own_is_brought_up_to_date_whoever_else_does_so() -> None:
    api = Api(config("a", old="yes"))
    api.late = [config("c", old="yes")]
    await bring_up_to_date(api, [config(name, new="yes") for name in "abc"])
    assert [api.objects["ConfigMap", "shop", name]["data"] for name in "abc"] == [{"new": "yes"}] * 3
