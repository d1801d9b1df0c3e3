"""HTTP/1.1 to a scratch Envoy: many requests on one connection, written ahead of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plait.simulate.call import Call
from plait.trial.connection import Connection


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer; names in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


def request(call: Call) -> bytes:
    """A call as HTTP/1.1."""
    target = call.host if call.method == "CONNECT" else call.path
    lines = [f"{call.method} {target} HTTP/1.1", f"host: {call.host}"]
    lines += [f"{name}: {value}" for name, values in call.headers.items() for value in values]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def requests(calls: Sequence[Call]) -> bytes:
    """Several, one behind the other."""
    return b"".join(request(call) for call in calls)


async def answers(connection: Connection, calls: Sequence[Call]) -> list[Answer]:
    """The answers in order; fewer where the other end closed before it came to the rest."""
    reader = _Reader(connection)
    found: list[Answer] = []
    for call in calls:
        answer = await reader.answer(call.method)
        if answer is None:
            break
        found.append(answer)
    return found


class _Reader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._data = b""

    async def answer(self, method: str) -> Answer | None:
        head = await self._until(b"\r\n\r\n")
        if head is None:
            return None
        answer = read_head(head)
        if method == "HEAD" or answer.status in {204, 304} or answer.status < 200:
            return answer
        if answer.headers.get("transfer-encoding") == "chunked":
            while (size := await self._until(b"\r\n")) is not None and (length := int(size, 16)):
                await self._skip(length + 2)
            await self._until(b"\r\n")
        else:
            await self._skip(int(answer.headers.get("content-length", "0")))
        return answer

    async def _until(self, end: bytes) -> bytes | None:
        while (at := self._data.find(end)) < 0:
            more = await self._connection.receive()
            if not more:
                return None
            self._data += more
        found, self._data = self._data[:at], self._data[at + len(end) :]
        return found

    async def _skip(self, length: int) -> None:
        while len(self._data) < length:
            more = await self._connection.receive()
            if not more:
                break
            self._data += more
        self._data = self._data[length:]


def read_head(head: bytes) -> Answer:
    """Status line and headers."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Answer(int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs})
