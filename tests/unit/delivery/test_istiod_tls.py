"""istiod's port with TLS, by gRPC's own client: certificates are asked for there, and are who a proxy is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import os
import signal

import grpc.aio
import pytest
from cryptography import x509
from tests.unit.citadel.authorities import plugged_in, signing_request
from tests.unit.delivery.test_istiod import CLUSTER, Api, Istiod, Proxy, api, channel, istiod

from plait.api.certificate_service import METHOD, CertificateRequest, decode_response, encode_request
from plait.citadel.authority import Authority, make_pems
from plait.kit.certificates import key_pem, new_key, pem, read_certificates
from plait.xds.resource import CDS, EDS

__all__ = ["api", "istiod"]

both = pytest.mark.parametrize("istiod", ["http2", "grpc"], indirect=True)
GOOD = (("authorization", "Bearer good"),)


def root(api: Api) -> bytes:
    """What a pod of the namespace finds."""
    return api.objects["configmaps"]["shop/istio-ca-root-cert"]["data"]["root-cert.pem"].encode()


async def ask(
    port: int, csr: str, tls: grpc.ChannelCredentials | None, metadata=(), seconds: int = 0
) -> tuple[str, ...]:
    async with channel(port, tls) as connection:
        message = encode_request(CertificateRequest(csr, seconds))
        answer = await connection.unary_unary(METHOD)(message, metadata=metadata, timeout=60)
    return decode_response(answer)


def uris(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


@both
async def test_a_token_gets_a_certificate_and_that_gets_configuration_and_the_next(api: Api, istiod: Istiod) -> None:
    await istiod.until("/metrics", lambda _: "shop/istio-ca-root-cert" in api.objects.get("configmaps", {}))
    trust, key = root(api), new_key()
    csr = signing_request(key, uri="spiffe://cluster.local/ns/istio-system/sa/istiod")
    chain = await ask(istiod.secure, csr, grpc.ssl_channel_credentials(trust), GOOD)
    (leaf,) = read_certificates(chain[0].encode())
    assert uris(leaf) == ["spiffe://cluster.local/ns/shop/sa/default"]
    assert chain[-1].encode() == trust

    shown = grpc.ssl_channel_credentials(trust, key_pem(key), chain[0].encode())
    async with Proxy(istiod.secure, token="", tls=shown) as proxy:
        await proxy.until(lambda: CLUSTER in proxy.known[CDS])
    again = await ask(istiod.secure, signing_request(), shown, seconds=600)
    (renewed,) = read_certificates(again[0].encode())
    assert uris(renewed) == ["spiffe://cluster.local/ns/shop/sa/default"]
    assert renewed.not_valid_after_utc - leaf.not_valid_before_utc < dt.timedelta(minutes=15)
    metrics = await istiod.until("/metrics", lambda text: "citadel_server_success_cert_issuance_count 2" in text)
    assert "citadel_server_csr_count 2" in metrics
    assert "citadel_server_root_cert_expiry_timestamp " in metrics


@both
async def test_a_token_is_enough_for_configuration(api: Api, istiod: Istiod) -> None:
    await istiod.until("/metrics", lambda _: "shop/istio-ca-root-cert" in api.objects.get("configmaps", {}))
    async with Proxy(istiod.secure, tls=grpc.ssl_channel_credentials(root(api))) as proxy:
        await proxy.until(lambda: CLUSTER in proxy.known[CDS])


@both
async def test_who_is_refused(api: Api, istiod: Istiod) -> None:
    await istiod.until("/metrics", lambda _: "shop/istio-ca-root-cert" in api.objects.get("configmaps", {}))
    trust = root(api)
    anybody = grpc.ssl_channel_credentials(trust)
    for metadata, says in (((), "no bearer token"), ((("authorization", "Bearer bad"),), "was not accepted")):
        with pytest.raises(grpc.aio.AioRpcError, match=says) as caught:
            await ask(istiod.secure, signing_request(), anybody, metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.aio.AioRpcError, match="not a signing request") as caught:
        await ask(istiod.secure, "rubbish", anybody, GOOD)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(istiod.xds, signing_request(), None, GOOD)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, "not without TLS"
    now = dt.datetime.now(dt.UTC)
    stranger, key = Authority.load(make_pems("cluster.local", now), now), new_key()
    forged = stranger.certify(key.public_key(), "spiffe://cluster.local/ns/shop/sa/default", now=now)
    shown = grpc.ssl_channel_credentials(trust, key_pem(key), pem(forged))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(istiod.secure, signing_request(), shown, GOOD)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await istiod.until("/metrics", lambda text: "citadel_server_authentication_failure_count 2" in text)


def settings(text: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": text},
    }


async def until_signed(istiod: Istiod, api: Api, wanted) -> tuple[str, ...]:
    """Ask until the answer is as wanted: what an object says reaches delivery a moment later."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                chain = await ask(istiod.secure, signing_request(), grpc.ssl_channel_credentials(root(api)), GOOD)
                if wanted(chain):
                    return chain
            await asyncio.sleep(0.02)


