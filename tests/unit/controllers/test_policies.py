"""Policies of Istio 1.0 and the PeerAuthentications made of them, over an API in memory."""

from __future__ import annotations

from plait.kube.kinds import MESHPOLICY, NAMESPACE, PEERAUTHENTICATION, POLICY


def policy(kind, *, namespace: str = "", **mtls: str) -> dict:
    metadata = {"name": "default"} | ({"namespace": namespace} if namespace else {})
    spec = {"peers": [{"mtls": mtls}]}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


def mode(api, namespace: str) -> str:
    found = api.find(PEERAUTHENTICATION, "default", namespace)
    return found["spec"]["mtls"]["mode"] if found else ""


async def test_a_policy_of_the_mesh_becomes_one_in_the_root_namespace_and_goes_with_it(cluster) -> None:
    async with cluster() as api:
        await api.create(NAMESPACE, {"metadata": {"name": "istio-system"}})
        made = await api.create(MESHPOLICY, policy(MESHPOLICY))
        await api.until(lambda: mode(api, "istio-system") == "STRICT")
        (owner,) = api.find(PEERAUTHENTICATION, "default", "istio-system")["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("MeshPolicy", made["metadata"]["uid"], True)
        now = policy(MESHPOLICY, mode="PERMISSIVE")["spec"]
        await api.edit(MESHPOLICY, "default", lambda obj: obj.update(spec=now))
        await api.until(lambda: mode(api, "istio-system") == "PERMISSIVE")
        await api.delete(PEERAUTHENTICATION, "default", "istio-system")
        await api.until(lambda: mode(api, "istio-system") == "PERMISSIVE")


async def test_one_that_somebody_wrote_is_left_alone(cluster) -> None:
    async with cluster() as api:
        metadata = {"name": "default", "namespace": "shop"}
        mine = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata}
        await api.create(PEERAUTHENTICATION, {**mine, "spec": {"mtls": {"mode": "DISABLE"}}})
        await api.create(POLICY, policy(POLICY, namespace="shop"))
        await api.rest()
        assert mode(api, "shop") == "DISABLE"
        await api.delete(PEERAUTHENTICATION, "default", "shop")
        await api.until(lambda: mode(api, "shop") == "STRICT")
