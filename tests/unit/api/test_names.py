"""Names as users write them."""

from __future__ import annotations

import pytest

from plait.api.names import gateway_place


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("edge", ("shop", "edge")),
        ("team/edge", ("team", "edge")),
        ("./edge", ("shop", "edge")),
        # the forms of Istio 1.0
        ("edge.team", ("team", "edge")),
        ("edge.team.svc.cluster.local", ("team", "edge")),
    ],
)
def test_a_gateway_is_found_by_any_name_that_istio_knows(written: str, place: tuple[str, str]) -> None:
    assert gateway_place(written, "shop") == place
