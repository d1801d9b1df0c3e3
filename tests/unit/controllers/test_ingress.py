"""Where Ingresses are reached, over an API in memory."""

from __future__ import annotations

from plait.kube.kinds import INGRESS, INGRESSCLASS, NAMESPACE, SERVICE

GATEWAY = {
    "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
    "spec": {"type": "LoadBalancer", "clusterIP": "10.42.128.2", "ports": [{"port": 80}]},
}


def ingress(name: str, chosen: str = "") -> dict:
    spec = {"ingressClassName": chosen} if chosen else {}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {**spec, "rules": []}}


def addresses(api, name: str) -> list:
    return ((api.find(INGRESS, name).get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


async def test_those_of_our_class_have_the_gateways_address_and_no_others(cluster) -> None:
    async with cluster() as api:
        await api.create(NAMESPACE, {"metadata": {"name": "istio-system"}})
        for name, controller in (("istio", "istio.io/ingress-controller"), ("nginx", "k8s.io/ingress-nginx")):
            await api.create(INGRESSCLASS, {"metadata": {"name": name}, "spec": {"controller": controller}})
        for name in ("istio", "nginx", "nobodys"):
            await api.create(INGRESS, ingress(name, name))
        await api.rest()
        assert addresses(api, "istio") == [], "there is no gateway yet"
        await api.create(SERVICE, GATEWAY)
        await api.until(lambda: addresses(api, "istio") == [{"ip": "127.0.0.1"}])
        await api.rest()
        assert (addresses(api, "nginx"), addresses(api, "nobodys")) == ([], [])
        await api.edit(INGRESS, "nginx", lambda obj: obj["spec"].update(ingressClassName="istio"))
        await api.edit(INGRESS, "istio", lambda obj: obj["spec"].update(ingressClassName="nginx"))
        await api.until(lambda: addresses(api, "nginx") == [{"ip": "127.0.0.1"}] and addresses(api, "istio") == [])
        await api.delete(SERVICE, "istio-ingressgateway", "istio-system")
        await api.until(lambda: addresses(api, "nginx") == [])
