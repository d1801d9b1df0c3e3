"""The old OpenAPI document, in the one form clients read it in, and empty.

kubectl validates what it can ask the server to validate; a file of kind List it cannot, and then it reads this
document and checks what it finds described there. Nothing is: every item of the List is validated by the server.
"""

from __future__ import annotations

from typing import Final

#: The media type of an `openapi.v2.Document` message of the gnostic project; asked for with `v2@v1.0`, which clients
#: could not parse in an answer.
OPENAPI_V2_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format, shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


_INFO: Final = _field(1, b"plait") + _field(2, b"v1")

#: swagger = 1, info = 2 {title = 1, version = 2}, paths = 8, definitions = 9.
OPENAPI_V2: Final = _field(1, b"2.0") + _field(2, _INFO) + _field(8, b"") + _field(9, b"")
