"""What probes and lifecycle hooks do inside a pod: an HTTP request, a connection, a command."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.machine.node.netns import connect_in
from plait.machine.node.probes import port_number
from plait.machine.node.script import exec_command, exec_script
from plait.machine.settings import TOOLS

if TYPE_CHECKING:
    from plait.machine.node.security import Identity

#: As much of a command's output or an HTTP body as an event can carry.
_KEPT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether an action succeeded, and what it said."""

    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an action takes place: a container that runs. `joins` are of its control groups (see `script`)."""

    pause: int
    inner: int
    ip: str
    container: Mapping[str, Any]
    identity: Identity
    env: Mapping[str, str]
    workdir: str
    joins: tuple[str, ...] = ()


async def perform(action: Mapping[str, Any], place: Place, *, timeout: float) -> Outcome:  # noqa: ASYNC109
    """Do what a probe or hook says, within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            if http := action.get("httpGet"):
                return await _http(http, place)
            if tcp := action.get("tcpSocket"):
                return await _tcp(tcp, place)
            if command := action.get("exec"):
                return await _exec(command.get("command") or (), place)
            if grpc := action.get("grpc"):
                return await _tcp(grpc, place)
            if sleep := action.get("sleep"):
                await asyncio.sleep(float(sleep.get("seconds") or 0))
                return Outcome(ok=True)
    except TimeoutError:
        return Outcome(ok=False, message=_timed_out(action, timeout))
    return Outcome(ok=False, message="no action: write httpGet, tcpSocket or exec")


async def http_status(
    pid: int, host: str, port: int, path: str, *, method: str = "GET", headers: Mapping[str, str], tls: bool = False
) -> tuple[int, bytes]:
    """One request from inside a network namespace: status code and the beginning of the body. Raises OSError."""
    sock = await connect_in(pid, host, port)
    context = None
    if tls:
        # As the kubelet does: a probe asks whether the server answers, not who it is.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="" if tls else None)
    except BaseException:
        sock.close()
        raise
    try:
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        await writer.drain()
        status = await reader.readline()
        words = status.split(maxsplit=2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise ConnectionError(f"not an HTTP answer: {status[:80]!r}" if status else "EOF")
        while (line := await reader.readline()) not in {b"\r\n", b"\n", b""}:
            if len(line) > _KEPT:
                raise ConnectionError("a header line is too long")
        return int(words[1]), await reader.read(_KEPT) if int(words[1]) >= 400 else b""
    except ValueError as error:  # a line beyond the reader's limit
        raise ConnectionError(str(error)) from error
    finally:
        writer.transport.abort()


async def _http(http: Mapping[str, Any], place: Place) -> Outcome:
    port = port_number(http.get("port"), place.container)
    if port is None:
        return Outcome(ok=False, message=f"port {http.get('port')!r} is none of the container's ports")
    scheme, host, path = (http.get("scheme") or "HTTP").upper(), http.get("host") or place.ip, http.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    headers = {
        "Host": f"{host}:{port}",
        "User-Agent": "kube-probe/1.36",
        "Accept": "*/*",
        "Connection": "close",
    }
    for header in http.get("httpHeaders") or ():
        headers[header["name"].title() if header["name"].lower() == "host" else header["name"]] = header["value"]
    url = f"{scheme.lower()}://{host}:{port}{path}"
    try:
        code, _ = await http_status(place.pause, host, port, path, headers=headers, tls=scheme == "HTTPS")
    except OSError as error:
        return Outcome(ok=False, message=f'Get "{url}": {_network_error(error, host, port)}')
    return Outcome(ok=200 <= code < 400, message=f"HTTP probe failed with statuscode: {code}")


async def _tcp(tcp: Mapping[str, Any], place: Place) -> Outcome:
    port = port_number(tcp.get("port"), place.container)
    if port is None:
        return Outcome(ok=False, message=f"port {tcp.get('port')!r} is none of the container's ports")
    host = tcp.get("host") or place.ip
    try:
        (await connect_in(place.pause, host, port)).close()
    except OSError as error:
        return Outcome(ok=False, message=_network_error(error, host, port))
    return Outcome(ok=True)


async def _exec(command: Sequence[str], place: Place) -> Outcome:
    if not command:
        return Outcome(ok=False, message="exec: command is empty")
    script = exec_script(argv=command, env=place.env, workdir=place.workdir, setpriv=place.identity.setpriv())
    process = await asyncio.create_subprocess_exec(
        *exec_command(place.inner, place.joins),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": TOOLS},
    )
    output = b""
    try:
        if process.stdin is not None:
            process.stdin.write(script.encode("utf-8", "surrogateescape"))
            process.stdin.close()
        while process.stdout is not None and (chunk := await process.stdout.read(4096)):
            output = (output + chunk)[:_KEPT]
        code = await process.wait()
    finally:
        if process.returncode is None:
            # The program inside asked for SIGKILL when its nsenter ends.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Outcome(ok=code == 0, message=output.decode("utf-8", "replace"))


def _network_error(error: OSError, host: str, port: int) -> str:
    words: dict[type[OSError], str] = {
        ConnectionRefusedError: "connect: connection refused",
        ConnectionResetError: "read: connection reset by peer",
    }
    return f"dial tcp {host}:{port}: {words.get(type(error)) or error.strerror or error}"


def _timed_out(action: Mapping[str, Any], timeout: float) -> str:
    if exec_ := action.get("exec"):
        return f"command timed out: {' '.join(exec_.get('command') or ())!r} timed out after {timeout:g}s"
    return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
