"""Which ciphers and curves either end of TLS agrees to, where somebody says so."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters

from plait.api.validate.gateway import CIPHERS, CURVES


def restrict(parameters: TlsParameters, ciphers: Iterable[str], curves: Iterable[str]) -> None:
    """Only these, each once; none: Envoy's own. Envoy would refuse all for one that it does not know."""
    parameters.cipher_suites.extend(dict.fromkeys(name for name in ciphers if name in CIPHERS))
    parameters.ecdh_curves.extend(dict.fromkeys(name for name in curves if name in CURVES))
