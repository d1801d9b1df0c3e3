"""gRPC's streams over HTTP/2 on asyncio, without gRPC's library: small, and quick where it decides what a push costs.

`frames` and `fields` are pure: bytes to frames, header fields to a request. `framing` makes the bytes that are sent,
once for all connections. `stream` says what a handler sees. `connection` is one connection as a protocol of asyncio,
`call` one stream of it, `server` what listens, `client` who calls.
"""

from plait.rpc.server import Door, Http2Transport, Server

__all__ = ["Door", "Http2Transport", "Server"]
