"""What Istio demands of locality load balancing, in a DestinationRule and in the mesh's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from plait.api.destinationrule import LocalitySetting, ZoneAwareSetting
from plait.api.validate.findings import Findings

_TOPOLOGY: Final = frozenset(
    {"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"}
)


def validate_locality(path: str, setting: LocalitySetting, findings: Findings) -> None:
    """Istio: distribute, failover and failoverPriority; shares add up to 100; failover goes to another region."""
    for index, label in enumerate(setting.failover_priority):
        if setting.failover and label in _TOPOLOGY:
            findings.error(
                f"{path}.failoverPriority[{index}]", f"{label} and failover exclude each other", fix="one of them"
            )
    if setting.distribute and setting.failover:
        findings.error(path, "distribute and failover exclude each other", fix="one of them")
    elif setting.distribute and setting.failover_priority:
        findings.warn(f"{path}.failoverPriority", "has no effect beside distribute", fix="one of them")
    sources = [each.from_ for each in setting.distribute]
    _localities(f"{path}.distribute", sources, findings, ordered=True)
    for index, each in enumerate(setting.distribute):
        where = f"{path}.distribute[{index}].to"
        total = sum(each.to.values())
        for name, share in each.to.items():
            if not 1 <= share <= 100:
                findings.error(f"{where}[{name}]", f"{share} is not a share", fix="1 to 100", value=share)
        if total != 100:
            findings.error(where, f"the shares add up to {total}", fix="shares that add up to 100", value=total)
        _localities(where, list(each.to), findings, ordered=False)
    for index, change in enumerate(setting.failover):
        where = f"{path}.failover[{index}]"
        if change.from_ == change.to:
            findings.error(where, f"from and to are both {change.to!r}", fix="another region")
        for name, region in (("from", change.from_), ("to", change.to)):
            if "*" in region or "/" in region:
                findings.error(f"{where}.{name}", f"{region!r} is not a region", fix="the region's name", value=region)


def validate_zones(path: str, setting: ZoneAwareSetting, findings: Findings, *, detects: bool) -> None:
    """What both kinds of setting have in common; whether failed endpoints are found out is `detects`."""
    validate_locality(
        path, LocalitySetting(failover=setting.failover, failover_priority=setting.failover_priority), findings
    )
    if not detects and (setting.failover or setting.failover_priority):
        text = "without outlierDetection another region is used only when one's own has no ready endpoint"
        findings.warn(path, text, fix="outlierDetection")
    findings.integer(f"{path}.minClusterSize", setting.min_cluster_size, low=1, high=2**32 - 1)


def _localities(path: str, names: Sequence[str], findings: Findings, *, ordered: bool) -> None:
    """Each is region/zone/subzone with a star at the end at most, and none includes another.

    Istio: in a list a wider one may come after those that it includes, since the first that fits holds.
    """
    for name in names:
        parts = name.split("/", 2)
        if not all(parts) or "*" in name[:-1]:
            findings.error(
                path, f"{name!r} is not a locality", fix="region/zone/subzone, with * at the end", value=name
            )
        elif parts[-1] != "*" and "*" in parts[-1]:
            text = f"{name!r} is nobody's locality: * stands for a whole part"
            findings.warn(path, text, fix="region/*, region/zone/* or the whole name", value=name)
    for index, name in enumerate(names):
        for other in names[:index]:
            pair = (other, name) if _includes(other, name) else (name, other)
            if _includes(other, name) or (_includes(name, other) and not (ordered and name.endswith("*"))):
                findings.error(path, f"{pair[0]!r} includes {pair[1]!r}", fix="localities that do not overlap",
                               value=pair[1])  # fmt: skip


def _includes(wide: str, narrow: str) -> bool:
    if wide in {narrow, "*"}:
        return True
    prefix = wide.removesuffix("/*")
    return (prefix != wide or wide.count("/") < 2) and narrow.startswith(prefix + "/")
