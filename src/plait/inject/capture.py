"""Text for nft that sends a pod's TCP through its sidecar and shuts IPv6.

The rules are those of istio-iptables in nft's words. Each text replaces its own tables atomically, so loading it
again changes nothing. It must be loaded before the pod's links come up, or a packet could escape capture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from plait.inject import annotations as names
from plait.inject.config import PROXY_MARK, PROXY_UID
from plait.xds.names import PROBE_PORT

TABLE: Final = "plait"
#: Ports of the sidecar itself: istiod's probes, HBONE, agent health, readiness, Envoy's metrics. They are reached
#: directly.
SIDECAR_PORTS: Final = (PROBE_PORT, 15008, 15020, 15021, 15090)
OUTBOUND: Final = 15001
INBOUND: Final = 15006

# The priority is a number because nft 1.0.6 refuses the name `dstnat` in an output hook.
_IPV6: Final = """\
add table ip6 plait
delete table ip6 plait
table ip6 plait {
 chain in6 { type filter hook input priority 0; policy drop;
  iifname "lo" accept
 }
 chain out6 { type filter hook output priority 0; policy drop;
  oifname "lo" accept
 }
}
"""


def closed_ipv6() -> str:
    """Text for nft for a pod without capture: no IPv6 except on loopback.

    Link-local addresses would otherwise let pods on one bridge reach each other round their sidecars.
    """
    return _IPV6


def capture_rules(pod: Mapping[str, Any], *, by: Literal["uid", "mark"] = "uid") -> str:
    """Text for nft for a pod with a sidecar; raises AnnotationError where its annotations cannot be followed.

    Connections of uid 1337 are the proxy's own, or, told `by` mark, those of mark 1337: for a node with one uid only.
    127.0.0.6 is the address its inbound clusters bind to, and so marks what it forwards to the application. Connections
    to the pod's own address and to loopback are not captured.
    """
    capture = names.read_capture(names.of(pod))
    if not capture.redirect:
        return _IPV6
    key, value = ("skuid", PROXY_UID) if by == "uid" else ("mark", PROXY_MARK)
    proxy, others = f"meta {key} {value}", f"meta {key} != {value}"
    inbound = [
        *_interfaces("iifname", capture.excluded_interfaces),
        *_inbound(capture.inbound_ports, capture.excluded_inbound_ports),
    ]
    outbound = [
        "meta l4proto != tcp return",
        *_interfaces("oifname", capture.excluded_interfaces),
        *_rules("tcp dport", capture.excluded_outbound_ports, "return"),
        'ip saddr 127.0.0.6 oifname "lo" return',
        f'{proxy} oifname "lo" ip daddr != 127.0.0.1 tcp dport != 15008 redirect to :{INBOUND}',
        f'oifname "lo" {others} return',
        f"{proxy} return",
        "ip daddr 127.0.0.0/8 return",
        *_rules("ip daddr", capture.excluded_outbound_ranges, "return"),
        *_redirect("tcp dport", capture.outbound_ports, OUTBOUND),
        *_redirect("ip daddr", capture.outbound_ranges, OUTBOUND),
    ]
    lines = [
        f"add table ip {TABLE}",
        f"delete table ip {TABLE}",
        f"table ip {TABLE} {{",
        *_chain("inbound", "prerouting", inbound),
        *_chain("outbound", "output", outbound),
        "}",
    ]
    return "\n".join(lines) + "\n" + _IPV6


def _chain(name: str, hook: str, rules: Iterable[str]) -> list[str]:
    return [f" chain {name} {{ type nat hook {hook} priority -100;", *(f"  {rule}" for rule in rules), " }"]


def _inbound(included: tuple[int, ...] | None, excluded: tuple[int, ...]) -> list[str]:
    """As in istio-iptables, a list of included ports stands alone: exclusions only narrow `*`."""
    if included is not None:
        return _redirect("tcp dport", tuple(p for p in included if p not in SIDECAR_PORTS), INBOUND)
    return [
        *_rules("tcp dport", tuple(sorted({*SIDECAR_PORTS, *excluded})), "return"),
        f"meta l4proto tcp redirect to :{INBOUND}",
    ]


def _redirect(match: str, values: tuple[Any, ...] | None, port: int) -> list[str]:
    """Redirect what matches one of the values; None is everything, an empty tuple nothing."""
    if values is None:
        return [f"meta l4proto tcp redirect to :{port}"]
    # `redirect to` needs a transport protocol in the same rule; a match on tcp dport is one.
    prefix = "meta l4proto tcp " if match == "ip daddr" else ""
    return _rules(prefix + match, values, f"redirect to :{port}")


def _rules(match: str, values: tuple[Any, ...], verdict: str) -> list[str]:
    return [f"{match} {{ {', '.join(map(str, values))} }} {verdict}"] if values else []


def _interfaces(match: str, interfaces: tuple[str, ...]) -> list[str]:
    quoted = ", ".join(f'"{name}"' for name in interfaces)
    return [f"{match} {{ {quoted} }} return"] if interfaces else []
