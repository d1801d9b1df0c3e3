"""Who is let through: the simulator says of AuthorizationPolicies what a real Envoy does with their filters."""

from __future__ import annotations

import pytest
from tests.envoy.trial.policies import Policies
from tests.envoy.trial.test_agreement import agree

from plait.simulate.simulate import simulate

pytestmark = pytest.mark.envoy

#: Policies are made up this often, for a workload and for a gateway.
WORLDS = 30
CALLS = 60


@pytest.mark.parametrize("gateway", [False, True])
@pytest.mark.parametrize("seed", range(WORLDS))
async def test_the_simulator_agrees_with_envoy(seed: int, gateway: bool) -> None:
    made = Policies(seed)
    configuration = made.world(gateway=gateway)
    await agree(configuration, [made.call(gateway=gateway) for _ in range(CALLS)], gateway=gateway)


@pytest.mark.parametrize("gateway", [False, True])
def test_some_are_refused_and_some_are_not(gateway: bool) -> None:
    refused = through = 0
    for seed in range(WORLDS):
        made = Policies(seed)
        configuration = made.world(gateway=gateway)
        for _ in range(CALLS):
            denied = simulate(configuration, made.call(gateway=gateway), gateway=gateway).denied
            refused, through = refused + (denied is not None), through + (denied is None)
    assert min(refused, through) > WORLDS * CALLS / 5
