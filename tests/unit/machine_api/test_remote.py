"""exec and attach through the API to a fake node: with kubectl over WebSocket and SPDY, with channels, with base64."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import WSServerHandshakeError

from plait.machine import frames

KUBECTL = str(Path(sys.executable).parent / "kubectl")
ADMIN = {"Authorization": "Bearer admin-token"}
EXEC = "/api/v1/namespaces/default/pods/p/exec"
ATTACH = "/api/v1/namespaces/default/pods/p/attach"


class FrameNode:
    """Echoes stdin until its end, then exits with the number in the command's second word."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.sizes: list[bytes] = []
        self.gone = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
            self.targets.append(target)
            if "/waiting" in target:
                body = json.dumps({"code": 404, "reason": "NotFound", "message": "it is not running"}).encode()
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                return
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: frames\r\n\r\n")
            await self._talk(parse_qsl(urlsplit(target).query), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the API has gone: its client had enough
        finally:
            self.gone.set()
            writer.close()

    async def _talk(
        self, query: list[tuple[str, str]], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        command = [value for name, value in query if name == "command"]
        writer.write(frames.encode(frames.STDOUT, b"hello "))
        decoder, reading = frames.Decoder(), ("stdin", "true") in query
        while reading:
            piece = await reader.readexactly(1) + await reader.read(65536) if not reader.at_eof() else b""
            for frame in decoder.feed(piece):
                if frame.channel == frames.STDIN:
                    writer.write(frames.encode(frames.STDOUT, frame.data))
                    await writer.drain()
                elif frame.channel == frames.RESIZE:
                    self.sizes.append(frame.data)
                reading = reading and frame.channel != frames.STDIN_END
        if ("stderr", "true") in query:
            writer.write(frames.encode(frames.STDERR, b"oops"))
        code = command[1] if len(command) > 1 else "0"
        status: dict[str, Any] = {"metadata": {}, "status": "Success"}
        if code != "0":
            causes = {"causes": [{"reason": "ExitCode", "message": code}]}
            status = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "details": causes}
        writer.write(frames.encode(frames.STATUS, json.dumps(status).encode()))
        await writer.drain()


@pytest.fixture
async def frame_node(cluster: Any) -> AsyncIterator[FrameNode]:
    made = FrameNode()
    async with await asyncio.start_unix_server(made.handle, str(cluster.node_socket)):
        yield made


async def kubectl(cluster: Any, *arguments: str, stdin: bytes = b"", websockets: bool = True) -> tuple[int, bytes, str]:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        executable=KUBECTL,
        env={**cluster.environment(), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": str(websockets).lower()},
    )
    out, err = await process.communicate(stdin)
    return process.returncode or 0, out, err.decode()


@pytest.mark.parametrize("websockets", [True, False])
async def test_output_errors_and_exit_code(cluster: Any, frame_node: Any, pod: Any, websockets: bool) -> None:
    code, out, err = await kubectl(cluster, "exec", "p", "--", "exit", "3", websockets=websockets)
    assert (code, out) == (3, b"hello ")
    assert "oops" in err
    assert frame_node.targets == ["/exec/default/p/app?stdout=true&stderr=true&command=exit&command=3"]


@pytest.mark.parametrize("websockets", [True, False])
async def test_megabytes_go_in_and_out(cluster: Any, frame_node: Any, pod: Any, websockets: bool) -> None:
    sent = bytes(range(256)) * 12_000
    code, out, err = await kubectl(cluster, "exec", "-i", "p", "--", "cat", stdin=sent, websockets=websockets)
    assert code == 0, err
    assert out == b"hello " + sent


async def test_attach_asks_for_the_container_itself(cluster: Any, frame_node: Any, pod: Any) -> None:
    code, out, err = await kubectl(cluster, "attach", "p", "-c", "app")
    assert (code, out) == (0, b"hello "), err
    assert frame_node.targets == ["/attach/default/p/app?stdout=true&stderr=true"]


@pytest.mark.parametrize("protocols", [("v4.channel.k8s.io",), ()])
async def test_channels_as_python_clients_speak_them(cluster: Any, frame_node: Any, pod: Any, protocols: Any) -> None:
    query = "command=sh&command=2&stdin=true&stdout=true&stderr=true&tty=True"
    async with cluster.session.ws_connect(f"{cluster.url}{EXEC}?{query}", headers=ADMIN, protocols=protocols) as socket:
        assert await socket.receive_bytes() == b"\1hello "
        await socket.send_bytes(b'\4{"Width":80,"Height":24}')
        await socket.send_bytes(b"\0abc")
        assert await socket.receive_bytes() == b"\1abc"
        await socket.send_bytes(b"\xff\0")
        status = await socket.receive_bytes()
    assert status[:1] == b"\3"
    assert json.loads(status[1:])["details"]["causes"][0]["message"] == "2"
    assert frame_node.sizes == [b'{"Width":80,"Height":24}']
    assert "stderr" not in frame_node.targets[0], "a terminal has one output"


async def test_base64_channels(cluster: Any, frame_node: Any, pod: Any) -> None:
    where = f"{cluster.url}{EXEC}?command=sh&stdin=true&stdout=true"
    async with cluster.session.ws_connect(where, headers=ADMIN, protocols=("v4.base64.channel.k8s.io",)) as socket:
        assert await socket.receive_str() == "1" + base64.b64encode(b"hello ").decode()
        await socket.send_str("0" + base64.b64encode(b"abc").decode())
        assert await socket.receive_str() == "1" + base64.b64encode(b"abc").decode()


async def test_when_the_client_goes_the_node_learns_of_it(cluster: Any, frame_node: Any, pod: Any) -> None:
    where = f"{cluster.url}{EXEC}?command=sh&stdin=true&stdout=true"
    async with cluster.session.ws_connect(where, headers=ADMIN) as socket:
        await socket.receive_bytes()
        assert not frame_node.gone.is_set()
    async with asyncio.timeout(60):
        await frame_node.gone.wait()


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ("stdout=true", 400, "you must specify at least one command for the container"),
        ("command=ls", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("command=ls&stdout=true&container=nope", 400, "container nope is not valid for pod p"),
        ("command=ls&stdout=true&container=waiting", 404, "it is not running"),
    ],
)
@pytest.mark.usefixtures("frame_node", "pod")
async def test_what_cannot_be_done_is_refused_before_the_upgrade(
    cluster: Any, query: str, code: int, says: str
) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X_Stream_Protocol_Version": "v4.channel.k8s.io"}
    status, body, _ = await cluster.ask("POST", f"{EXEC}?{query}", **upgrade)
    assert status == code
    assert says in body["message"]


async def test_who_may_only_look_may_not_step_in(cluster: Any, frame_node: Any, pod: Any) -> None:
    for path in (EXEC, ATTACH):
        with pytest.raises(WSServerHandshakeError) as refused:
            await cluster.session.ws_connect(
                f"{cluster.url}{path}?command=sh&stdout=true", headers={"Authorization": "Bearer viewer-token"}
            )
        assert refused.value.status == 403
