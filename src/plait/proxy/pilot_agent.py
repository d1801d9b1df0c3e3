"""`pilot-agent` in pods, as far as people call it: asks the Envoy of its own pod, and waits until that is ready.

Istio: `pilot-agent request METHOD PATH`, `pilot-agent wait`. It can do what any program in the pod can do on the pod's
loopback. The rest of what Istio's agent does is done elsewhere here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException, InvalidURL

import plait

ADMIN_PORT, READY_PORT = 15000, 15021
FAILED, USAGE, LATE = 1, 2, 5
_SECONDS = 10.0
_ELSEWHERE = {
    "proxy": "Envoy is started by the node",
    "istio-iptables": "connections are captured by rules that the node loads when the pod is made",
    "istio-clean-iptables": "the rules go with the pod",
    "completion": "there is none for this program",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and (elsewhere := _ELSEWHERE.get(words[0])):
        return _fail(f"{words[0]}: not here: {elsewhere}", USAGE)
    given = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], int] = given.run
    return run(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pilot-agent", description="asks the Envoy of this pod")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    request = commands.add_parser("request", help="a request to Envoy's admin interface; prints the answer")
    request.add_argument("method", choices=("GET", "POST"), metavar="METHOD", type=str.upper)
    request.add_argument("path", metavar="PATH", help="for example stats, clusters, config_dump, 'logging?level=debug'")
    request.add_argument("--debug-port", type=int, default=ADMIN_PORT, help="Envoy's admin port (%(default)s)")
    request.set_defaults(run=_request)
    wait = commands.add_parser("wait", help="wait until Envoy is ready")
    wait.add_argument("--timeoutSeconds", dest="seconds", type=float, default=60, help="how long (%(default)s)")
    wait.add_argument("--periodMillis", dest="period", type=int, default=500, help="how often it asks (%(default)s)")
    wait.add_argument("--requestTimeoutMillis", dest="patience", type=int, default=500, help="for one answer")
    wait.add_argument(
        "--url", default=f"http://localhost:{READY_PORT}/healthz/ready", help="what it asks (%(default)s)"
    )
    wait.set_defaults(run=_wait)
    version = commands.add_parser("version", help="which plait this is")
    version.set_defaults(run=_version)
    return parser


def _request(given: argparse.Namespace) -> int:
    path = "/" + given.path.removeprefix("/")
    try:
        status, body = ask("127.0.0.1", given.debug_port, given.method, path, seconds=_SECONDS)
    except InvalidURL:
        return _fail(f"{path!r} is no path of a URL: write %20 for a blank", USAGE)
    except (OSError, HTTPException) as error:
        return _fail(f"Envoy does not answer on 127.0.0.1:{given.debug_port}: {error}")
    if status >= 400:
        return _fail(f"Envoy answered {status} to {given.method} {path}: {body.decode(errors='replace').strip()}")
    try:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Who reads has seen enough, as `head` has; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _wait(given: argparse.Namespace) -> int:
    host, _, path = given.url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    end = time.monotonic() + given.seconds
    while True:
        try:
            status, _ = ask(name, int(port or 80), "GET", "/" + path, seconds=given.patience / 1000)
            said = f"it answers {status}"
        except ValueError:
            return _fail(f"--url {given.url}: not of the form http://HOST:PORT/PATH", USAGE)
        except (OSError, HTTPException) as error:
            status, said = 0, str(error)
        if status == 200:
            sys.stdout.write("Envoy is ready\n")
            return 0
        if time.monotonic() >= end:
            return _fail(f"Envoy is not ready after {given.seconds:g} s ({given.url}: {said})", LATE)
        time.sleep(given.period / 1000)


def _version(given: argparse.Namespace) -> int:
    del given
    sys.stdout.write(f"plait {plait.__version__}\n")
    return 0


def ask(host: str, port: int, method: str, path: str, *, seconds: float) -> tuple[int, bytes]:
    """One request: status and body. Raises OSError or HTTPException where nobody answers HTTP."""
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _fail(words: str, code: int = FAILED) -> int:
    sys.stderr.write(f"pilot-agent: {words}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
