"""What Envoy's statistics say of a proxy that is to end."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from plait.machine.node.drain import Traffic, drain, traffic

STATS = """\
cluster.xds-grpc.upstream_cx_active: 1
http.admin.downstream_cx_active: 2
http.admin.downstream_rq_active: 1
http.agent.downstream_cx_active: 1
http.prometheus_stats.downstream_cx_active: 1
http.outbound_0.0.0.0_80.downstream_cx_active: 3
http.outbound_0.0.0.0_80.downstream_rq_active: 1
listener.0.0.0.0_15021.downstream_cx_active: 1
listener.0.0.0.0_15090.downstream_cx_active: 1
listener.0.0.0.0_80.downstream_cx_active: 3
listener.0.0.0.0_80.worker_0.downstream_cx_active: 3
listener.0.0.0.0_9000.downstream_cx_active: 2
listener.0.0.0.0_9000.worker_0.downstream_cx_active: 2
listener.admin.downstream_cx_active: 2
listener.admin.main_thread.downstream_cx_active: 2
"""


def test_requests_and_connections_that_are_not_http_are_busy():
    assert traffic(STATS) == Traffic(busy=1 + 2, connections=3)


def test_probes_and_questions_are_no_traffic():
    quiet = "\n".join(line for line in STATS.splitlines() if "_80." not in line and "_9000." not in line)
    assert traffic(quiet) == Traffic(busy=0, connections=0)
    assert traffic("") == Traffic(busy=0, connections=0)


#: An Envoy with a request that never ends; it says when it listens.
BUSY = """
import http.server
class Admin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        print(self.path, flush=True)
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def do_GET(self):
        body = b"http.outbound_0.0.0.0_80.downstream_rq_active: 1"
        self.send_response(200); self.send_header("transfer-encoding", "chunked"); self.end_headers()
        self.wfile.write(b"%x\\r\\n%s\\r\\n0\\r\\n\\r\\n" % (len(body), body))
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 15000), Admin)
print("listens", flush=True)
server.serve_forever()
"""


@pytest.mark.usefixtures("as_root")
async def test_what_goes_through_a_sidecar_without_its_application_is_not_waited_for():
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", BUSY]
    proxy = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert proxy.stdout is not None
        assert await proxy.stdout.readline() == b"listens\n"
        async with asyncio.timeout(60):
            await drain(proxy.pid, 1e9, gateway=False)
        asked = [(await proxy.stdout.readline()).decode().strip() for _ in range(2)]
    finally:
        proxy.kill()
        await proxy.communicate()
    assert asked == ["/healthcheck/fail", "/drain_listeners?graceful&skip_exit"]
