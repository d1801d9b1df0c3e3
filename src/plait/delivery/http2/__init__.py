"""gRPC's bidirectional streams over HTTP/2 on asyncio, for the one method whose cost decides what a push costs.

`frames` and `fields` are pure: bytes to frames, header fields to a request. `framing` makes the bytes that are sent,
once for all connections. `connection` is one connection as a protocol of asyncio, `call` one stream of it, `transport`
the listening server.
"""

from plait.delivery.http2.transport import Http2Transport

__all__ = ["Http2Transport"]
