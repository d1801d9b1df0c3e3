"""Shares of localities."""

from __future__ import annotations

from plait.api.destinationrule import Distribute, LocalitySetting
from plait.mesh.endpoints import Endpoint
from plait.mesh.locality import Caller, Locality
from plait.mesh.placing import Placing, placed


def endpoint(number: int, zone: str, weight: int = 0) -> Endpoint:
    return Endpoint(zone, f"10.0.0.{number}", 80, region="west", weight=weight)


def test_a_share_is_split_by_weight_and_nobody_is_rounded_down_to_nothing() -> None:
    found = [endpoint(1, "1"), endpoint(2, "2", weight=999), endpoint(3, "3")]
    others = Distribute(from_="east", to={"west/1": 100})
    setting = LocalitySetting(distribute=(others, Distribute(from_="west/*", to={"west/*": 100})))
    groups = placed(found, Caller(Locality("west", "1")), Placing(setting=setting))
    assert [(group.locality.zone, group.weight) for group in groups] == [("1", 1), ("2", 100), ("3", 1)]


def test_places_that_no_share_names_get_nothing() -> None:
    found = [endpoint(1, "1"), endpoint(2, "2"), endpoint(3, "3")]
    setting = LocalitySetting(distribute=(Distribute(from_="*", to={"west/1": 80, "west/2": 20}),))
    groups = placed(found, Caller(Locality("north")), Placing(setting=setting))
    assert [(group.locality.zone, group.weight) for group in groups] == [("1", 80), ("2", 20)]
