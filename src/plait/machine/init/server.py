"""Init's loop: PID 1 of the node namespace, parent of pods, log writer, restarter of plait's own processes.

One thread, no event-loop library: nothing here may fail for a reason that could be left out. When init ends, the
kernel ends everything in the node namespace, and the namespace goes with it.
"""

from __future__ import annotations

import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from plait.machine import frames, private_socket
from plait.machine.init.children import Children, SpawnError
from plait.machine.init.console import Console
from plait.machine.init.plan import Service
from plait.machine.init.protocol import Answer, Attach, Forget, List, Process, Request, Signal, Spawn, Watch

#: Seconds before an ended process of plait is started again: doubled up to the last. One that lived for the third
#: had begun well: its end is news, not a loop.
RESTART_FIRST, RESTART_LAST, RESTART_RESET = 0.1, 10.0, 5.0
#: What Python ignores for itself.
_PYTHONS = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
#: Seconds that pods get to end after SIGTERM when the mesh stops.
STOP_GRACE = 10.0
#: An answer that a client does not read grows no further than this; the client is dropped.
ANSWER_LIMIT = 4 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Client:
    sock: socket.socket
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)
    watching: bool = False
    #: Of a client that is attached: to what, and how its frames are read.
    console: Console | None = None
    decoder: frames.Decoder = field(default_factory=frames.Decoder)
    speaks: bool = False
    flush: Callable[[_Client], None] = field(default=lambda _: None)

    def tell(self, data: bytes) -> None:
        """Send it something of the process it is attached to."""
        self.outbox += data
        self.flush(self)

    @property
    def behind(self) -> int:
        """Bytes it has not taken yet."""
        return len(self.outbox)


