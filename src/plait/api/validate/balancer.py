"""What Istio and Envoy demand of a load balancer."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from plait.api.destinationrule import BackendUtilization, ConsistentHash, LoadBalancer
from plait.api.names import is_header_name, is_header_value
from plait.api.validate.findings import Findings
from plait.api.validate.locality import validate_locality, validate_zones

#: Envoy's limits: of a ring, and of a Maglev table, whose size must be prime.
_MAX_RING: Final = 8 * 1024 * 1024
_MAX_TABLE: Final = 5_000_011
_COOKIE_MARKS: Final = frozenset('()<>@,;:\\"/[]?={} \t')


def validate_load_balancer(path: str, balancer: LoadBalancer, findings: Findings, *, detects: bool = True) -> None:
    """Add what is wrong to `findings`; `detects` says whether failed endpoints are found out."""
    if balancer.locality_lb_setting is not None:
        setting = balancer.locality_lb_setting
        validate_locality(f"{path}.localityLbSetting", setting, findings)
        if not detects and (setting.failover or setting.failover_priority):
            findings.warn(
                f"{path}.localityLbSetting", "without outlierDetection nothing fails over", fix="outlierDetection"
            )
        if balancer.zone_aware_lb_setting is not None:
            findings.error(path, "localityLbSetting and zoneAwareLbSetting exclude each other", fix="one of them")
    if balancer.simple is not None and balancer.consistent_hash is not None:
        findings.error(path, "simple and consistentHash exclude each other", fix="one of them")
    if balancer.simple == "LEAST_CONN":
        findings.warn(f"{path}.simple", "is deprecated", fix="LEAST_REQUEST", value="LEAST_CONN")
    if balancer.consistent_hash is not None:
        _consistent_hash(f"{path}.consistentHash", balancer.consistent_hash, findings)
    if balancer.zone_aware_lb_setting is not None:
        where = f"{path}.zoneAwareLbSetting"
        validate_zones(where, balancer.zone_aware_lb_setting, findings, detects=detects)
        if balancer.consistent_hash is not None and balancer.zone_aware_lb_setting.enabled is not False:
            findings.warn(where, "keeps calls in their region only: consistentHash chooses among all of its zones")
        if balancer.simple == "PASSTHROUGH":
            findings.warn(where, "has no effect: with PASSTHROUGH the caller chooses the address", fix="another simple")
    if balancer.backend_utilization is not None:
        _utilization(f"{path}.backendUtilization", balancer.backend_utilization, findings)
    _warmup(path, balancer, findings)


def _utilization(path: str, given: BackendUtilization, findings: Findings) -> None:
    findings.duration(
        f"{path}.weightStabilizationPeriod", given.weight_stabilization_period, minimum=timedelta(), whole=False
    )
    findings.duration(
        f"{path}.weightExpirationPeriod", given.weight_expiration_period, minimum=timedelta(), whole=False
    )
    findings.duration(f"{path}.weightUpdatePeriod", given.weight_update_period, whole=False)
    penalty = given.error_utilization_penalty_percent
    findings.integer(f"{path}.errorUtilizationPenaltyPercent", penalty, low=0, high=2**31 - 1)


def _warmup(path: str, balancer: LoadBalancer, findings: Findings) -> None:
    if balancer.warmup is None and balancer.warmup_duration_secs is None:
        return
    if balancer.consistent_hash is not None or balancer.simple in {"RANDOM", "PASSTHROUGH"}:
        findings.warn(f"{path}.warmup", "has no effect with this load balancer", fix="ROUND_ROBIN or LEAST_REQUEST")
    findings.duration(f"{path}.warmupDurationSecs", balancer.warmup_duration_secs, whole=False)
    if balancer.warmup_duration_secs is not None:
        fix = f"warmup: {{duration: {balancer.warmup_duration_secs}}}"
        findings.warn(f"{path}.warmupDurationSecs", "is deprecated", fix=fix, value=balancer.warmup_duration_secs)
    warmup = balancer.warmup
    if warmup is None:
        return
    if warmup.duration is None:
        findings.error(f"{path}.warmup.duration", "a duration is missing", fix="for example 60s")
    findings.duration(f"{path}.warmup.duration", warmup.duration)
    findings.percent(f"{path}.warmup.minimumPercent", warmup.minimum_percent)
    aggression = warmup.aggression
    if aggression is not None and not (math.isfinite(aggression) and aggression > 0):
        findings.error(f"{path}.warmup.aggression", f"{aggression:g} is no pace", fix="more than 0; 1 is an even pace")


def _consistent_hash(path: str, consistent: ConsistentHash, findings: Findings) -> None:
    keys = {
        "httpHeaderName": consistent.http_header_name,
        "httpCookie": consistent.http_cookie,
        "useSourceIp": consistent.use_source_ip,
        "httpQueryParameterName": consistent.http_query_parameter_name,
    }
    named = [name for name, value in keys.items() if value]
    if len(named) > 1:
        findings.error(path, f"one thing is hashed, here it is {' and '.join(named)}", fix="one of " + ", ".join(keys))
    elif not named:
        findings.warn(path, "nothing is hashed, so each request goes anywhere", fix="one of " + ", ".join(keys))
    if consistent.http_header_name and not is_header_name(consistent.http_header_name):
        findings.error(f"{path}.httpHeaderName", f"{consistent.http_header_name!r} is not the name of a header")
    if "\0" in (consistent.http_query_parameter_name or ""):
        findings.error(f"{path}.httpQueryParameterName", "a NUL character")
    if consistent.http_cookie is not None:
        _cookie(f"{path}.httpCookie", consistent, findings)
    if consistent.ring_hash is not None and consistent.maglev is not None:
        findings.error(path, "ringHash and maglev exclude each other", fix="one of them")
    if consistent.minimum_ring_size is not None:
        fix = f"ringHash: {{minimumRingSize: {consistent.minimum_ring_size}}}"
        findings.warn(f"{path}.minimumRingSize", "is deprecated", fix=fix, value=consistent.minimum_ring_size)
    ring = consistent.ring_hash.minimum_ring_size if consistent.ring_hash is not None else None
    findings.integer(f"{path}.ringHash.minimumRingSize", ring, low=0, high=_MAX_RING)
    findings.integer(f"{path}.minimumRingSize", consistent.minimum_ring_size, low=0, high=_MAX_RING)
    if consistent.minimum_ring_size and (consistent.ring_hash is not None or consistent.maglev is not None):
        findings.error(path, "minimumRingSize excludes ringHash and maglev", fix="ringHash: {minimumRingSize: N}")
    if consistent.maglev is not None:
        _table(f"{path}.maglev.tableSize", consistent.maglev.table_size, findings)


def _table(path: str, size: int | None, findings: Findings) -> None:
    """Istio: a Maglev table has a size, which is prime and less than Envoy's limit."""
    if not size:
        findings.error(path, "a size is missing", fix="65537", value=size)
    elif not 0 < size < _MAX_TABLE:
        findings.error(path, f"{size} is out of range", fix=f"less than {_MAX_TABLE}", value=size)
    elif not _is_prime(size):
        findings.error(path, f"{size} is not a prime number", fix="65537", value=size)


def _cookie(path: str, consistent: ConsistentHash, findings: Findings) -> None:
    cookie = consistent.http_cookie
    if cookie is None:
        return
    names = [attribute.name.lower() for attribute in cookie.attributes]
    if len(set(names)) < len(names):
        findings.error(f"{path}.attributes", "an attribute is named twice", fix="each attribute once")
    if not cookie.name or not _is_token(cookie.name):
        findings.error(f"{path}.name", f"{cookie.name!r} is not the name of a cookie", value=cookie.name)
    findings.duration(f"{path}.ttl", cookie.ttl, minimum=timedelta(), whole=False)
    texts = [("path", cookie.path)]
    for index, attribute in enumerate(cookie.attributes):
        if not attribute.name or not _is_token(attribute.name):
            findings.error(f"{path}.attributes[{index}].name", f"{attribute.name!r} is not the name of an attribute")
        texts.append((f"attributes[{index}].value", attribute.value))
    for name, text in texts:
        if not is_header_value(text):
            findings.error(f"{path}.{name}", "a line break", value=text)


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable() and not _COOKIE_MARKS & set(text)


def _is_prime(number: int) -> bool:
    # As Envoy sees it: 1 is one.
    return number > 0 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
