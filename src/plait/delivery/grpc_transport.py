"""Transport over grpc.aio: messages stay bytes in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from plait.delivery.grpc_door import Door
from plait.rpc.stream import Message

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Mapping
    from typing import NoReturn

    from plait.rpc.stream import Handler, Refusal

#: A first request carries Envoy's list of extensions (60 KB) and, on a reconnect, a version for every resource.
_LARGEST_REQUEST = 16 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST_REQUEST),
    ("grpc.max_send_message_length", -1),
    # A proxy whose machine vanished is noticed within half a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Envoy pings too (its bootstrap says how often); do not take that for abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
)


class GrpcStream:
    """One call of the bidirectional method."""

    def __init__(self, context: Any, door: Door | None = None) -> None:
        self._context = context
        self._door = door
        self._metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}

    @property
    def metadata(self) -> Mapping[str, str]:
        """See Stream."""
        return self._metadata

    @property
    def peer_certificate(self) -> bytes | None:
        """See Stream."""
        return self._door.certificate(self._context.peer()) if self._door is not None else None

    async def receive(self) -> bytes | None:
        """See Stream."""
        message = await self._context.read()
        return None if message is grpc.aio.EOF else cast("bytes", message)

    async def listen(self, take: Callable[[bytes], None]) -> None:
        """See Stream."""
        while (message := await self.receive()) is not None:
            take(message)

    def offer(self, message: bytes | Message) -> bool:  # noqa: ARG002 -- gRPC does not say whether it would wait
        """See Stream."""
        return False

    async def send(self, message: bytes | Message) -> None:
        """See Stream."""
        try:
            await self._context.write(_plain(message))
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, grpc.aio.InternalError) as error:
            raise ConnectionError(str(error)) from error

    async def refuse(self, code: Refusal, reason: str) -> NoReturn:
        """See Stream."""
        await self._context.abort(grpc.StatusCode[code.name], reason)
        raise AssertionError("abort raises")


def _plain(message: bytes | Message) -> bytes:
    """As gRPC takes it; what goes to many is joined once."""
    if not isinstance(message, Message):
        return message
    if message.form is None:
        message.form = bytes(message)
    return cast("bytes", message.form)


def _served(handler: Handler, door: Door | None) -> Callable[[object, Any], Coroutine[Any, Any, None]]:
    async def call(_requests: object, context: Any) -> None:
        await handler(GrpcStream(context, door))

    return call


class GrpcTransport:
    """A server on one address, for example `0.0.0.0:15010` or `unix:/path`; `host:0` takes a free port.

    With `tls`, which is for addresses with a port only, the context must offer `h2` by ALPN.
    """

    def __init__(self, address: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._door = None if tls is None else Door(tls)

    async def serve(self, handlers: Mapping[str, Handler], *, started: Callable[[int], None]) -> None:
        """See Transport; raises OSError when the address cannot be bound."""
        server = grpc.aio.server(options=_OPTIONS)
        for path, handler in handlers.items():
            service, _, method = path.removeprefix("/").partition("/")
            call = grpc.stream_stream_rpc_method_handler(_served(handler, self._door))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: call}),))
        address = self._address if self._door is None else "127.0.0.1:0"
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        await server.start()
        try:
            async with contextlib.AsyncExitStack() as stack:
                if self._door is not None:
                    port = await stack.enter_async_context(self._door.open(self._address, port))
                started(port)
                # Not `wait_for_termination`: cancelling that makes `stop` return before the streams are closed.
                await asyncio.Event().wait()
        finally:
            # No grace: these streams never end by themselves, and proxies come back at once.
            await asyncio.shield(server.stop(None))
