"""What a proxy is sent, move by move, in both forms of SDS."""

from __future__ import annotations

import contextlib
import logging

import pytest
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from hypothesis import given
from hypothesis import strategies as st

from plait.agent import secrets as made
from plait.agent.secrets import TYPE, Secrets
from plait.agent.sessions import Delta, SessionError, Whole
from plait.kit.protowire import WireError


class Proxy:
    """Says requests to a session and reads what comes back."""

    def __init__(self, kind, *, ready: bool = True):
        self.secrets = Secrets()
        if ready:
            self.issue("1")
        self.session = kind(self.secrets, who="pod")
        self._request, self._response = (
            (DiscoveryRequest, DiscoveryResponse) if kind is Whole else (DeltaDiscoveryRequest, DeltaDiscoveryResponse)
        )

    def issue(self, text: str) -> None:
        self.secrets.put(made.roots(b"roots"), made.certificate(text.encode(), b"key"))

    def say(self, *, error: str = "", **fields) -> None:
        request = self._request(**{"type_url": TYPE, **fields})
        if error:
            request.error_detail.message = error
        self.session.take(request.SerializeToString())

    def hear(self):
        message = self.session.due()
        return None if message is None else self._response.FromString(message)


def chains(response) -> list[bytes]:
    found = [each if hasattr(each, "value") else each.resource for each in response.resources]
    return [Secret.FromString(each.value).tls_certificate.certificate_chain.inline_bytes for each in found]


def test_secrets_are_envoys_and_their_version_is_their_content() -> None:
    own = Secret.FromString(made.certificate(b"chain", b"key").encoded)
    assert (own.name, own.tls_certificate.certificate_chain.inline_bytes) == ("default", b"chain")
    assert own.tls_certificate.private_key.inline_bytes == b"key"
    roots = Secret.FromString(made.roots(b"pem").encoded)
    assert (roots.name, roots.validation_context.trusted_ca.inline_bytes) == ("ROOTCA", b"pem")
    assert made.roots(b"pem") == made.roots(b"pem")
    assert made.roots(b"pem").version != made.roots(b"other").version


def test_whole_is_sent_once_and_again_when_it_changes() -> None:
    proxy = Proxy(Whole)
    assert proxy.hear() is None, "nothing was asked for"
    proxy.say(resource_names=["default"])
    first = proxy.hear()
    assert chains(first) == [b"1"]
    assert proxy.hear() is None
    proxy.say(resource_names=["default"], response_nonce=first.nonce, version_info=first.version_info)
    proxy.issue("1")
    assert proxy.hear() is None, "it is the same one"
    proxy.issue("2")
    second = proxy.hear()
    assert chains(second) == [b"2"]
    assert second.nonce != first.nonce
    assert second.version_info != first.version_info


def test_whole_passes_over_what_speaks_of_an_earlier_response() -> None:
    proxy = Proxy(Whole)
    proxy.say(resource_names=["default"])
    first = proxy.hear()
    proxy.issue("2")
    proxy.hear()
    proxy.say(resource_names=[], response_nonce=first.nonce)
    proxy.issue("3")
    assert chains(proxy.hear()) == [b"3"], "it is wanted still"


def test_whole_waits_for_what_is_not_there_and_takes_any_first_nonce() -> None:
    proxy = Proxy(Whole, ready=False)
    proxy.say(resource_names=["default", "elsewhere"], response_nonce="of the stream before", version_info="x")
    assert proxy.hear() is None
    proxy.issue("1")
    assert chains(proxy.hear()) == [b"1"]


def test_whole_sends_all_when_more_is_wanted() -> None:
    proxy = Proxy(Whole)
    proxy.say(resource_names=["default"])
    first = proxy.hear()
    proxy.say(resource_names=["default", "ROOTCA"], response_nonce=first.nonce)
    assert [Secret.FromString(each.value).name for each in proxy.hear().resources] == ["default", "ROOTCA"]


def test_delta_sends_what_differs_from_what_the_proxy_holds() -> None:
    proxy = Proxy(Delta)
    held = proxy.secrets.get("default").version
    proxy.say(resource_names_subscribe=["default", "ROOTCA"], initial_resource_versions={"default": held})
    first = proxy.hear()
    assert [each.name for each in first.resources] == ["ROOTCA"]
    proxy.say(response_nonce=first.nonce)
    assert proxy.hear() is None
    proxy.issue("2")
    (second,) = proxy.hear().resources
    assert (second.name, second.version) == ("default", proxy.secrets.get("default").version)


def test_delta_sends_again_what_is_asked_for_again_and_nothing_that_is_not_wanted() -> None:
    proxy = Proxy(Delta)
    proxy.say(resource_names_subscribe=["default"])
    proxy.hear()
    proxy.say(resource_names_subscribe=["default"])
    assert chains(proxy.hear()) == [b"1"]
    proxy.say(resource_names_unsubscribe=["default"])
    proxy.issue("2")
    assert proxy.hear() is None
    proxy.say(resource_names_subscribe=["kubernetes://x"])
    assert list(proxy.hear().removed_resources) == ["kubernetes://x"]
    assert proxy.hear() is None


@pytest.mark.parametrize("kind", [Whole, Delta])
def test_a_refusal_is_logged_with_its_reason_and_not_answered(kind, caplog) -> None:
    proxy = Proxy(kind)
    names = {"resource_names": ["default"]}
    proxy.say(**(names if kind is Whole else {"resource_names_subscribe": ["default"]}))
    sent = proxy.hear()
    with caplog.at_level(logging.WARNING):
        proxy.say(response_nonce=sent.nonce, error="no such curve", **(names if kind is Whole else {}))
    assert "pod: the proxy refused default: no such curve" in caplog.text
    assert proxy.hear() is None
    proxy.issue("2")
    assert chains(proxy.hear()) == [b"2"]


@pytest.mark.parametrize("kind", [Whole, Delta])
def test_other_types_are_refused(kind) -> None:
    with pytest.raises(SessionError, match="only secrets"):
        Proxy(kind).say(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster")


@given(st.lists(st.binary(max_size=60), max_size=5), st.sampled_from([Whole, Delta]))
def test_rubbish_is_refused_and_nothing_else_happens(messages, kind) -> None:
    proxy = Proxy(kind)
    for message in messages:
        with contextlib.suppress(WireError, SessionError):
            proxy.session.take(message)
        proxy.hear()
