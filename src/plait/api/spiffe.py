"""SPIFFE identities as Istio writes them: `spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SCHEME: Final = "spiffe://"
DEFAULT_TRUST_DOMAIN: Final = "cluster.local"
#: SPIFFE-ID, section 2.1: no port, no user, lower case.
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_WORKLOAD: Final = re.compile(r"spiffe://([^/]+)/ns/([A-Za-z0-9._-]+)/sa/([A-Za-z0-9._-]+)")


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """Who a workload is: its service account, in a trust domain."""

    trust_domain: str
    namespace: str
    service_account: str

    @property
    def uri(self) -> str:
        """As it stands in a certificate."""
        return f"{SCHEME}{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


def parse_identity(uri: str) -> WorkloadIdentity | None:
    """The workload that a URI names; None for another kind of identity."""
    match = _WORKLOAD.fullmatch(uri)
    return WorkloadIdentity(match[1], match[2], match[3]) if match and is_trust_domain(match[1]) else None


def is_trust_domain(text: str) -> bool:
    """Whether certificates can carry it."""
    return _TRUST_DOMAIN.fullmatch(text) is not None
