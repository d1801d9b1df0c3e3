"""`python -m bookinfo.tcp_echo PORT[,PORT…] PREFIX`: sends each line back, with a prefix that says who answers."""

from __future__ import annotations

import signal
import socketserver
import sys
import threading

from bookinfo.web import say


class Echo(socketserver.StreamRequestHandler):
    """One connection."""

    prefix = b""

    def handle(self) -> None:
        """Answer lines until there are no more; what is not ended by a newline is not answered."""
        while (line := self.rfile.readline()).endswith(b"\n"):
            say(f"request: {line.decode(errors='replace').rstrip()}")
            self.wfile.write(self.prefix + b" " + line)


class Server(socketserver.ThreadingTCPServer):
    """One port."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main(ports: str, prefix: str) -> None:
    """Serve until SIGTERM."""
    Echo.prefix = prefix.encode()
    for port in ports.split(","):
        server = Server(("", int(port)), Echo)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        say(f"listening on port {server.server_address[1]}, prefix: {prefix}")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(sys.argv[1], sys.argv[2])
