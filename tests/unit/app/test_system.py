"""The objects of plait's own control plane."""

from __future__ import annotations

import pytest

from plait.app.system import manifests


@pytest.mark.parametrize(("http", "https"), [(8080, 8443), (41000, 41001), (8443, 8080)])
def test_the_usual_ports_of_gateways_lead_to_the_gateway_whichever_the_host_had_free(http: int, https: int) -> None:
    (service,) = (
        obj
        for obj in manifests({"http": http, "https": https})
        if obj["kind"] == "Service" and obj["metadata"]["name"] == "istio-ingressgateway"
    )
    ports = service["spec"]["ports"]
    found = {port["port"]: port["targetPort"] for port in ports}
    assert len(found) == len(ports) == len({port["name"] for port in ports})
    assert (found[http], found[https], found[31400]) == (80, 443, 31400)
    assert {8080, 8443} <= found.keys()
