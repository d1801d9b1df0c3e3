"""What Envoy's statistics say of a proxy that is to end."""

from __future__ import annotations

from plait.machine.node.drain import Traffic, traffic

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