async def test_the_trust_domain_is_the_meshs_and_its_aliases_are_ours_too(api: Api, istiod: Istiod) -> None:
    await istiod.until("/metrics", lambda _: "shop/istio-ca-root-cert" in api.objects.get("configmaps", {}))
    trust, key = root(api), new_key()
    (old, *_) = await ask(istiod.secure, signing_request(key), grpc.ssl_channel_credentials(trust), GOOD)
    shown = grpc.ssl_channel_credentials(trust, key_pem(key), old.encode())

    def of(domain: str):
        return lambda chain: uris(read_certificates(chain[0].encode())[0]) == [f"spiffe://{domain}/ns/shop/sa/default"]

    api.put("configmaps", settings("trustDomain: prod.example\ntrustDomainAliases: [cluster.local]\n"))
    await until_signed(istiod, api, of("prod.example"))
    (renewed, *_) = await ask(istiod.secure, signing_request(), shown)
    assert of("prod.example")((renewed,)), "one of before proves who its owner is, and is renewed under the new name"
    api.put("configmaps", settings("trustDomain: 5\n"))
    api.put("configmaps", settings("trustDomain: other.example\n"))
    await until_signed(istiod, api, of("other.example"))
    with pytest.raises(grpc.aio.AioRpcError, match=r"trust domains here: other\.example") as caught:
        await ask(istiod.secure, signing_request(), shown)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_plugged_in_authority_is_taken_by_all_parts_and_no_stream_is_lost(api: Api, istiod: Istiod) -> None:
    await istiod.until("/metrics", lambda _: "shop/istio-ca-root-cert" in api.objects.get("configmaps", {}))
    pems = plugged_in(dt.datetime.now(dt.UTC))
    files = {"ca-cert.pem": pems.certificate, "ca-key.pem": pems.key, "root-cert.pem": pems.roots}
    data = {key: base64.b64encode(text).decode() for key, text in files.items()}
    meta = {"name": "cacerts", "namespace": "istio-system"}
    async with Proxy(istiod.secure, tls=grpc.ssl_channel_credentials(root(api))) as proxy:
        await proxy.until(lambda: CLUSTER in proxy.known[CDS])
        api.put("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
        chain = await until_signed(istiod, api, lambda chain: len(chain) == 3)
        assert chain[-1].encode() == pems.roots == root(api)
        await proxy.subscribe(EDS, CLUSTER)
        await proxy.until(lambda: proxy.known[EDS])


async def test_a_delivery_process_that_died_signs_again(api: Api, istiod: Istiod) -> None:
    await istiod.until("/metrics", lambda _: "shop/istio-ca-root-cert" in api.objects.get("configmaps", {}))
    trust = root(api)
    await until_signed(istiod, api, bool)
    await istiod.until("/metrics", lambda text: "citadel_server_success_cert_issuance_count 1" in text)
    os.kill(istiod.delivery(), signal.SIGKILL)
    await istiod.until("/metrics", lambda text: "plait_delivery_starts_total 2" in text)
    await until_signed(istiod, api, lambda chain: chain[-1].encode() == trust)
    await istiod.until("/metrics", lambda text: "citadel_server_success_cert_issuance_count 2" in text)
    assert list(api.objects["secrets"]) == ["istio-system/istio-ca-secret"]
