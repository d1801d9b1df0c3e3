"""Where in an object a refused resource comes from."""

from __future__ import annotations

import pytest

from plait.api.meta import ObjectKey
from plait.xds.blame import common_path, path_in


@pytest.mark.parametrize(
    ("paths", "common"),
    [
        ((), ""),
        (("spec.http[0]",), "spec.http[0]"),
        (("spec.http[0]", "spec.http[0].route[1]"), "spec.http[0]"),
        (("spec.http[0]", "spec.http[1].route"), "spec.http"),
        (("spec.http[1]", "spec.http[10]"), "spec.http"),
        (("spec.subsets[0].trafficPolicy", "spec.subsets[0].name", "spec.subsets[0].labels"), "spec.subsets[0]"),
        (("spec.tls[0]", "spec.http[0]"), "spec"),
    ],
)
def test_of_several_paths_what_they_have_in_common(paths: tuple[str, ...], common: str) -> None:
    assert common_path(paths) == common
    assert common_path(reversed(paths)) == common


def test_a_resource_says_where_in_the_object_it_comes_from() -> None:
    """As it is on the wire: texts among bytes."""
    encoded = b"\x0a\x20VirtualService/shop/a spec.http[0].route[1]\x12VirtualService/shop/a spec.http[0]\x1a"
    encoded += b"VirtualService/shop/ab spec.tls[2]\x1aDestinationRule/shop/a spec.subsets[1]\x00"
    assert path_in(encoded, ObjectKey("VirtualService", "shop", "a")) == "spec.http[0]"
    assert path_in(encoded, ObjectKey("VirtualService", "shop", "ab")) == "spec.tls[2]"
    assert path_in(encoded, ObjectKey("DestinationRule", "shop", "a")) == "spec.subsets[1]"
    assert path_in(encoded, ObjectKey("Gateway", "shop", "a")) == ""