class Init:
    """The server. `run` returns when a SIGTERM or SIGINT has been carried out."""

    def __init__(self, services: Sequence[Service], sockets: Sequence[Path]) -> None:
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector)
        self._services = {service.name: service for service in services}
        self._delay = dict.fromkeys(self._services, RESTART_FIRST)
        self._due: dict[str, float] = dict.fromkeys(self._services, 0.0)
        self._clients: set[_Client] = set()
        self._stopping = False
        self._decode = msgspec.json.Decoder(Request)
        self._wake = self._signals()
        for path in sockets:
            listener = private_socket.listen(path)
            self._selector.register(listener, selectors.EVENT_READ, ("accept", listener))

    def run(self) -> None:
        """Serve until told to stop, then stop everything in order."""
        while not self._stopping:
            self._start_due()
            self._step(self._wait())
        self._shutdown()

    def _signals(self) -> socket.socket:
        # What was ignored or blocked where the mesh was started (by `nohup`, or with `&` in a script) would be so in
        # every container. Of what Python itself ignores each process that is started is relieved anyway.
        for number in signal.valid_signals() - _PYTHONS:
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wake_writer = writer
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, ("signal", None))
        return reader

    def _wait(self) -> float | None:
        if not self._due:
            return None
        return max(0.0, min(self._due.values()) - time.monotonic())

    def _start_due(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            service = self._services[name]
            self._children.forget(name)
            try:
                self._children.spawn(
                    Spawn(name=name, argv=service.argv, env=service.env, log=service.log), fds=service.fds
                )
                del self._due[name]
            except SpawnError as error:
                self._say(str(error))
                self._due[name] = now + self._next_delay(name)

    def _next_delay(self, name: str) -> float:
        delay = self._delay[name]
        self._delay[name] = min(delay * 2, RESTART_LAST)
        return delay

    def _step(self, seconds: float | None) -> None:
        for key, events in self._selector.select(seconds):
            what, data = key.data
            if what == "pipe":
                self._children.pipe_ready(key.fd, data)
            elif what == "inner":
                self._children.inner_ended(key.fd, data)
            elif what == "accept":
                self._accept(data)
            elif what == "client":
                self._client_ready(data, events)
            elif what == "stdin":
                console = self._children.stdin_ready(key.fd)
                for client in [client for client in self._clients if console and client.console is console]:
                    self._watch(client)
            else:
                self._signalled()

    def _signalled(self) -> None:
        numbers = self._wake.recv(4096)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stopping = True
        self._reap()

    def _reap(self) -> None:
        for process in self._children.reap():
            if process.name in self._services and not self._stopping:
                self._schedule(process)
            for client in [client for client in self._clients if client.watching]:
                self._send(client, Answer(processes=(process,)))

    def _schedule(self, process: Process) -> None:
        if (process.ended_at or 0) - process.started_at > RESTART_RESET:
            self._delay[process.name] = RESTART_FIRST
        delay = self._next_delay(process.name)
        self._say(f"{process.name} (pid {process.pid}) ended with {process.exit_code}: starting it again in {delay} s")
        self._due[process.name] = time.monotonic() + delay

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        client = _Client(sock)
        self._clients.add(client)
        self._selector.register(sock, selectors.EVENT_READ, ("client", client))

    def _client_ready(self, client: _Client, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(client)
        if not events & selectors.EVENT_READ or client not in self._clients:
            return
        try:
            data = client.sock.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        if client.console is not None:
            self._attached(client, client.console, data)
            return
        client.inbox += data
        while client in self._clients and client.console is None and (end := client.inbox.find(b"\n")) >= 0:
            line = bytes(client.inbox[:end])
            del client.inbox[: end + 1]
            self._send(client, self._answer(client, line))

    def _attached(self, client: _Client, console: Console, data: bytes) -> None:
        try:
            for frame in client.decoder.feed(data):
                console.take(client, frame)
        except frames.FrameError as error:
            self._say(f"an attached client: {error}")
            self._drop(client)
            return
        self._watch(client)

    def _attach(self, client: _Client, request: Attach) -> Answer:
        console = self._children.console(request.name)
        if console is None:
            return Answer(error=f"{request.name}: no such process runs")
        client.console, client.speaks, client.flush = console, request.stdin, self._flush
        # The answer comes first; the process cannot write before this returns.
        console.listeners.append(client)
        return Answer()

    def _answer(self, client: _Client, line: bytes) -> Answer:
        try:
            request = self._decode.decode(line)
        except msgspec.DecodeError as error:
            return Answer(error=f"not a request: {error}")
        match request:
            case Spawn():
                if self._stopping:
                    return Answer(error=f"{request.name}: the mesh is stopping")
                try:
                    return Answer(processes=(self._children.spawn(request),))
                except SpawnError as error:
                    return Answer(error=str(error))
            case Signal():
                self._children.signal(request.name, request.signal)
            case List():
                return Answer(processes=self._children.records(request.prefix))
            case Forget():
                self._children.forget(request.name)
            case Watch():
                client.watching = True
            case Attach():
                return self._attach(client, request)
        return Answer()

    def _send(self, client: _Client, answer: Answer) -> None:
        client.outbox += msgspec.json.encode(answer) + b"\n"
        if len(client.outbox) > ANSWER_LIMIT:
            self._drop(client)
            return
        self._flush(client)

    def _flush(self, client: _Client) -> None:
        try:
            sent = client.sock.send(client.outbox)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        del client.outbox[:sent]
        self._watch(client)
        if client.console is not None:
            self._children.caught_up(client.console)

    def _watch(self, client: _Client) -> None:
        """Wait for what can be done for a client now: its input waits while the process takes none."""
        if client not in self._clients:
            return
        reading = 0 if client.console is not None and client.console.full else selectors.EVENT_READ
        wanted = reading | (selectors.EVENT_WRITE if client.outbox else 0)
        watched = client.sock.fileno() in self._selector.get_map()
        if not wanted:
            if watched:
                self._selector.unregister(client.sock)
        elif watched:
            self._selector.modify(client.sock, wanted, ("client", client))
        else:
            self._selector.register(client.sock, wanted, ("client", client))

    def _drop(self, client: _Client) -> None:
        if client not in self._clients:
            return
        self._clients.discard(client)
        if client.sock.fileno() in self._selector.get_map():
            self._selector.unregister(client.sock)
        client.sock.close()
        if client.console is not None:
            client.console.leave(client)
            self._children.caught_up(client.console)

    def _shutdown(self) -> None:
        """Own processes by falling rank, pods in between: databases get their SIGTERM, the API server ends last."""
        ranks = sorted({service.rank for service in self._services.values()}, reverse=True)
        for rank in [rank for rank in ranks if rank > 0]:
            self._stop([s.name for s in self._services.values() if s.rank == rank], 3.0)
        pods = [name for name in self._children.running() if name not in self._services and not name.endswith("/pause")]
        self._stop(pods, STOP_GRACE)
        self._stop([s.name for s in self._services.values() if s.rank <= 0], 3.0)

    def _stop(self, names: Sequence[str], grace: float) -> None:
        for name in names:
            self._children.signal(name, signal.SIGTERM)
        end = time.monotonic() + grace
        while set(names) & set(self._children.running()) and (left := end - time.monotonic()) > 0:
            self._step(left)

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(f"init: {text}\n")
        sys.stderr.flush()
