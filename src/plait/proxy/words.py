"""What Envoy says of configuration that it refuses, without what it prints beside the reason."""

from __future__ import annotations

import re
from typing import Final

#: Before a broken constraint Envoy prints the whole message, as protobuf's debug format begins it.
_PRINTED: Final = re.compile(r"goo\.gle/debug\w*\s.*?:\s+(?=Proto constraint validation failed)", re.DOTALL)
#: It sends the first 4096 bytes of what it has to say (`truncateGrpcStatusMessage`).
_CUT: Final = re.compile(r"goo\.gle/debug\w*\s.*\Z", re.DOTALL)
_ELSEWHERE: Final = (
    "a constraint of Envoy's is broken; which one stands in the log of the proxy (kubectl logs -c istio-proxy)"
)


def reason(words: str) -> str:
    """Envoy's words without the resource as text, behind which the reason is cut off wherever room is short."""
    return _CUT.sub(_ELSEWHERE, _PRINTED.sub("", words))
